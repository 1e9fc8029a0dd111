"""The examples in the documentation do what they say."""

import ast
import doctest
import pathlib
import re

import marotte
import pytest
from marotte import _symbol, defer

STUB = pathlib.Path(marotte.__file__).with_name("_core.pyi")


def documented(body, name):
    """Every docstring below, by the name of what it documents."""
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            here = f"{name}.{node.name}"
            yield here, ast.get_docstring(node) or ""
            yield from documented(node.body, here)


def examples():
    parser = doctest.DocTestParser()
    texts = dict(documented(ast.parse(STUB.read_text()).body, "marotte"))
    texts["marotte"] = marotte.__doc__
    texts["marotte.defer"] = defer.__doc__
    texts["marotte.defer.inlineCallbacks"] = defer.inlineCallbacks.__doc__
    texts["marotte.Symbol"] = _symbol.Symbol.__doc__
    for name, text in texts.items():
        names = vars(defer) if name.startswith("marotte.defer") else {"Symbol": marotte.Symbol}
        test = parser.get_doctest(text, dict(names), name, str(STUB), 0)
        if test.examples:
            yield pytest.param(test, id=name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example):
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(example, out=report.append).failed == 0, "".join(report)


def test_every_public_item_is_documented():
    items = list(documented(ast.parse(STUB.read_text()).body, "marotte"))
    # One overload says what all of them do.
    known = {name for name, text in items if text}
    # Comparison, hashing, `with` and subclassing are what they are everywhere.
    known_anyway = ("__eq__", "__ne__", "__hash__", "it__", "er__", "__new__", "em__", "ss__")
    undocumented = {
        name
        for name, _ in items
        if not name.endswith(known_anyway) and not re.search(r"\._[a-zA-Z]", name)
    }
    assert undocumented - known == set()


def test_the_extension_has_docstrings_too():
    for module in (marotte, defer):
        for name in set(module.__all__) - {"__version__", "SUCCESS", "FAILURE"}:
            assert getattr(module, name).__doc__, name
