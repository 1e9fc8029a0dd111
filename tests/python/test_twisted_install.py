"""marotte.defer in the place of Twisted's own module: put there, run with, refused, or beside it."""

import functools
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("twisted.internet")

HERE = pathlib.Path(__file__).parent
RUN = ["-m", "marotte.twisted"]
ORDERS = [
    ("marotte.defer", "twisted.internet.defer"),
    ("twisted.internet.defer", "marotte.defer"),
]


def python(*arguments, cwd=None, **environ):
    """Runs Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        check=False,
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=100,
    )


def run_code(code, *options):
    """What the program prints; it has to succeed."""
    ran = python(*options, "-c", textwrap.dedent(code))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# ---- install()


def test_install():
    printed = run_code("""
        import sys
        import marotte.twisted
        assert not any(name.startswith("twisted.internet") for name in sys.modules)
        marotte.twisted.install()
        from marotte import defer
        from twisted import internet
        import twisted.internet.defer
        assert twisted.internet.defer is internet.defer is defer
        assert sys.modules["twisted.internet.defer"] is defer
        from twisted.internet import protocol, reactor, task, threads
        assert task.Deferred is protocol.defer.Deferred is defer.Deferred
        marotte.twisted.install()
        print(task.deferLater(reactor, 0).addCallback(lambda _: reactor.stop()).__class__.__module__)
        reactor.run()
    """)
    assert printed == "twisted.internet.defer\n"


def test_what_is_installed_has_the_names_of_twisted():
    printed = run_code("""
        import marotte.twisted
        marotte.twisted.install()
        import pickle
        from twisted.internet import defer
        from twisted.python import reflect
        error = pickle.loads(pickle.dumps(defer.CancelledError("why")))
        assert type(error) is defer.CancelledError
        assert b"marotte" not in pickle.dumps([error, defer.Deferred, defer.inlineCallbacks])
        print(reflect.qual(defer.Deferred), reflect.qual(defer.FirstError))
        print(reflect.namedAny("twisted.internet.defer.inlineCallbacks").__qualname__)
    """)
    names = "twisted.internet.defer.Deferred twisted.internet.defer.FirstError\ninlineCallbacks\n"
    assert printed == names


def test_a_late_install_is_refused_and_changes_nothing():
    printed = run_code("""
        from twisted.internet import task
        import marotte.twisted
        try:
            marotte.twisted.install()
        except RuntimeError as error:
            print(error)
        import twisted.internet.defer
        from marotte import defer
        assert twisted.internet.defer is not defer
        assert task.Deferred is twisted.internet.defer.Deferred
    """)
    assert "twisted.internet.task" in printed
    assert "before anything of Twisted is imported" in printed
    assert "python -m marotte.twisted" in printed


@pytest.mark.parametrize(
    "statement",
    ["from twisted.internet import defer", "from twisted.internet.defer import succeed"],
)
def test_a_refusal_names_the_programs_own_modules(statement):
    printed = run_code(f"""
        {statement}
        import marotte.twisted
        try:
            marotte.twisted.install()
        except RuntimeError as error:
            print(error)
    """)
    assert "install(): __main__ use" in printed


def test_nobody_minds_a_module_that_was_imported_and_not_used():
    run_code("""
        import twisted.internet.defer
        import marotte.twisted
        marotte.twisted.install()
        from marotte import defer
        from twisted.internet import task
        assert task.Deferred is twisted.internet.defer.Deferred is defer.Deferred
    """)


def test_exceptions_are_nobodys_own():
    # They are the same classes for both.
    run_code("""
        from twisted.internet.defer import CancelledError
        import marotte.twisted
        marotte.twisted.install()
        from twisted.internet import defer
        assert defer.CancelledError is CancelledError
    """)


# ---- python -m marotte.twisted

PROGRAM = """
import sys
import __main__
print(sys.argv, sys.path[0], __name__, __package__, __spec__ and __spec__.name)
print(globals().get("__file__"), type(__loader__), __main__.__dict__ is globals(), sorted(globals()))
def fail():
    if "interrupt" in sys.argv:
        raise KeyboardInterrupt
    if sys.argv[1:]:
        sys.exit(sys.argv[1])
    raise ValueError("no")
