//! Deferreds and futures: each as the other.

use std::fmt::Debug;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::deferred::Deferred;
use super::failure::Failure;
use super::host::{Link, Rust, boxed, caught, open};
use super::resolver::Resolver;
use crate::deferred::{Entry, Host, Outcome, Returned, add, cancel};
use crate::native::BoxFuture;
use crate::sync::lock;

/// The future of a Deferred's result. It belongs to no runtime.
///
/// As with other futures, dropping it early means that nobody wants the result: the Deferred is
/// cancelled.
///
/// ```
/// use std::future::IntoFuture;
/// use marotte::deferred::Deferred;
///
/// let (deferred, _resolver) = Deferred::<u32, String>::new();
/// let control = deferred.control();
/// drop(deferred.into_future());
/// assert!(control.is_called());
/// ```
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<T, E> {
    link: Link,
    /// `None` until it is polled, and when it is over.
    mailbox: Option<Arc<Mutex<Mailbox>>>,
    over: bool,
    types: PhantomData<fn() -> (T, E)>,
}

/// Where the result is laid for the task.
struct Mailbox {
    outcome: Option<Outcome<Rust>>,
    /// `None` if nobody waits any more.
    waker: Option<Waker>,
}

impl<T, E> Debug for Wait<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wait({:?})", self.link)
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Future for Wait<T, E> {
    type Output = Result<T, Failure<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(mailbox) = &this.mailbox else {
            return this.begin(cx.waker());
        };
        let (outcome, old) = {
            let mut mailbox = lock(mailbox);
            let outcome = mailbox.outcome.take();
            let stale = outcome.is_some()
                || !mailbox
                    .waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()));
            let old = stale.then(|| mailbox.waker.replace(cx.waker().clone()));
            (outcome, old)
        };
        // It is the executor's code.
        drop(old);
        match outcome {
            Some(outcome) => {
                this.over = true;
                Poll::Ready(open(outcome))
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Wait<T, E> {
    /// The first poll.
    fn begin(&mut self, waker: &Waker) -> Poll<Result<T, Failure<E>>> {
        let ready = Rust::with((), &self.link, |chain| chain.take_ready(()));
        if let Some((outcome, _)) = ready {
            self.over = true;
            return Poll::Ready(open(outcome));
        }
        let mailbox = Arc::new(Mutex::new(Mailbox {
            outcome: None,
            waker: Some(waker.clone()),
        }));
        self.mailbox = Some(Arc::clone(&mailbox));
        let deliver = move |outcome| {
            let mut place = lock(&mailbox);
            let Some(waker) = place.waker.clone() else {
                // Nobody waits: if it is a failure, it is unhandled.
                return Returned::Outcome(outcome);
            };
            place.outcome = Some(outcome);
            drop(place);
            // Outside of the lock: an executor may poll the task in this very stack.
            waker.wake();
            Returned::Outcome(Ok(None))
        };
        add::<Rust>((), &self.link, Entry::Both(boxed(deliver)));
        Poll::Pending
    }
}

impl<T, E> Drop for Wait<T, E> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some(mailbox) = &self.mailbox {
            let mut mailbox = lock(mailbox);
            let left = (mailbox.waker.take(), mailbox.outcome.take());
            drop(mailbox);
            if let Some(outcome) = left.1 {
                // It came, and was not looked at: a failure is as unhandled as it was.
                drop(Rust::with((), &self.link, |chain| chain.replace(outcome)));
                return;
            }
        }
        let Ok(()) = cancel::<Rust>((), &self.link);
    }
}

/// ```
/// # use marotte::deferred::{Deferred, Failure};
/// async fn total(one: Deferred<u32, String>, other: Deferred<u32, String>) -> Result<u32, Failure<String>> {
///     Ok(one.await? + other.await?)
/// }
/// # use std::future::Future;
/// # let mut total = std::pin::pin!(total(Deferred::succeed(1), Deferred::succeed(2)));
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(total.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(3)));
/// ```
impl<T: Send + 'static, E: Debug + Send + 'static> IntoFuture for Deferred<T, E> {
    type Output = Result<T, Failure<E>>;
    type IntoFuture = Wait<T, E>;

