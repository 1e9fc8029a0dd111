"""Run the tests of Twisted's Tubes, as they are installed, on marotte.tubes.

What the tests import of ``tubes`` is answered from ``marotte.tubes``. Tests that Tubes itself marks as to be done
are counted apart; there is nothing in them.

The exit status is 0 if all others passed, 1 if one did not, 2 if the tests could not be run.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import sys
import types
import unittest

from twisted.trial import reporter, runner

# As many there are in Tubes 0.2.1. Fewer would mean that some could not be found.
EXPECTED = 131


def installed():
    """The folder of Tubes' tests, found without importing Tubes."""
    for folder in sys.path:
        tests = pathlib.Path(folder or ".", "tubes", "test")
        if (tests / "test_tube.py").exists():
            return tests
    sys.exit("Tubes is not installed: see tools/requirements.txt")


class Ours(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers ``tubes.test.x`` with Tubes' file, and ``tubes.x`` with ``marotte.tubes.x``."""

    def __init__(self, tests):
        self.tests = tests

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "tubes.test":
            return importlib.util.spec_from_file_location(
                fullname, self.tests / "__init__.py", submodule_search_locations=[str(self.tests)]
            )
        if fullname.startswith("tubes.test."):
            file = self.tests / f"{fullname.rpartition('.')[2]}.py"
            return importlib.util.spec_from_file_location(fullname, file)
        if fullname == "tubes" or fullname.startswith("tubes."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname == "tubes")
        return None

    def create_module(self, spec):
        if spec.name == "tubes":
            return types.ModuleType("tubes")
        # A module of its own with the same things in it: the original keeps its name.
        ours = importlib.import_module(f"marotte.{spec.name}")
        module = types.ModuleType(spec.name)
        module.__dict__.update({k: v for k, v in vars(ours).items() if not k.startswith("__")})
        return module

    def exec_module(self, module):
        """There is nothing left to do."""


def main():
    tests = installed()
    if not hasattr(unittest.TestCase, "assertEquals"):
        # Since Python 3.12, which is younger than those tests.
        unittest.TestCase.assertEquals = unittest.TestCase.assertEqual
    sys.meta_path.insert(0, Ours(tests))
    result = reporter.TestResult()
    loader = runner.TestLoader()
    for file in sorted(tests.glob("test_*.py")):
        loader.loadModule(importlib.import_module(f"tubes.test.{file.stem}")).run(result)
    bad = result.failures + result.errors
    for test, failure in bad:
        print(f"{test.id()}\n{getattr(failure, 'getTraceback', failure.__str__)()}")
    strangers = [
        name
        for name, module in sys.modules.items()
        if name.startswith("tubes.")
        and not name.startswith("tubes.test")
        and "site-packages/tubes" in str(getattr(module, "__file__", ""))
    ]
    if strangers:
        sys.exit(f"these are Tubes' own, and not ours: {strangers}")
    print(f"{len(result.expectedFailures)} of Tubes' tests are still to be written there")
    print(f"{result.successes} passed, {len(bad)} failed")
    if bad:
        return 1
    return 0 if result.successes >= EXPECTED else 2


if __name__ == "__main__":
    sys.exit(main())
