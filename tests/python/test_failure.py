"""Failure: ours does what Twisted's does, and is Twisted's where that is installed."""

import copy
import doctest
import importlib.util
import io
import json
import pathlib
import pickle
import subprocess
import sys
import traceback

import marotte
import pytest
from marotte import _failure, failure

HERE = pathlib.Path(__file__).parent
TWISTED = importlib.util.find_spec("twisted") is not None

needs_twisted = pytest.mark.skipif(not TWISTED, reason="Twisted is not installed")

# They test functions and classes that only Twisted's module has: its make-believe tracebacks. Ours
# are real ones.
PRIVATE = {
    "FakeAttributesTests.test_fakeCodeAttributes",
    "FakeAttributesTests.test_fakeFrameAttributes",
    "FakeAttributesTests.test_fakeTracebackFrame",
    "FormattableTracebackTests.test_manyFrames",
    "FormattableTracebackTests.test_singleFrame",
}

# Prints which of Twisted's own tests of Failure pass with our class where Twisted's is.
STAND_IN = """
import importlib.util, json, sys, types
import twisted.python
from marotte import _failure

# A decorator that Twisted's own modules use, and a name that its messages have.
_failure._extraneous = lambda function: function
_failure.Failure.__module__ = "twisted.python.failure"
sys.modules["twisted.python.failure"] = twisted.python.failure = _failure

# One test wants a compiled module which may not be there, and can do without.
if importlib.util.find_spec("cython_test_exception_raiser") is None:
    absent = types.ModuleType("cython_test_exception_raiser")
    absent.raiser = None
    sys.modules[absent.__name__] = absent

from twisted.trial import reporter, runner

results = {}

class Reporter(reporter.TestResult):
    def note(self, test, *args, _how):
        results.setdefault(test.id().split(".", 3)[3], _how)

    def addSuccess(self, test):
        self.note(test, _how="passed")

    def addSkip(self, test, reason):
        self.note(test, _how="skipped")

    def addError(self, test, error):
        self.note(test, _how=str(error))

    addFailure = addError

tests = runner.TestLoader().loadByName("twisted.test.test_failure")
assert sys.modules["twisted.internet.defer"].Failure is _failure.Failure
tests.run(Reporter())
print(json.dumps(results))
"""