    fn into_future(self) -> Wait<T, E> {
        Wait {
            link: self.link,
            mailbox: None,
            over: false,
            types: PhantomData,
        }
    }
}

impl<T: Send + 'static, E: Debug + Send + 'static> Deferred<T, E> {
    /// A Deferred for what a future becomes. `spawn` gives the task to an executor of whatever kind;
    /// callbacks run where it polls.
    ///
    /// To cancel the Deferred drops the future. If the executor drops the task, the Deferred fails
    /// with [`Failure::Dropped`].
    ///
    /// ```
    /// use marotte::deferred::Deferred;
    ///
    /// async fn build(number: u32) -> Result<String, std::io::Error> {
    ///     Ok(format!("build {number} is green"))
    /// }
    ///
    /// let mut tasks = Vec::new();
    /// let text = Deferred::from_future(build(7), |task| tasks.push(task));
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # assert!(tasks[0].as_mut().poll(&mut cx).is_ready());
    /// // ... and when the tasks have run:
    /// assert_eq!(text.try_take().unwrap().unwrap(), "build 7 is green");
    /// ```
    ///
    /// For tokio, `spawn` is `|task| drop(tokio::spawn(task))`.
    #[track_caller]
    pub fn from_future(
        future: impl Future<Output = Result<T, E>> + Send + 'static,
        spawn: impl FnOnce(BoxFuture<()>),
    ) -> Self {
        let work: Work<T, E> = Arc::new(Mutex::new(Stage::Idle(Box::pin(future), None)));
        let stopped = Arc::clone(&work);
        let (deferred, resolver) = Self::with_canceller(move |_| {
            let old = std::mem::replace(&mut *lock(&stopped), Stage::Over);
            if let Stage::Idle(future, waker) = old {
                drop(future);
                // The task is to find out and end.
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        });
        spawn(Box::pin(Task {
            work,
            resolver: Some(resolver),
        }));
        deferred
    }
}

/// A future and the task that polls it; the canceller drops it under the task's hands.
type Work<T, E> = Arc<Mutex<Stage<T, E>>>;

/// ```text
///   Idle ◀──▶ Polled
///     └────┬────┘
///          ▼ done, or cancelled
///        Over
/// ```
enum Stage<T, E> {
    Idle(BoxFuture<Result<T, E>>, Option<Waker>),
    Polled,
    Over,
}

struct Task<T, E> {
    work: Work<T, E>,
    resolver: Option<Resolver<T, E>>,
}

impl<T: Send + 'static, E: Debug + Send + 'static> Future for Task<T, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let stage = {
            let mut stage = lock(&self.work);
            let next = match *stage {
                Stage::Over => Stage::Over,
                Stage::Idle(..) | Stage::Polled => Stage::Polled,
            };
            std::mem::replace(&mut *stage, next)
        };
        let Stage::Idle(mut future, old) = stage else {
            return Poll::Ready(());
        };
        drop(old);
        let outcome = match caught(|| future.as_mut().poll(cx)) {
            Ok(Poll::Ready(result)) => result.map_err(Failure::Error),
            Err(panicked) => Err(panicked),
            Ok(Poll::Pending) => {
                let mut stage = lock(&self.work);
                if matches!(*stage, Stage::Over) {
                    // It was cancelled meanwhile, maybe by itself.
                    drop(stage);
                    drop(future);
                    return Poll::Ready(());
                }
                *stage = Stage::Idle(future, Some(cx.waker().clone()));
                return Poll::Pending;
            }
        };
        *lock(&self.work) = Stage::Over;
        drop(future);
        if let Some(resolver) = self.resolver.take() {
            // It may have been cancelled.
            let _ = resolver.fire(outcome);
        }
        Poll::Ready(())
    }
}
