//! A cell for what Python's own lock protects.
//!
//! A Deferred looks at its state several times per callback, and taking a mutex each time is a
//! fifth of all that it does. On a Python with a global interpreter lock that lock is held already;
//! a flag then suffices to refuse a second borrow. On free-threaded builds this is a mutex.

#[cfg(not(Py_GIL_DISABLED))]
mod imp {
    use std::cell::{Cell, UnsafeCell};
    use std::ops::{Deref, DerefMut};

    use pyo3::Python;

    /// A value that is borrowed by one at a time, under the interpreter lock.
    pub(crate) struct Guarded<T> {
        borrowed: Cell<bool>,
        value: UnsafeCell<T>,
    }

    // SAFETY: both fields are touched only by threads that show they hold the interpreter lock (or
    // are its collector, for which the world stands still), so by one at a time; and a value that
    // moves between threads has to be Send.
    unsafe impl<T: Send> Sync for Guarded<T> {}

    /// A borrow; ends when dropped.
    pub(crate) struct Guard<'a, T> {
        cell: &'a Guarded<T>,
        // Not to be sent to a thread that does not hold the lock.
        _here: std::marker::PhantomData<*mut ()>,
    }

    impl<T> Guarded<T> {
        pub(crate) fn new(value: T) -> Self {
            Self {
                borrowed: Cell::new(false),
                value: UnsafeCell::new(value),
            }
        }

        /// Borrows the value. Nothing that may run Python code belongs between this and the end of
        /// the borrow.
        ///
        /// # Panics
        /// If it is borrowed.
        #[inline(always)]
        pub(crate) fn lock<'a>(&'a self, _py: Python<'a>) -> Guard<'a, T> {
            self.borrow().unwrap_or_else(|| already_borrowed())
        }

        /// Borrows the value in `__traverse__` and `__clear__`, if it is not borrowed.
        pub(crate) fn lock_for_collector(&self) -> Option<Guard<'_, T>> {
            // The collector calls with the interpreter lock held.
            self.borrow()
        }

        #[inline(always)]
        fn borrow(&self) -> Option<Guard<'_, T>> {
            if self.borrowed.replace(true) {
                return None;
            }
            Some(Guard {
                cell: self,
                _here: std::marker::PhantomData,
            })
        }
    }

    #[cold]
    fn already_borrowed() -> ! {
        panic!("a Deferred's state was used while it was being changed")
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline(always)]
        fn deref(&self) -> &T {
            // SAFETY: the flag is set, so this guard is the only way to the value.
            unsafe { &*self.cell.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline(always)]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as above, and the guard itself is borrowed mutably.
            unsafe { &mut *self.cell.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        #[inline(always)]
        fn drop(&mut self) {
            self.cell.borrowed.set(false);
        }
    }
}

#[cfg(Py_GIL_DISABLED)]
mod imp {
    use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

    use pyo3::Python;

    /// A value that is borrowed by one at a time.
    pub(crate) struct Guarded<T>(Mutex<T>);

    /// A borrow; ends when dropped.
    pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Guarded<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        /// Borrows the value. Nothing that may run Python code belongs between this and the end of
        /// the borrow.
        pub(crate) fn lock<'a>(&'a self, _py: Python<'a>) -> Guard<'a, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Borrows the value in `__traverse__` and `__clear__`, if it is not borrowed.
        pub(crate) fn lock_for_collector(&self) -> Option<Guard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }
    }
}

pub(crate) use imp::{Guard, Guarded};
