"""Which of Twisted's tests are run, and which of those look inside."""

import fnmatch
import importlib.util
import pathlib

# What Deferreds, inlineCallbacks, coroutines and failures are tested by.
CORE = (
    "twisted.test.test_defer",
    "twisted.internet.test.test_inlinecb",
    "twisted.internet.test.test_defer_await",
    "twisted.internet.test.test_defer_yieldfrom",
    "twisted.test.test_failure",
    "twisted.test.test_cooperator",
    "twisted.test.test_task",
    "twisted.test.test_threads",
    "twisted.trial.test.test_deferred",
    "twisted.internet.test.test_asyncioreactor",
)


def _wide():
    """Every package of tests that Twisted has: the servers, the protocols, trial itself."""
    twisted = pathlib.Path(importlib.util.find_spec("twisted").origin).parent
    for folder in sorted(twisted.rglob("test/__init__.py")):
        yield ".".join(("twisted", *folder.parent.relative_to(twisted).parts))


PRESETS = {"core": lambda: list(CORE), "wide": lambda: list(_wide())}

_DEFER = "twisted.test.test_defer."
_INLINE = "twisted.internet.test.test_inlinecb."
_CHAINED = "reads the private Deferred._chainedTo"
_RETURN = "wants a warning to name twisted.internet.defer.returnValue"

# Tests of how Twisted's module is made, by pattern of their id. They are run as well, but what
# they say is not held against another implementation.
_WHITE_BOX = {
    _DEFER + "DeferredTests.test_chainDeferredRecordsExplicitChain": _CHAINED,
    _DEFER + "DeferredTests.test_chainDeferredRecordsImplicitChain": _CHAINED,
    _DEFER + "DeferredTests.test_explicitChainClearedWhenResolved": _CHAINED,
    _DEFER + "DeferredTests.test_DEFERRED_SUBCLASSES": (
        "reads and shortens the private _DEFERRED_SUBCLASSES"
    ),
    _DEFER + "DeferredTests.test_succeedMatchesManualSuccess": (
        "compares the __dict__ of two Deferreds"
    ),
    _DEFER + "DeferredTests.test_callbacksAttributeDeprecated": (
        "wants the deprecated Deferred.callbacks, and a warning that names it"
    ),
    _DEFER + "DeferredFilesystemLockTests.test_cancelDeferUntilLocked*": (
        "reads the private DeferredFilesystemLock._tryLockCall"
    ),
    _DEFER + "DeferredFilesystemLockTests.test_defaultScheduler": (
        "reads the private DeferredFilesystemLock._scheduler"
    ),
    _DEFER + "TimeoutErrorTests.test_deprecatedTimeout": (
        "wants a warning to name twisted.internet.defer.timeout"
    ),
    _INLINE + "NonLocalExitTests.*": _RETURN,
    _INLINE + "BasicTests.testReturnValueDeprecated": _RETURN,
    _INLINE + "BasicTests.test_internalDefGenReturnValueDoesntLeak": _RETURN,
    "twisted.trial._dist.test.test_disttrial.WorkerPoolTests.test_launchWorkerProcesses": (
        "wants the worker's program to follow the interpreter; ours is run by marotte.twisted"
    ),
}


def white_box(test):
    """Why the test with this id is a white-box test; None if it is a fair one."""
    for pattern, reason in _WHITE_BOX.items():
        if fnmatch.fnmatchcase(test, pattern):
            return reason
    return None
