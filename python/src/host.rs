//! `impl Host` for Python.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use marotte::host::{Host, Message, Note, Outcome, Ref, Reply};
use marotte::passable::{Item, View};
use marotte::promise::Cell;
use marotte::vat::{Connection, TurnQueue, Vat};
use marotte::{Error, Location};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::convert::{self, PyBuilder};
use crate::errors::{self, Failure, RemoteError};
use crate::idle::IdleTimer;
use crate::invoke;
use crate::promise::Promise;
use crate::reference::RemoteReference;
use crate::tub::Turns;

/// The Python host.
#[derive(Debug)]
pub(crate) enum PyHost {}

/// A vat of Python objects.
pub(crate) type PyVat = Vat<PyHost>;

/// What to do when a promise settles.
pub(crate) enum Callback {
    /// `_then` / `_except`: call one of two functions; its result settles another promise.
    Then {
        on_value: Option<Py<PyAny>>,
        on_failure: Option<Py<PyAny>>,
        next: Py<Promise>,
    },
    /// A turn: call this. The result settles the promise, if there is one.
    Eventually {
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        result: Option<Py<Promise>>,
    },
    /// A message to a near object: call its method of that name.
    Near {
        object: Py<PyAny>,
        name: Py<PyString>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
        result: Option<Py<Promise>>,
    },
    /// The promise was cancelled: this is to be cancelled, a task or a Deferred.
    Cancel(Py<PyAny>),
    /// Somebody awaits: an asyncio future, or what stands in for one elsewhere.
    Future(Py<PyAny>),
}

