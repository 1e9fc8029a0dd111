//! One task per connection: reads, dispatches, writes.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::captp::CloseReason;
use crate::native::Native;
use crate::sync::lock;
use crate::transport::{Visit, Wire};
use crate::vat::{Connection, Driver};

/// Bytes read at once.
const READ_SIZE: usize = 256 << 10;
/// How long releases may wait for traffic to ride along with.
const COLLECT_DELAY: Duration = Duration::from_millis(100);
/// Reads in one poll, before other tasks get their chance.
const READS_PER_POLL: usize = 32;
/// Turns run after one read, before I/O gets its chance.
const TURN_BUDGET: usize = 1024;

/// How long what a peer still sends is thrown away, so that it can read why the session ended.
const LINGER: Duration = Duration::from_secs(1);

const FLUSH: u8 = 1;
const IDLE: u8 = 2;

thread_local! {
    /// The read buffer, shared by every connection of this thread: an idle one costs nothing.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Wakes the task from wherever a message is sent.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    waker: Mutex<Option<Waker>>,
    flags: AtomicU8,
}

impl Wakeup {
    fn raise(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
        let waker = lock(&self.waker).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Driver for Wakeup {
    fn wake(&self) {
        self.raise(FLUSH);
    }

    fn idle(&self) {
        self.raise(IDLE);
    }
}

/// The driver of one connection.
pub(super) struct Task<S> {
    pub(super) stream: S,
    pub(super) wire: Wire,
    pub(super) connection: Arc<Connection<Native>>,
    pub(super) wakeup: Arc<Wakeup>,
    /// Until the session is open, and later while the peer's silence has an end.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    /// Running while releases wait.
    pub(super) collect: Option<Pin<Box<Sleep>>>,
    /// Running while the session has ended and the peer may still be sending.
    pub(super) linger: Option<Pin<Box<Sleep>>>,
    pub(super) epoch: Instant,
    /// Its place among the connections of the listener.
    pub(super) _visit: Option<Visit>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Task<S> {
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ_SIZE, 0);
        let mut buffer = ReadBuf::new(&mut scratch);
        let result = match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(lost(&error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Poll::Ready(Err(self.wire.end_of_stream()))
            }
            Poll::Ready(Ok(())) => Poll::Ready(self.dispatch(buffer.filled())),
        };
        SCRATCH.set(scratch);
        result
    }

    fn dispatch(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let Some(vat) = self.connection.vat() else {
            return Err(CloseReason::Local("the tub is gone".to_owned()));
        };
        let _turn = vat.home().enter();
        self.connection.begin_batch();
        vat.claim_turns();
        let now_ms = elapsed_ms(self.epoch);
        let result = self.wire.read((), &self.connection, bytes, now_ms);
        vat.finish_turns((), TURN_BUDGET);
        result
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let Self {
            stream,
            wire,
            connection,
            ..
        } = self;
        let mut write = |bytes: &[u8]| match Pin::new(&mut *stream).poll_write(cx, bytes) {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(result) => result,
        };
        wire.flush(connection, &mut write)
            .map_err(|error| lost(&error))
    }

    fn timers(&mut self, cx: &mut Context<'_>) {
        while let Some(deadline) = &mut self.deadline {
            let Some(due_ms) = self.connection.deadline_ms() else {
                self.deadline = None;
                break;
            };
            // A later time is found out when this one has come.
            if let Some(due) = self.epoch.checked_add(Duration::from_millis(due_ms))
                && deadline.deadline() > due.into()
            {
                deadline.as_mut().reset(due.into());
            }
            if deadline.as_mut().poll(cx).is_pending() {
                break;
            }
            let now_ms = elapsed_ms(self.epoch);
            if !self.connection.handle_timeout((), now_ms) {
                let left = Duration::from_millis(due_ms.saturating_sub(now_ms).max(1));
                self.deadline = Some(Box::pin(tokio::time::sleep(left)));
            }
        }
        if self.wakeup.flags.fetch_and(!IDLE, Ordering::AcqRel) & IDLE != 0
            && self.collect.is_none()
        {
            self.collect = Some(Box::pin(tokio::time::sleep(COLLECT_DELAY)));
        }
        if let Some(collect) = &mut self.collect
            && collect.as_mut().poll(cx).is_ready()
        {
            self.collect = None;
            self.connection.collect();
        }
    }

    /// Throws away what a peer still sends, until it hangs up or the time is over.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let Some(linger) = &mut self.linger else {
            return Poll::Ready(Ok(()));
        };
        let mut scratch = [0; 4096];
        while linger.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Everything that can be done now. `Ready` when the connection is over.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.linger.is_some() {
            return self.linger(cx);
        }
        self.timers(cx);
        if self.wire.was_heard()
            && let Err(reason) = self.dispatch(&[])
        {
            self.connection.close((), reason);
        }
        for _ in 0..READS_PER_POLL {
            let drained = self.flush(cx)?;
            if self.connection.is_closed() {
                // What could not be written now never will be: the peer does not read.
                self.wire.close();
                let _ = self.flush(cx);
                if self
                    .connection
                    .close_reason()
                    .is_some_and(|reason| reason.needs_linger())
                {
                    let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    self.linger = Some(Box::pin(tokio::time::sleep(LINGER)));
                }
                return self.linger(cx);
            }
            if !drained && self.connection.is_congested(self.wire.unsent()) {
                return Poll::Pending;
            }
            match self.read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                // The abort that explains it still has to go out.
                Poll::Ready(Err(reason)) => self.connection.close((), reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Task<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        {
            let mut waker = lock(&this.wakeup.waker);
            match &mut *waker {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
        }
        let result = this.step(cx);
        match result {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                let _ = Pin::new(&mut this.stream).poll_shutdown(cx);
                Poll::Ready(())
            }
            Poll::Ready(Err(reason)) => {
                this.connection.close((), reason);
                Poll::Ready(())
            }
        }
    }
}

impl<S> Drop for Task<S> {
    /// A runtime that shuts down drops its tasks: nobody may wait for ever.
    fn drop(&mut self) {
        if !self.connection.is_closed() {
            let reason = CloseReason::Lost("the runtime was shut down".to_owned());
            self.connection.close((), reason);
        }
    }
}

pub(super) fn elapsed_ms(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn lost(error: &io::Error) -> CloseReason {
    CloseReason::Lost(error.to_string())
}
