//! The tube: what turns items into other items, in Rust.

use super::error::{Error, Reason};

/// Turns each item that it receives into any number of others.
///
/// A tube knows nothing of flow control. Whoever drives it takes all outputs with [`next`](Self::next)
/// before giving it another item, at whatever pace; so a tube that makes many items of one makes
/// them one by one, and holds no more than one input.
///
/// ```
/// use marotte::tube::{Error, Tube};
///
/// /// Each item twice.
/// #[derive(Default)]
/// struct Twice(Option<u32>, usize);
///
/// impl Tube for Twice {
///     type In = u32;
///     type Out = u32;
///
///     fn received(&mut self, item: u32) -> Result<(), Error> {
///         (self.0, self.1) = (Some(item), 2);
///         Ok(())
///     }
///
///     fn next(&mut self) -> Result<Option<u32>, Error> {
///         let Some(left) = self.1.checked_sub(1) else {
///             return Ok(None);
///         };
///         self.1 = left;
///         Ok(self.0)
///     }
/// }
///
/// let mut twice = Twice::default();
/// twice.received(7)?;
/// assert_eq!((twice.next()?, twice.next()?, twice.next()?), (Some(7), Some(7), None));
/// # Ok::<(), Error>(())
/// ```
pub trait Tube {
    /// What it takes.
    type In;
    /// What it gives.
    type Out;

    /// The flow starts. Outputs may be ready after it.
    ///
    /// # Errors
    /// Stops the flow both ways.
    fn started(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Takes an item. Called only after `next` gave `None`.
    ///
    /// # Errors
    /// Stops the flow both ways.
    fn received(&mut self, item: Self::In) -> Result<(), Error>;

    /// Gives an output; `None` if there is none until another item comes.
    ///
    /// # Errors
    /// Stops the flow both ways.
    fn next(&mut self) -> Result<Option<Self::Out>, Error>;

    /// Takes an item and gives the first output, if there is one at once: `received` and then `next`,
    /// which a tube that mostly makes one of one can do for less.
    ///
    /// # Errors
    /// As [`received`](Self::received) and [`next`](Self::next).
    #[inline]
    fn apply(&mut self, item: Self::In) -> Result<Option<Self::Out>, Error> {
        self.received(item)?;
        self.next()
    }

    /// Whether it makes one output of many inputs, so that it would rather be given many at once.
    fn gathers(&self) -> bool {
        false
    }

    /// Whether it keeps something that [`flush`](Self::flush) would let out.
    fn has_gathered(&self) -> bool {
        false
    }

    /// No more items come at once: what was gathered is to go out. Called only if
    /// [`has_gathered`](Self::has_gathered); `next` is called after it.
    ///
    /// # Errors
    /// Stops the flow both ways.
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// The flow has stopped: no more items come. Outputs may be ready after it.
    ///
    /// # Errors
    /// Becomes the reason for those below.
    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        let _ = reason;
        Ok(())
    }

    /// Undoes: given outputs that nobody has taken, what the tube would have to be given to make
    /// them, and all else that it keeps. For diverting a flow to another drain.
    fn reassemble(&mut self, outputs: Vec<Self::Out>) -> Vec<Self::In> {
        drop(outputs);
        Vec::new()
    }

    /// This tube and then another.
    fn then<T: Tube<In = Self::Out>>(self, next: T) -> Then<Self, T>
    where
        Self: Sized,
    {
        Then {
            first: self,
            second: next,
            ending: None,
            flushing: false,
        }
    }
}

impl<T: Tube + ?Sized> Tube for Box<T> {
    type In = T::In;
    type Out = T::Out;

    fn started(&mut self) -> Result<(), Error> {
        (**self).started()
    }

    fn received(&mut self, item: Self::In) -> Result<(), Error> {
        (**self).received(item)
    }

    fn next(&mut self) -> Result<Option<Self::Out>, Error> {
        (**self).next()
    }

    fn apply(&mut self, item: Self::In) -> Result<Option<Self::Out>, Error> {
        (**self).apply(item)
    }

    fn gathers(&self) -> bool {
        (**self).gathers()
    }

    fn has_gathered(&self) -> bool {
        (**self).has_gathered()
    }

    fn flush(&mut self) -> Result<(), Error> {
        (**self).flush()
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        (**self).stopped(reason)
    }

    fn reassemble(&mut self, outputs: Vec<Self::Out>) -> Vec<Self::In> {
        (**self).reassemble(outputs)
    }
}