/// Connects to a peer.
type Dialler =
    Box<dyn Fn(Python<'_>, &Location) -> Result<Arc<Connection<PyHost>>, Error> + Send + Sync>;

/// What a Python vat keeps: how to get things done on its event loop.
pub(crate) struct Home {
    /// A runner of `marotte._runner`; chosen at the first use that needs it.
    runner: PyOnceLock<Py<PyAny>>,
    thread: OnceLock<std::thread::ThreadId>,
    /// `runner.call_soon`, `runner.call_turns`, and `runner.turns()`: what that is to be called with.
    call_soon: PyOnceLock<Py<PyAny>>,
    call_turns: PyOnceLock<Py<PyAny>>,
    turns: PyOnceLock<Py<Turns>>,
    /// `runner.create_future`, and whether what it gives is a wrapper around a Deferred.
    create_future: PyOnceLock<(Py<PyAny>, bool)>,
    /// `runner.enter` and `runner.leave`.
    steps: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
    idle: PyOnceLock<Py<IdleTimer>>,
    /// The tub's; a vat without a tub has none.
    dialler: OnceLock<Dialler>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            runner: PyOnceLock::new(),
            thread: OnceLock::new(),
            call_soon: PyOnceLock::new(),
            call_turns: PyOnceLock::new(),
            turns: PyOnceLock::new(),
            create_future: PyOnceLock::new(),
            steps: PyOnceLock::new(),
            idle: PyOnceLock::new(),
            dialler: OnceLock::new(),
        }
    }

    /// The runner, chosen now if it was not before: the running asyncio loop, Twisted's reactor if
    /// one is installed, else none (calls then block).
    pub(crate) fn runner<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let runner = self.runner.get_or_try_init(py, || -> PyResult<_> {
            let runner = py.import("marotte._runner")?.call_method0("choose")?;
            let _ = self.thread.set(std::thread::current().id());
            Ok(runner.unbind())
        })?;
        Ok(runner.bind(py))
    }

    /// Sets the runner before the first use. Fails if one was chosen already.
    pub(crate) fn set_runner(&self, py: Python<'_>, runner: Py<PyAny>) -> bool {
        let _ = self.thread.set(std::thread::current().id());
        self.runner.set(py, runner).is_ok()
    }

    /// The turns of the event loop, which all its vats share.
    fn turns<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, Turns>> {
        let turns = self.turns.get_or_try_init(py, || -> PyResult<_> {
            let turns = self.runner(py)?.call_method0(intern!(py, "turns"))?;
            Ok(turns.cast_into::<Turns>()?.unbind())
        })?;
        Ok(turns.bind(py))
    }

    pub(crate) fn set_dialler(&self, dialler: Dialler) {
        let _ = self.dialler.set(dialler);
    }

    /// A new future of the event loop, and whether it wraps a Deferred.
    pub(crate) fn create_future<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, bool)> {
        let (create, wraps) = self.create_future.get_or_try_init(py, || -> PyResult<_> {
            let runner = self.runner(py)?;
            let wraps = runner.getattr("wraps_deferreds")?.is_truthy()?;
            Ok((runner.getattr("create_future")?.unbind(), wraps))
        })?;
        Ok((create.bind(py).call0()?, *wraps))
    }

    /// True if the futures of the event loop wrap Deferreds.
    fn wraps_deferreds(&self, py: Python<'_>) -> bool {
        self.create_future.get(py).is_some_and(|(_, wraps)| *wraps)
    }

    /// Lets a connection tell its peer before long what is held no more. On the vat's thread only.
    pub(crate) fn collect_later(
        &self,
        py: Python<'_>,
        connection: &Arc<Connection<PyHost>>,
    ) -> PyResult<()> {
        let idle = self
            .idle
            .get_or_try_init(py, || Py::new(py, IdleTimer::new()))?;
        IdleTimer::collect_later(idle.bind(py), self, connection)
    }

    /// Leaves nothing of this vat on the event loop.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(idle) = self.idle.get(py) {
            idle.get().close(py, self)?;
        }
        self.runner(py)?.call_method0(intern!(py, "closing"))?;
        Ok(())
    }

    /// True on the thread of the vat's event loop.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.thread.get() == Some(&std::thread::current().id())
    }

    /// The functions to call around the first step of a coroutine.
    pub(crate) fn steps(&self, py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
        self.steps.get_or_try_init(py, || {
            let runner = self.runner(py)?;
            Ok((
                runner.getattr("enter")?.unbind(),
                runner.getattr("leave")?.unbind(),
            ))
        })
    }

    /// Calls `function()` soon on the vat's thread; any thread may ask.
    pub(crate) fn call_soon(&self, py: Python<'_>, function: &Py<PyAny>) -> PyResult<()> {
        self.call_by(py, &self.call_soon, intern!(py, "call_soon"), function)
    }

    /// Has the turns run soon on the vat's thread; any thread may ask.
    fn run_soon(&self, py: Python<'_>) -> PyResult<()> {
        let turns = self.turns(py)?.as_any().as_unbound();
        self.call_by(py, &self.call_turns, intern!(py, "call_turns"), turns)
    }

    fn call_by(
        &self,
        py: Python<'_>,
        known: &PyOnceLock<Py<PyAny>>,
        method: &Bound<'_, PyString>,
        function: &Py<PyAny>,
    ) -> PyResult<()> {
        let runner = self.runner(py)?;
        if self.is_own_thread() {
            let method = known.get_or_try_init(py, || runner.getattr(method).map(Bound::unbind))?;
            if let Err(error) = method.bind(py).call1((function,)) {
                // A loop that has been closed has nothing left to do for us.
                let closed = runner.call_method0(intern!(py, "is_closed"))?.is_truthy()?;
                return if closed { Ok(()) } else { Err(error) };
            }
        } else {
            runner.call_method1(intern!(py, "call_soon_threadsafe"), (function,))?;
        }
        Ok(())
    }
}

impl Home {
    /// Calls `function()` after so many seconds on the vat's thread; any thread may ask. Returns
    /// what the runner's `cancel` takes.
    pub(crate) fn call_later(
        &self,
        py: Python<'_>,
        seconds: f64,
        function: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        let runner = self.runner(py)?;
        let method = if self.is_own_thread() {
            intern!(py, "call_later")
        } else {
            intern!(py, "call_later_threadsafe")
        };
        runner
            .call_method1(method, (seconds, function))
            .map(Bound::unbind)
    }
}

thread_local! {
    /// The buffer that results are written in before they are sent.
    static SCRATCH: RefCell<PyBuilder> = RefCell::new(PyBuilder::default());
}

/// Runs `f` with an empty builder whose buffers are reused.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut PyBuilder) -> T) -> T {
    // Taken out, because what is emitted may run Python code that emits in turn.
    let mut builder = SCRATCH.take();
    let result = f(&mut builder);
    builder.clear();
    SCRATCH.set(builder);
    result
}