fail()
"""


@pytest.fixture
def programs(tmp_path):
    (tmp_path / "package").mkdir()
    for name in "program.py", "package/__init__.py", "package/__main__.py", "package/module.py":
        (tmp_path / name).write_text("" if name == "package/__init__.py" else PROGRAM)
    (tmp_path / "wrong.py").write_text("def f(:\n    pass\n")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["program.py"],
        ["program.py", "said at the end"],
        ["program.py", "interrupt", "-x"],
        ["package"],
        ["./program.py"],
        ["-m", "package", "3"],
        ["-m", "package.module"],
        ["-mprogram"],
        ["-m", "program", "interrupt"],
        ["-c", PROGRAM],
        ["-c", PROGRAM, "-m", "x"],
        ["wrong.py"],
        ["-m", "wrong"],
        ["-c", "def f(:"],
        ["missing.py"],
        ["-m", "missing"],
        ["-m", "package.missing"],
    ],
    ids=lambda command: " ".join(command).replace(PROGRAM, "PROGRAM"),
)
def test_programs_run_as_they_do_without_us(programs, command):
    plain, ours = python(*command, cwd=programs), python(*RUN, *command, cwd=programs)
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr
    assert ours.returncode == plain.returncode


def test_programs_run_on_our_deferreds():
    assert run_code("from twisted.internet import defer; print(defer.__name__)", *RUN) == (
        "marotte.defer\n"
    )


def test_an_exception_hook_sees_the_programs_frames_only(tmp_path):
    ran = python(
        *RUN,
        "-c",
        "import sys\n"
        "sys.excepthook = lambda kind, error, traceback: print(\n"
        "    kind.__name__, error, traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)\n"
        "raise ValueError('no')",
    )
    assert (ran.stdout, ran.returncode) == ("ValueError no <string> 4\n", 1)


def test_help_and_wrong_usage():
    shown = python(*RUN, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: python -m marotte.twisted FILE")
    for arguments in [], ["-m"], ["-c"], ["--version"]:
        refused = python(*RUN, *arguments)
        assert (refused.returncode, refused.stdout) == (2, ""), arguments
        assert shown.stdout in refused.stderr


def test_twist(tmp_path):
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    (tmp_path / "twisted" / "plugins" / "say.py").write_text(
        textwrap.dedent("""
            from twisted.application.service import IServiceMaker, Service
            from twisted.internet import defer, reactor
            from twisted.plugin import IPlugin
            from twisted.python.usage import Options
            from zope.interface import implementer

            class Say(Service):
                def startService(self):
                    print(defer.__name__, flush=True)
                    reactor.callLater(0, reactor.stop)

            @implementer(IServiceMaker, IPlugin)
            class Maker:
                tapname, description, options = "say", "says which", Options
                def makeService(self, options):
                    return Say()

            maker = Maker()
        """)
    )
    ran = python(*RUN, "-m", "twisted", "say", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "marotte.defer" in ran.stdout + ran.stderr, ran.stderr


# ---- trial

TESTS = """
import os
import sys
from twisted.internet import defer, reactor, task
from twisted.trial import unittest, _asynctest

class Tests(unittest.TestCase):
    def test_which(self):
        self.assertEqual(defer.__name__, "marotte.defer")
        self.assertIs(_asynctest.defer, defer)

    @defer.inlineCallbacks
    def test_generator(self):
        yield task.deferLater(reactor, 0)
        with open(os.environ["SEEN"], "a") as seen:
            seen.write(repr(sys.warnoptions))

    def test_fails(self):
        raise ValueError("as it should")
"""


@pytest.fixture
def trial(tmp_path):
    (tmp_path / "test_which.py").write_text(TESTS)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))

    def run(*arguments):
        seen = tmp_path / "seen"
        ran = python(*arguments, "test_which", cwd=tmp_path, PYTHONPATH=path, SEEN=str(seen))
        assert ran.returncode == 1, ran.stderr
        assert "FAILED (failures=1, successes=2)" in ran.stdout.replace("errors", "failures")
        return ran.stdout, seen.read_text()

    return run


SCRIPT = pathlib.Path(sys.executable).with_name("trial")


def test_trial_under_our_command(trial):
    trial(*RUN, "-m", "twisted.trial")


@pytest.mark.parametrize("jobs", [[], ["--jobs=2"]], ids=["alone", "workers"])
@pytest.mark.parametrize("command", [[SCRIPT], ["-m", "twisted.trial"]], ids=["script", "module"])
def test_trials_reporter(trial, command, jobs):
    trial(*command, "--reporter=marotte", *jobs)


def test_trial_begins_again_with_the_same_options_of_python(trial):
    assert trial("-W", "once::UserWarning", "-m", "twisted.trial", "--reporter=marotte")[1] == (
        "['once::UserWarning']"
    )


def test_trial_trims_tracebacks_as_ever(trial):
    shown, _ = trial("-m", "twisted.trial", "--reporter=marotte")
    (traceback,) = re.findall(r"Traceback.*?as it should", shown, re.DOTALL)
    assert [pathlib.Path(path).name for path in re.findall('File "(.*?)"', traceback)] == [
        "test_which.py"
    ]


def test_trial_lists_the_reporter_and_stays_itself():
    listed = python("-m", "twisted.trial", "--help-reporters").stdout
    assert re.search(r"^ *marotte\s.*marotte\.defer", listed, re.MULTILINE)


def test_a_trial_that_cannot_begin_again_says_what_to_do():
    code = "import sys; from twisted.scripts.trial import run; sys.argv[1:] = ['--reporter=marotte', 'x']"
    ran = python("-c", f"{code}; run()")
    assert ran.returncode == 1
    assert "python -m marotte.twisted -m twisted.trial" in ran.stderr


# ---- beside Twisted's own


@functools.cache
def checks_passed(order):
    ran = python(HERE / "beside.py", *order)
    return ran.stdout.split(), ran.stderr


@pytest.mark.parametrize("order", ORDERS, ids=" then ".join)
@pytest.mark.parametrize(
    "check", re.findall(r"^def (check_\w+)", (HERE / "beside.py").read_text(), re.MULTILINE)
)
def test_beside(check, order):
    passed, errors = checks_passed(order)
    assert check in passed, errors


def test_neither_module_imports_the_other():
    printed = run_code("""
        import sys
        import marotte.defer
        print("twisted.internet.defer" in sys.modules)
        import twisted.internet.defer
        before = len(sys.meta_path)
        import twisted.internet.task
        ours = [finder for finder in sys.meta_path if "marotte" in type(finder).__module__]
        print([finder._name for finder in ours])
    """)
    # Trial's may still come.
    assert printed == "False\n['twisted.trial.reporter']\n"


def test_the_source_of_twisteds_module_is_still_found():
    run_code("""
        import marotte.defer
        import importlib.util, inspect
        assert importlib.util.find_spec("twisted.internet.defer").loader is not None
        import twisted.internet.defer as genuine
        assert "exec_module" not in vars(genuine.__loader__)
        assert inspect.getsource(genuine.Deferred).startswith("class Deferred")
    """)
