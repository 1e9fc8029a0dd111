//! The Python extension module `marotte._core`. Each file converts and delegates; the algorithms
//! are in the core crate.

mod backoff;
mod bigint;
mod convert;
mod deferred;
mod dialling;
mod errors;
mod finalizer;
mod greeting;
mod host;
mod idle;
mod invoke;
mod local;
mod ports;
mod promise;
mod reference;
mod socket;
mod stream;
mod task;
mod trace;
mod tub;
mod tubes;
mod values;

use pyo3::prelude::*;

// Not tried without the interpreter lock: a free-threaded Python switches it on for this module,
// and says so.
#[pymodule(gil_used = true)]
mod _core {
    #[pymodule_export]
    use crate::backoff::Backoff;
    #[pymodule_export]
    use crate::deferred::{
        DebugFlag, Deferred, DeferredList, DeferredLock, DeferredQueue, DeferredSemaphore,
        ensure_deferred, execute, fail, gather_results, maybe_deferred, race, recognise_deferred,
        succeed, unwind_generator,
    };
    #[pymodule_export]
    use crate::errors::DisconnectedError;
    #[pymodule_export]
    use crate::local::{LocalVat, Resolver, Send};
    #[pymodule_export]
    use crate::ports::Listener;
    #[pymodule_export]
    use crate::promise::Promise;
    #[pymodule_export]
    use crate::reference::{Method, RemoteReference};
    #[pymodule_export]
    use crate::trace::Trace;
    #[pymodule_export]
    use crate::tub::{Tub, Turns};
    #[pymodule_export]
    use crate::tubes::{
        Hub, NativeTube, Pause, Pauser, Pending, PyAllowance, PyWindow, Siphon, SiphonDrain,
        SiphonFount, Skip, StageTube, size_of,
    };
    #[pymodule_export]
    use crate::values::{PySturdyRef, Referenceable};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Some of the class put into it by hand.
        let debug = Bound::new(module.py(), DebugFlag)?;
        let class = module.py().get_type::<Deferred>();
        class.setattr("debug", debug)?;
        deferred::install_fast_methods(&class)?;
        finalizer::install(&module.py().get_type::<Promise>());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
