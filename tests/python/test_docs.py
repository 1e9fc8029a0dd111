"""The examples in the documentation do what they say."""

import ast
import doctest
import pathlib

import marotte
import pytest
from marotte import _symbol

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
    texts["marotte.Symbol"] = _symbol.Symbol.__doc__
    for name, text in texts.items():
        test = parser.get_doctest(text, {"Symbol": marotte.Symbol}, name, str(STUB), 0)
        if test.examples:
            yield pytest.param(test, id=name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example):
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(example, out=report.append).failed == 0, "".join(report)


def test_every_public_item_is_documented():
    undocumented = [
        name
        for name, text in documented(ast.parse(STUB.read_text()).body, "marotte")
        # Comparison, hashing and `with` are what they are everywhere; `_Limits` is listed in Tub.
        if not text and not name.endswith(("__eq__", "__ne__", "__hash__", "it__", "er__", "_Limits"))
    ]
    assert undocumented == []


def test_the_extension_has_docstrings_too():
    for name in marotte.__all__:
        if name != "__version__":
            assert getattr(marotte, name).__doc__, name