def run(code, *options):
    """What another interpreter prints when it runs this."""
    done = subprocess.run(
        [sys.executable, *options, "-W", "error", "-c", code],
        cwd=HERE,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_twisted
def test_our_class_passes_twisteds_tests():
    results = json.loads(run(STAND_IN).splitlines()[-1])
    assert {
        name: how for name, how in results.items() if how not in ("passed", "skipped")
    }.keys() == (PRIVATE & results.keys()), results
    assert list(results.values()).count("passed") >= 40


@needs_twisted
@pytest.mark.parametrize("first", ["marotte.failure", "twisted.python.failure"])
def test_it_is_twisteds_class_whatever_the_order_of_imports(first):
    code = f"""
import {first}
import marotte.failure, twisted.python.failure
print(marotte.failure.Failure is twisted.python.failure.Failure)
"""
    assert run(code) == "True"


WITHOUT_TWISTED = "import sys; sys.modules['twisted'] = None\n"


def test_it_is_ours_elsewhere():
    code = """
from marotte import _failure, failure
print(failure.Failure is _failure.Failure, failure.Failure.__module__)
"""
    assert run(WITHOUT_TWISTED + code) == "True marotte.failure"


def test_a_folder_named_twisted_is_not_twisted(tmp_path):
    """Projects that extend Twisted have one, with plugins."""
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    code = f"""
import sys
sys.path = [{str(tmp_path)!r}, {str(pathlib.Path(marotte.__file__).parents[1])!r}] + [
    folder for folder in sys.path if "site-packages" not in folder
]
from marotte import _failure, failure
print(failure.Failure is _failure.Failure)
"""
    assert run(code, "-S") == "True"


def test_a_broken_twisted_is_not_passed_over(tmp_path):
    package = tmp_path / "twisted" / "python"
    package.mkdir(parents=True)
    (tmp_path / "twisted" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "failure.py").write_text("import no_such_module")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
try:
    import marotte.failure
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run(code) == "no_such_module"


def test_a_pickle_made_without_twisted_opens_with_it():
    code = """
import pickle
from marotte.failure import Failure
try:
    {}["key"]
except KeyError:
    print(pickle.dumps(Failure()).hex())
"""
    opened = pickle.loads(bytes.fromhex(run(WITHOUT_TWISTED + code)))
    assert type(opened) is failure.Failure
    assert opened.check(LookupError) is LookupError
    assert [frame[0] for frame in opened.frames] == ["<module>"]


# From here on: what both classes do.


@pytest.fixture(params=["ours", "installed"])
def module(request):
    return _failure if request.param == "ours" else failure


@pytest.fixture
def Failure(module):
    return module.Failure


def fail(depth=0):
    if depth:
        fail(depth - 1)
    local = "seen"  # noqa: F841 - for the tests of captureVars
    raise KeyError("key")


def failed(Failure, **kwargs):
    try:
        fail(1)
    except KeyError:
        return Failure(**kwargs)


def test_the_current_exception(Failure):
    made = failed(Failure)
    assert made.type is KeyError
    assert made.value.args == ("key",)
    assert made.tb is made.value.__traceback__ is made.getTracebackObject()
    assert [frame[0] for frame in made.frames] == ["failed", "fail", "fail"]
    assert made.frames[0][1] == __file__
    assert made.frames[0][3:] == ((), ())
    assert not made.pickled and not made.captureVars


def test_a_given_exception(Failure):
    error = ValueError("no")
    made = Failure(error)
    assert made.value is error and made.type is ValueError
    assert made.tb is None and made.frames == [] and made.getTracebackObject() is None


def test_a_given_type_and_traceback(Failure):
    other = failed(Failure)
    made = Failure(ValueError("no"), LookupError, other.tb)
    assert made.type is LookupError
    assert made.tb is other.tb


def test_anything_may_fail(Failure):
    made = Failure("a text")
    assert (made.type, made.value, made.tb) == (str, "a text", None)
    assert made.getErrorMessage() == "a text"
    assert made.check(ValueError) is None


def test_there_is_no_exception(module):
    with pytest.raises(module.NoCurrentExceptionError):
        module.Failure()


def test_failures_are_counted(Failure):
    assert Failure(ValueError()).count < Failure(ValueError()).count


def test_a_failure_of_a_failure_is_the_same_failure(Failure):
    made = failed(Failure)
    made.note = "kept"
    again = Failure(made)
    assert again is not made
    assert again.__dict__ == made.__dict__
    try:
        raise made
    except Failure:
        assert Failure().value is made.value


def test_check(Failure):
    made = failed(Failure)
    assert made.check(ValueError, LookupError, KeyError) is LookupError
    assert made.check(ValueError) is None
    assert made.check("builtins.KeyError") == "builtins.KeyError"
    assert made.check(BaseException) is None
    assert made.check() is None
    assert made.parents[-3:] == ["builtins.Exception", "builtins.BaseException", "builtins.object"]


def test_check_of_what_is_no_exception_class(Failure):
    made = Failure(SystemExit(1))
    assert made.check(SystemExit) is SystemExit
    assert made.check(Exception, "builtins.SystemExit") is None


def test_check_goes_by_name(Failure):
    def another():
        class Reloaded(Exception):
            pass

        return Reloaded

    one, two = another(), another()
    assert one is not two
    assert Failure(one()).check(two) is two


def test_parents_can_be_set(Failure):
    made = failed(Failure)
    made.parents = ["far.away.Error"]
    assert made.check("far.away.Error")
    assert made.check(KeyError) is None


def test_frames_can_be_set(Failure):
    made = failed(Failure)
    made.frames = made.frames[1:]
    assert [frame[0] for frame in made.frames] == ["fail", "fail"]


def test_trap(Failure):
    made = failed(Failure)
    assert made.trap(ValueError, KeyError) is KeyError
    with pytest.raises(KeyError) as caught:
        made.trap(ValueError)
    assert caught.value is made.value
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"


def test_throw_into_a_generator(Failure):
    def waiting():
        try:
            yield 1
        except KeyError as error:
            yield error

    generator = waiting()
    assert next(generator) == 1
    made = failed(Failure)
    assert made.throwExceptionIntoGenerator(generator) is made.value


def test_subclasses_may_have_texts_for_type_and_value(Failure):
    """As failures have that come from another process."""

    class Far(Failure):
        def __init__(self, type, value):
            self.type, self.value, self.parents, self.frames = type, value, [type], []
            self.captureVars, self.count, self.tb = False, 0, None

    far = Far("far.Error", "it went wrong")
    assert far.check(ValueError, "far.Error") == "far.Error"
    assert far.getErrorMessage() == "it went wrong"
    assert far.getBriefTraceback() == (
        "Traceback (failure with no frames): far.Error: it went wrong\n"
    )
    with pytest.raises(Failure):
        raise far


def test_texts(Failure):
    made = failed(Failure)
    name = f"{Failure.__module__}.Failure"
    assert repr(made) == f"<{name} builtins.KeyError: 'key'>"
    places = "".join(f"{file}:{line}:{name}\n" for name, file, line, _, _ in made.frames)
    brief = f"Traceback: <class 'KeyError'>: 'key'\n{places}"
    assert made.getBriefTraceback() == brief
    assert str(made) == f"[Failure instance: {brief}]"
    lines = made.getTraceback().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{__file__}", line ') and lines[1].endswith(", in failed")
    assert lines[2] == "    fail(1)"
    assert lines[-1] == "builtins.KeyError: 'key'"
    assert Failure(ValueError("no")).getTraceback(elideFrameworkCode=1) == (
        "Traceback (most recent call last):\nFailure: builtins.ValueError: no\n"
    )


def test_verbose_text(Failure):
    made = failed(Failure)
    text = made.getTraceback(detail="verbose")
    assert text.startswith(f"*--- Failure #{made.count} ---\n")
    assert " [Capture of Locals and Globals disabled (use captureVars=True)]\n" in text
    made = failed(Failure, captureVars=True)
    text = made.getTraceback(detail="verbose")
    assert "  local : 'seen'\n" in text
    assert "  HERE : " in text
    assert "__builtins__" not in text
    assert text.endswith(f"builtins.KeyError: 'key'\n*--- End of Failure #{made.count} ---\n")


def test_print(Failure):
    made = failed(Failure)
    for write, text in [
        (made.printTraceback, made.getTraceback()),
        (made.printBriefTraceback, made.getBriefTraceback()),
        (made.printDetailedTraceback, made.getTraceback(detail="verbose")),
    ]:
        file = io.StringIO()
        write(file)
        assert file.getvalue() == text


def test_print_goes_to_the_error_output(capsys):
    made = failed(_failure.Failure)
    made.printTraceback()
    assert capsys.readouterr().err == made.getTraceback()


def test_unknown_details_are_refused():
    with pytest.raises(ValueError, match="no detail 'chatty'; there are 'default', 'brief'"):
        _failure.format_frames([], print, "chatty")


def test_exceptions_without_a_text():
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    text = _failure.Failure(Mute()).getTraceback()
    assert "Mute at 0x" in text and "ValueError in its str()" in text


def test_clean(Failure):
    made = failed(Failure, captureVars=True)
    before = made.getTraceback()
    stack = traceback.extract_tb(made.tb)
    made.cleanFailure()
    assert made.tb is None and made.value.__traceback__ is None and made.pickled
    assert made.getTraceback() == before
    assert dict(made.frames[-1][3])["local"] == "'seen'"
    look_alike = made.getTracebackObject()
    assert traceback.extract_tb(look_alike) == stack
    assert "'seen'" in repr(look_alike.tb_next.tb_next.tb_frame.f_locals)


def test_our_look_alike_is_a_traceback():
    made = failed(_failure.Failure)
    made.cleanFailure()
    with pytest.raises(KeyError) as caught:
        raise made.value.with_traceback(made.getTracebackObject())
    text = "".join(traceback.format_exception(KeyError, caught.value, caught.value.__traceback__))
    assert text.endswith("    raise KeyError(\"key\")\nKeyError: 'key'\n")


def test_pickle_and_copy(Failure):
    made = failed(Failure, captureVars=True)
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert isinstance(again, failure.Failure)
        assert again.tb is None and again.pickled == 1
        assert again.count == made.count
        assert again.parents == made.parents
        assert again.getTraceback() == made.getTraceback()
        assert again.check(KeyError) is KeyError


class Extended(_failure.Failure):
    pass


def test_a_pickled_subclass_stays_one():
    made = Extended(ValueError("no"))
    made.note = "kept"
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is Extended
    assert again.note == "kept" and again.value.args == ("no",)


def test_without_a_traceback(Failure):
    error = failed(Failure).value
    made = Failure._withoutTraceback(error)
    assert made.value is error and made.type is KeyError
    assert made.tb is None and made.frames == []


def test_stack_is_deprecated(Failure):
    made = Failure(ValueError())
    with pytest.warns(DeprecationWarning, match="Failure.stack was deprecated in Twisted 24.10.0"):
        assert made.stack == []
    with pytest.warns(DeprecationWarning, match="Failure.stack"):
        made.stack = []


def test_debug_mode(monkeypatch, capsys):
    debugged = []
    monkeypatch.setattr("pdb.post_mortem", debugged.append)
    monkeypatch.setattr(_failure.Failure, "__init__", _failure.Failure.__init__)
    _failure.startDebugMode()
    made = failed(_failure.Failure)
    assert debugged == [made.tb]
    _failure.Failure(ValueError("not raised"))
    monkeypatch.setattr(_failure, "DO_POST_MORTEM", False)
    failed(_failure.Failure)
    assert debugged == [made.tb]
    assert capsys.readouterr().out == "Opening the debugger on KeyError('key')\n"


@pytest.mark.parametrize("documented", [_failure, failure])
def test_examples(documented):
    assert doctest.testmod(documented).failed == 0


def test_everything_is_documented():
    for name, value in vars(_failure.Failure).items():
        assert name.startswith("_") or not callable(value) or value.__doc__, name
