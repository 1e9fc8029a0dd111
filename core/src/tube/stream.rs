//! Flows of Rust's own: streams, sinks, and what tokio reads and writes.
//!
//! A fount is a `Stream`, a drain a `Sink`: each is asked for more only when what is below wants it, so nothing
//! has to be paused, and dropping a fount stops it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use super::contract::Tube;
use super::error::{Error, Reason};

/// A stream of items, which ends with `None` or with the first error.
///
/// ```
/// use bytes::Bytes;
/// use futures_util::{StreamExt, stream};
/// use marotte::tube::{Fount, framing::{FinalLine, Lines}, receiver};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), marotte::tube::Error> {
/// let chunks = stream::iter(["one\ntw", "o\n"].map(Bytes::from));
/// let mut lengths = Fount::new(chunks)
///     .through(Lines::new(1000, FinalLine::Error))
///     .through(receiver(|line: Bytes| [line.len()]));
/// assert_eq!(lengths.next().await.transpose()?, Some(3));
/// assert_eq!(lengths.next().await.transpose()?, Some(3));
/// assert_eq!(lengths.next().await.transpose()?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a fount does nothing until it is asked for items"]
pub struct Fount<S> {
    stream: S,
    over: bool,
}

/// What [`Fount::boxed`] is a fount of.
pub type BoxedItems<'a, T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send + 'a>>;

/// The items of a stream as those of one that may fail. Made by [`Fount::new`].
#[derive(Debug)]
pub struct Sound<S>(S);