/// A reference as a Python object.
pub(crate) fn unwrap_reference<'py>(
    py: Python<'py>,
    vat: &Arc<PyVat>,
    reference: &Ref<PyHost>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match reference {
        Ref::Local(object) => object.bind(py).clone(),
        Ref::Promise(promise) => promise.bind(py).clone().into_any(),
        Ref::Far(import) => RemoteReference::for_import(py, vat, import)?.into_any(),
    })
}

impl Host for PyHost {
    type Cx<'a> = Python<'a>;
    type Object = Py<PyAny>;
    type Promise = Py<Promise>;
    /// A weak reference of Python's.
    type WeakPromise = Option<Py<PyWeakrefReference>>;
    type Value = Py<PyAny>;
    type Failure = Failure;
    type Callback = Callback;
    type Home = Home;

    fn dup_object(py: Python<'_>, object: &Py<PyAny>) -> Py<PyAny> {
        object.clone_ref(py)
    }

    fn dup_promise(py: Python<'_>, promise: &Py<Promise>) -> Py<Promise> {
        promise.clone_ref(py)
    }

    fn dup_value(py: Python<'_>, value: &Py<PyAny>) -> Py<PyAny> {
        value.clone_ref(py)
    }

    fn dup_failure(py: Python<'_>, failure: &Failure) -> Failure {
        failure.dup(py)
    }

    fn identity(object: &Py<PyAny>) -> usize {
        object.as_ptr() as usize
    }

    fn downgrade(py: Python<'_>, promise: &Py<Promise>) -> Self::WeakPromise {
        // It fails only when memory is out.
        PyWeakrefReference::new(promise.bind(py))
            .map(Bound::unbind)
            .ok()
    }

    fn upgrade(py: Python<'_>, weak: &Self::WeakPromise) -> Option<Py<Promise>> {
        let promise = weak.as_ref()?.bind(py).upgrade()?;
        Some(promise.cast_into::<Promise>().ok()?.unbind())
    }

    fn is_same_promise(one: &Py<Promise>, other: &Py<Promise>) -> bool {
        one.is(other)
    }

    fn new_promise(py: Python<'_>, vat: &Arc<PyVat>, cell: Cell<Self>) -> Py<Promise> {
        Promise::create(py, vat, cell)
    }

    fn with_cell<R>(
        _: Python<'_>,
        promise: &Py<Promise>,
        f: impl FnOnce(&mut Cell<Self>) -> R,
    ) -> R {
        f(&mut promise.get().cell())
    }

    fn invoke(
        py: Python<'_>,
        vat: &Arc<PyVat>,
        object: &Py<PyAny>,
        message: Message<'_, Self>,
    ) -> Reply<Self> {
        invoke::invoke(py, vat, object.bind(py), message).unwrap_or_else(|error| {
            // The caller is told by message only; whoever looks for the traceback finds it here.
            errors::log_failed_method(py, message.selector, &error);
            Reply::Failure(Failure::of(py, error))
        })
    }

    fn call(py: Python<'_>, vat: &Arc<PyVat>, callback: Callback, outcome: Outcome<Self>) {
        invoke::call(py, vat, callback, outcome);
    }

    fn notify(
        py: Python<'_>,
        vat: &Arc<PyVat>,
        callback: Callback,
        outcome: &Outcome<Self>,
    ) -> Option<Callback> {
        match callback {
            // A future of asyncio's tells its waiters later; a Deferred would call them here.
            Callback::Future(future) if !vat.home().wraps_deferreds(py) => {
                invoke::call(py, vat, Callback::Future(future), outcome.dup(py));
                None
            }
            callback => Some(callback),
        }
    }

    fn accept(
        py: Python<'_>,
        vat: &Arc<PyVat>,
        value: View<'_, Ref<Self>>,
    ) -> Result<Py<PyAny>, Failure> {
        convert::accept(py, vat, &mut value.reader())
            .map(Bound::unbind)
            .map_err(|error| Failure::of(py, error))
    }

    fn accept_failure(py: Python<'_>, vat: &Arc<PyVat>, reason: View<'_, Ref<Self>>) -> Failure {
        let error = match reason.reader().next() {
            Ok(Item::Error(message)) => {
                errors::remote(py, &marotte::RemoteError::from_wire(message))
            }
            _ => match convert::accept(py, vat, &mut reason.reader()) {
                Ok(value) => RemoteError::new_err(value.unbind()),
                Err(error) => error,
            },
        };
        Failure::of(py, error)
    }