/// Two tubes, one after the other: a tube again. Made by [`Tube::then`].
#[derive(Debug)]
pub struct Then<A, B> {
    first: A,
    second: B,
    /// The second one is told of the end when the first has nothing more to give.
    ending: Option<Reason>,
    /// No more items come at once.
    flushing: bool,
}

impl<A: Tube, B: Tube<In = A::Out>> Tube for Then<A, B> {
    type In = A::In;
    type Out = B::Out;

    fn started(&mut self) -> Result<(), Error> {
        self.second.started()?;
        self.first.started()
    }

    #[inline]
    fn received(&mut self, item: A::In) -> Result<(), Error> {
        self.first.received(item)
    }

    #[inline]
    fn apply(&mut self, item: A::In) -> Result<Option<B::Out>, Error> {
        if let Some(between) = self.first.apply(item)?
            && let Some(output) = self.second.apply(between)?
        {
            return Ok(Some(output));
        }
        self.next()
    }

    #[inline]
    fn next(&mut self) -> Result<Option<B::Out>, Error> {
        loop {
            if let Some(output) = self.second.next()? {
                return Ok(Some(output));
            }
            match self.first.next()? {
                Some(item) => {
                    if let Some(output) = self.second.apply(item)? {
                        return Ok(Some(output));
                    }
                }
                // The first one may still gather, and then the second may, too.
                None if self.first.has_gathered() && self.flushing => self.first.flush()?,
                None => match self.ending.take() {
                    Some(reason) => self.second.stopped(&reason)?,
                    None if self.flushing && self.second.has_gathered() => self.second.flush()?,
                    None => {
                        self.flushing = false;
                        return Ok(None);
                    }
                },
            }
        }
    }

    fn gathers(&self) -> bool {
        self.first.gathers()
    }

    fn has_gathered(&self) -> bool {
        self.first.has_gathered() || self.second.has_gathered()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.flushing = true;
        Ok(())
    }

    fn stopped(&mut self, reason: &Reason) -> Result<(), Error> {
        self.ending = Some(reason.clone());
        self.flushing = true;
        self.first.stopped(reason)
    }

    fn reassemble(&mut self, outputs: Vec<B::Out>) -> Vec<A::In> {
        let between = self.second.reassemble(outputs);
        self.first.reassemble(between)
    }
}

/// A tube of a function of one item to any number. Made by [`receiver`].
#[derive(Debug)]
pub struct Receiver<F, I, O: IntoIterator> {
    function: F,
    outputs: Option<O::IntoIter>,
    takes: std::marker::PhantomData<fn(I)>,
}

/// A tube that calls a function with each item and gives what the result iterates over, which is
/// advanced only as the items are wanted. An `Option` is none or one.
///
/// ```
/// use marotte::tube::{Tube, receiver};
///
/// let mut words = receiver(|line: String| {
///     line.split(' ').map(str::to_owned).collect::<Vec<_>>()
/// });
/// words.received("to be".to_owned())?;
/// assert_eq!(words.next()?.as_deref(), Some("to"));
/// assert_eq!(words.next()?.as_deref(), Some("be"));
/// assert_eq!(words.next()?, None);
/// # Ok::<(), marotte::tube::Error>(())
/// ```
pub fn receiver<F, I, O>(function: F) -> Receiver<F, I, O>
where
    F: FnMut(I) -> O,
    O: IntoIterator,
{
    Receiver {
        function,
        outputs: None,
        takes: std::marker::PhantomData,
    }
}

impl<F, I, O> Tube for Receiver<F, I, O>
where
    F: FnMut(I) -> O,
    O: IntoIterator,
{
    type In = I;
    type Out = O::Item;

    #[inline]
    fn received(&mut self, item: I) -> Result<(), Error> {
        self.outputs = Some((self.function)(item).into_iter());
        Ok(())
    }

    #[inline]
    fn apply(&mut self, item: I) -> Result<Option<O::Item>, Error> {
        let mut outputs = (self.function)(item).into_iter();
        let first = outputs.next();
        // Of one there is nothing to keep.
        if outputs.size_hint() != (0, Some(0)) {
            self.outputs = Some(outputs);
        }
        Ok(first)
    }

    #[inline]
    fn next(&mut self) -> Result<Option<O::Item>, Error> {
        Ok(self.outputs.as_mut().and_then(Iterator::next))
    }
}