impl<S: Stream + Unpin> Stream for Sound<S> {
    type Item = Result<S::Item, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|item| item.map(Ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<S: Stream + Unpin> Fount<Sound<S>> {
    /// A fount of the items of a stream.
    pub fn new(stream: S) -> Self {
        Self::fallible(Sound(stream))
    }
}

impl<T, S: Stream<Item = Result<T, Error>> + Unpin> Fount<S> {
    /// A fount of a stream that may fail.
    pub fn fallible(stream: S) -> Self {
        Self {
            stream,
            over: false,
        }
    }

    /// What a tube makes of the items.
    pub fn through<U: Tube<In = T> + Unpin>(self, tube: U) -> Fount<Through<S, U>> {
        Fount::fallible(Through {
            fount: self.stream,
            tube,
            phase: Phase::New,
            failure: None,
        })
    }

    /// Behind a pointer, so that founts of one item are of one type.
    pub fn boxed<'a>(self) -> Fount<BoxedItems<'a, T>>
    where
        S: Send + 'a,
    {
        Fount::fallible(Box::pin(self.stream))
    }

    /// Flows to a sink, as it takes items, and closes it. Returns when the sink has closed: then it has
    /// finished its own work.
    ///
    /// # Errors
    /// What the fount failed with, or the sink; the other one is dropped without being closed.
    pub async fn flow_to<D>(mut self, drain: D) -> Result<(), Error>
    where
        D: Sink<T>,
        D::Error: Into<Error>,
    {
        let mut drain = pin!(drain);
        loop {
            // What has been sent is let out when nothing more comes at once.
            let item = poll_fn(|cx| match Pin::new(&mut self).poll_next(cx) {
                Poll::Pending => match drain.as_mut().poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                    _ => Poll::Pending,
                },
                Poll::Ready(item) => Poll::Ready(Ok(item)),
            });
            let Some(item) = item.await? else {
                break;
            };
            poll_fn(|cx| drain.as_mut().poll_ready(cx))
                .await
                .map_err(Into::into)?;
            drain.as_mut().start_send(item?).map_err(Into::into)?;
        }
        poll_fn(|cx| drain.as_mut().poll_close(cx))
            .await
            .map_err(Into::into)
    }
}

impl<T, S: Stream<Item = Result<T, Error>> + Unpin> Stream for Fount<S> {
    type Item = Result<T, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = ready!(Pin::new(&mut self.stream).poll_next(cx));
        self.over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

/// What a tube makes of a fount's items. Made by [`Fount::through`].
#[derive(Debug)]
pub struct Through<S, U> {
    fount: S,
    tube: U,
    phase: Phase,
    /// What the fount ended with; it comes behind what the tube still has to give.
    failure: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Flowing,
    Ended,
    Over,
}

impl<T, S, U> Through<S, U>
where
    S: Stream<Item = Result<T, Error>> + Unpin,
    U: Tube<In = T>,
{
    /// Everything but the passing on of items. Returns whether there is more to do.
    #[cold]
    fn turn(&mut self, end: Option<Option<Error>>) -> Result<bool, Error> {
        match (self.phase, end) {
            (Phase::New, _) => {
                self.phase = Phase::Flowing;
                self.tube.started()?;
            }
            (Phase::Flowing, Some(failure)) => {
                self.phase = Phase::Ended;
                let reason = match &failure {
                    Some(error) => Reason::Failed(error.clone()),
                    None => Reason::Done,
                };
                self.failure = failure;
                self.tube.stopped(&reason)?;
            }
            (Phase::Flowing | Phase::Ended, _) if self.tube.has_gathered() => self.tube.flush()?,
            (Phase::Ended, _) => {
                self.phase = Phase::Over;
                return self.failure.take().map_or(Ok(false), Err);
            }
            (Phase::Flowing | Phase::Over, _) => return Ok(false),
        }
        Ok(true)
    }
}

impl<T, S, U> Stream for Through<S, U>
where
    S: Stream<Item = Result<T, Error>> + Unpin,
    U: Tube<In = T>,
    Self: Unpin,
{
    type Item = Result<U::Out, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(output) = this.tube.next()? {
                return Poll::Ready(Some(Ok(output)));
            }
            if this.phase != Phase::Flowing {
                match this.turn(None) {
                    Ok(true) => continue,
                    Ok(false) => return Poll::Ready(None),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            match Pin::new(&mut this.fount).poll_next(cx) {
                Poll::Ready(Some(Ok(item))) => {
                    if let Some(output) = this.tube.apply(item)? {
                        return Poll::Ready(Some(Ok(output)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.turn(Some(Some(error)))?;
                }
                Poll::Ready(None) => {
                    this.turn(Some(None))?;
                }
                Poll::Pending if this.turn(None)? => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(feature = "tokio")]
mod io {
    use bytes::{Bytes, BytesMut};
    use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

    use super::{Context, Error, Fount, Pin, Poll, Stream, poll_fn, ready};

    /// The most bytes that are read at once.
    const CHUNK: usize = 1 << 16;

    /// Chunks of what something reads. Made by [`Fount::read`].
    #[derive(Debug)]
    pub struct Chunks<R> {
        reader: R,
        buffer: BytesMut,
    }

    impl<R: AsyncRead + Unpin> Fount<Chunks<R>> {
        /// What something reads, in chunks, until its end. It is read only when more is wanted.
        pub fn read(reader: R) -> Self {
            Self {
                stream: Chunks {
                    reader,
                    buffer: BytesMut::new(),
                },
                over: false,
            }
        }
    }

    impl<R: AsyncRead + Unpin> Stream for Chunks<R> {
        type Item = Result<Bytes, Error>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            let this = &mut *self;
            this.buffer.resize(CHUNK, 0);
            let mut buffer = ReadBuf::new(&mut this.buffer);
            let read = ready!(Pin::new(&mut this.reader).poll_read(cx, &mut buffer));
            let length = buffer.filled().len();
            Poll::Ready(match read {
                Err(error) => Some(Err(Error::other(error))),
                Ok(()) if length == 0 => None,
                Ok(()) => Some(Ok(this.buffer.split_to(length).freeze())),
            })
        }
    }

    impl<S: Stream<Item = Result<Bytes, Error>> + Unpin> Fount<S> {
        /// Writes all chunks, and shuts the writer down: returns when all has been written.
        ///
        /// # Errors
        /// What the fount failed with, or the writer.
        pub async fn write_to<W: AsyncWrite + Unpin>(mut self, mut writer: W) -> Result<(), Error> {
            while let Some(chunk) = poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
                writer.write_all(&chunk?).await.map_err(Error::other)?;
            }
            writer.shutdown().await.map_err(Error::other)
        }
    }
}

#[cfg(feature = "tokio")]
pub use io::Chunks;