    fn emit<T>(
        py: Python<'_>,
        value: &Py<PyAny>,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> Result<T, Error> {
        with_scratch(|out| {
            convert::emit_result(out, value.bind(py))?;
            Ok(f(out.view()))
        })
    }

    fn emit_failure<T>(
        py: Python<'_>,
        vat: &Arc<PyVat>,
        failure: &Failure,
        f: impl FnOnce(View<'_, Ref<Self>>) -> T,
    ) -> T {
        let error = failure.raise(py);
        with_scratch(|out| {
            if let Some(reason) = errors::plain_reason(py, &error)
                && convert::emit_result(out, &reason).is_ok()
            {
                return f(out.view());
            }
            out.clear();
            out.error(&errors::describe(py, &error, vat.shows_tracebacks()));
            f(out.view())
        })
    }

    fn failure(py: Python<'_>, error: Error) -> Failure {
        Failure::of(py, errors::to_exception(error))
    }

    fn target(py: Python<'_>, value: &Py<PyAny>) -> Option<Ref<Self>> {
        let value = value.bind(py);
        if let Ok(promise) = value.cast_exact::<Promise>() {
            Some(Ref::Promise(promise.clone().unbind()))
        } else if let Ok(reference) = value.cast_exact::<RemoteReference>() {
            Some(Ref::Far(Arc::clone(&reference.get().import)))
        } else if invoke::is_data(value) {
            None
        } else {
            Some(Ref::Local(value.clone().unbind()))
        }
    }

    fn value_of(py: Python<'_>, reference: Ref<Self>) -> Py<PyAny> {
        let vat = match &reference {
            Ref::Far(import) => import.connection().vat(),
            _ => None,
        };
        match (reference, vat) {
            (Ref::Local(object), _) => object,
            (Ref::Promise(promise), _) => promise.into_any(),
            (Ref::Far(import), Some(vat)) => RemoteReference::for_import(py, &vat, &import)
                .map_or_else(|_| py.None(), |reference| reference.into_any().unbind()),
            (Ref::Far(_), None) => py.None(),
        }
    }

    fn dial(
        py: Python<'_>,
        vat: &Arc<PyVat>,
        to: &Location,
    ) -> Result<Arc<Connection<Self>>, Error> {
        match vat.home().dialler.get() {
            Some(dial) => dial(py, to),
            None => Err(Error::Misuse(
                "objects that belong to no tub connect nowhere".to_owned(),
            )),
        }
    }

    fn turn_queue(vat: &Arc<PyVat>) -> Arc<TurnQueue<Self>> {
        Python::attach(|py| match vat.home().turns(py) {
            Ok(turns) => Arc::clone(&turns.get().0),
            Err(error) => {
                errors::log_exception(py, "there is no event loop for the turns", &error);
                TurnQueue::shared()
            }
        })
    }

    fn note(py: Python<'_>, _vat: &Arc<PyVat>, note: &Note<'_>) {
        errors::log_note(py, note);
    }

    fn schedule_turns(vat: &Arc<PyVat>) {
        Python::attach(|py| {
            if let Err(error) = vat.home().run_soon(py) {
                errors::log_exception(py, "cannot schedule the vat's turns", &error);
            }
        });
    }
}

/// The attribute name of a remote method: `remote_` and its name on the wire.
pub(crate) fn remote_name<'py>(py: Python<'py>, selector: &str) -> Bound<'py, PyString> {
    /// Names that peers ask for come from their code, and are few; more may be an attack.
    const KEPT: usize = 1024;
    type Names = std::collections::HashMap<Box<str>, Py<PyString>>;
    thread_local! {
        static NAMES: RefCell<Names> = RefCell::new(Names::new());
    }
    NAMES.with_borrow_mut(|names| {
        if let Some(name) = names.get(selector) {
            return name.bind(py).clone();
        }
        let name = PyString::new(py, &format!("remote_{selector}"));
        if names.len() < KEPT {
            names.insert(selector.into(), name.clone().unbind());
        }
        name
    })
}
