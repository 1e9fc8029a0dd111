"""Runs the tests of one module; run.py starts this in an interpreter of its own.

What happens is said on a pipe, a line of JSON for each event, when it happens: after a crash it is
known which test that was in.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback
import types

DEFER = "twisted.internet.defer"


class Pipe:
    """The way to run.py."""

    def __init__(self, descriptor):
        # Processes that the tests start have no business with it.
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def say(self, *event):
        os.write(self._descriptor, (json.dumps(event) + "\n").encode())


def genuine_functions():
    """The functions made by Twisted's own defer.py, if that has been run at all."""
    path = os.path.join(os.path.dirname(sys.modules["twisted"].__file__), "internet", "defer.py")
    return [
        thing
        for thing in gc.get_objects()
        if type(thing) is types.FunctionType and thing.__code__.co_filename == path
    ]


def genuine_holders():
    """Twisted's modules which hold something of its own defer.py, and what."""
    functions = {id(function) for function in genuine_functions()}
    holders = {}
    for name, module in sorted(sys.modules.items()):
        if not name.startswith("twisted.") or name == DEFER:
            continue
        for key, value in vars(module).items():
            inside = vars(value).values() if isinstance(value, type) else ()
            if any(id(thing) in functions for thing in (value, *inside)):
                holders.setdefault(name, []).append(key)
    return holders


def substitute(mode):
    """Puts marotte.defer in its place."""
    if mode == "install":
        import marotte.twisted

        marotte.twisted.install()
        import twisted.internet

        ours = importlib.import_module("marotte.defer")
        if not (importlib.import_module(DEFER) is twisted.internet.defer is ours):
            raise RuntimeError("marotte.twisted.install() had no effect")
    elif mode == "patch":
        importlib.import_module("marotte.defer")


def check_leaks(pipe, mode):
    """With marotte.defer installed, Twisted's own must not have come in by any way."""
    if mode != "install" or not genuine_functions():
        return
    for holder, names in genuine_holders().items() or [("nobody", ["that is found"])]:
        pipe.say("leak", f"Twisted's own defer.py has been run; {holder} holds {', '.join(names)}")


def patch(module):
    """Has the module use marotte.defer for what it took from Twisted's own."""
    genuine = sys.modules[DEFER]
    ours = sys.modules["marotte.defer"]
    swapped = {id(genuine): ours}
    for key, value in vars(genuine).items():
        if getattr(value, "__module__", None) == DEFER and hasattr(ours, key):
            swapped[id(value)] = getattr(ours, key)
    for key, value in list(vars(module).items()):
        if id(value) in swapped:
            setattr(module, key, swapped[id(value)])


def leaves(suite):
    """The tests of a suite of suites."""
    for item in suite:
        if hasattr(item, "__iter__"):
            yield from leaves(item)
        else:
            yield item


def load(name):
    """The tests of a module or package."""
    from twisted.internet import reactor  # noqa: F401 - tests take for granted that there is one
    from twisted.trial.runner import TestLoader

    return list(leaves(TestLoader().loadByName(name, recurse=True)))


def list_tests(pipe, names):
    """Says which tests there are."""
    from twisted.trial.runner import ErrorHolder

    for name in names:
        tests = [test for test in load(name) if not isinstance(test, ErrorHolder)]
        pipe.say("tests", name, [test.id() for test in tests])


def make_recorder(pipe):
    """A result for trial's tests that says how they end."""
    from twisted.trial import reporter

    class Recorder(reporter.TestResult):
        """Of several outcomes of a test, says the worst."""

        def startTest(self, test):
            super().startTest(test)
            self._outcome = None
            self._started = time.monotonic()
            pipe.say("start", test.id())

        def stopTest(self, test):
            super().stopTest(test)
            outcome, detail = self._outcome or ("failed", "it ended without an outcome")
            pipe.say("end", test.id(), outcome, detail, time.monotonic() - self._started)

        def _bad(self, reason):
            # What went wrong first is most often the reason of the rest.
            if self._outcome is None or self._outcome[0] != "failed":
                self._outcome = "failed", self._getFailure(reason).getTraceback()

        def addSuccess(self, test):
            super().addSuccess(test)
            self._outcome = self._outcome or ("passed", "")

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            self._outcome = self._outcome or ("skipped", str(reason))

        def addExpectedFailure(self, test, error, todo=None):
            super().addExpectedFailure(test, error, todo)
            self._outcome = self._outcome or ("passed", "")

        def addUnexpectedSuccess(self, test, todo=None):
            super().addUnexpectedSuccess(test, todo)
            self._outcome = "failed", f"it passed, though that is not expected: {todo}"

        def addFailure(self, test, reason):
            super().addFailure(test, reason)
            self._bad(reason)

        def addError(self, test, reason):
            super().addError(test, reason)
            self._bad(reason)

    return Recorder()


def run_tests(pipe, task):
    """Runs the tests of one module, except those that have been run before."""
    mode = task["mode"]
    substitute(mode)
    tests = load(task["module"])
    if mode == "patch":
        for name in {test.__class__.__module__ for test in tests}:
            if name.startswith(task["module"]):
                patch(sys.modules[name])
    check_leaks(pipe, mode)
    done = set(task["done"])
    recorder = make_recorder(pipe)
    for test in tests:
        if test.id() not in done:
            done.add(test.id())
            test.run(recorder)
    check_leaks(pipe, mode)


def main():
    pipe = Pipe(int(sys.argv[2]))
    with open(sys.argv[1]) as file:
        task = json.load(file)
    if "list" in task:
        list_tests(pipe, task["list"])
    else:
        run_tests(pipe, task)
    pipe.say("done")


if __name__ == "__main__":
    status = 1
    try:
        main()
        status = 0
    except BaseException:  # noqa: BLE001 - there is no interpreter's end to print it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # A thread that a test has left behind must not keep it alive.
        os._exit(status)
