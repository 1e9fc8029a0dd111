"""Typed records: dataclasses, attrs classes and pydantic models as what flows."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import types
import typing
from collections.abc import Mapping
from typing import Any

from marotte.tubes._support import name_of
from marotte.tubes._zope import implementer
from marotte.tubes.errors import WrongItemType
from marotte.tubes.itube import ITube

__all__ = ["checked", "record"]


def record(kind: Any, value: Any) -> Any:
    """Makes a value of the type ``kind``: a dataclass, attrs class or pydantic model from a mapping or a sequence of its
    fields, and each field by its annotation: numbers, dates and times from text, lists, dicts, tuples, optional and nested ones.
    What is of the type already is returned as it is. Raises `WrongItemType`, with the path to
    what does not fit.

    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Hit:
    ...     path: str
    ...     status: int
    >>> record(Hit, {"path": "/", "status": "200"})
    Hit(path='/', status=200)
    """
    return _convert(kind, value, name_of(kind))


_FROM_TEXT: dict[Any, Any] = {
    int: int,
    float: float,
    decimal.Decimal: decimal.Decimal,
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
}


def _convert(kind: Any, value: Any, path: str) -> Any:
    if kind is Any or kind is None and value is None:
        return value
    origin = typing.get_origin(kind)
    if origin is not None:
        return _convert_generic(kind, origin, value, path)
    if not isinstance(kind, type):
        return value
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if hasattr(kind, "model_validate"):
        model: Any = kind
        try:
            return model.model_validate(value)
        except ValueError as error:
            raise WrongItemType(f"{path}: {error}") from error
    names = _fields(kind)
    if names is not None:
        return _convert_fields(kind, names, value, path)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    parse = _FROM_TEXT.get(kind)
    if parse is not None and isinstance(value, str):
        try:
            return parse(value)
        except (ValueError, ArithmeticError) as error:
            raise WrongItemType(f"{path}: {value!r} is no {name_of(kind)}") from error
    raise WrongItemType(f"{path}: {value!r} is no {name_of(kind)}")


def _convert_generic(kind: Any, origin: Any, value: Any, path: str) -> Any:
    inner = typing.get_args(kind)
    if origin is typing.Union or origin is types.UnionType:
        return _convert_union(inner, value, path)
    if origin is typing.Annotated:
        return _convert(inner[0], value, path)
    if origin is typing.Literal:
        if value in inner:
            return value
    elif origin in (list, set, frozenset) and isinstance(value, (list, tuple, set, frozenset)):
        return origin(_convert(inner[0], one, f"{path}[{at}]") for at, one in enumerate(value))
    elif origin is tuple and isinstance(value, (list, tuple)):
        if len(inner) == 2 and inner[1] is ...:
            inner = (inner[0],) * len(value)
        if len(inner) == len(value):
            pairs = enumerate(zip(inner, value, strict=True))
            return tuple(_convert(want, one, f"{path}[{at}]") for at, (want, one) in pairs)
    elif origin is dict and isinstance(value, Mapping):
        return {
            _convert(inner[0], key, f"{path} key"): _convert(inner[1], one, f"{path}[{key!r}]")
            for key, one in value.items()
        }
    raise WrongItemType(f"{path}: {value!r} is no {kind}")


def _convert_union(inner: tuple[Any, ...], value: Any, path: str) -> Any:
    # What is of one of the types stays; only then is anything converted.
    if value is None and type(None) in inner:
        return None
    for kind in inner:
        if isinstance(kind, type) and type(value) is kind:
            return value
    for kind in inner:
        if kind is type(None):
            continue
        try:
            return _convert(kind, value, path)
        except WrongItemType:
            continue
    raise WrongItemType(f"{path}: {value!r} is none of {', '.join(map(name_of, inner))}")


def _fields(kind: type) -> dict[str, Any] | None:
    """The fields of a class, in order, with their types; None if it has none of that kind."""
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.init]
    elif hasattr(kind, "__attrs_attrs__"):
        # The name of the argument, which is without underscores in front.
        names = [field.alias for field in kind.__attrs_attrs__ if field.init]
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names = list(kind.__dict__["_fields"])
    else:
        return None
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hints.get(name, hints.get("_" + name, Any)) for name in names}


def _convert_fields(kind: Any, fields: dict[str, Any], value: Any, path: str) -> Any:
    if isinstance(value, (list, tuple)):
        if len(value) > len(fields):
            raise WrongItemType(f"{path}: {len(value)} values for {len(fields)} fields")
        value = dict(zip(fields, value, strict=False))
    if not isinstance(value, Mapping):
        raise WrongItemType(f"{path}: {value!r} is no {name_of(kind)}")
    unknown = [key for key in value if key not in fields]
    if unknown:
        raise WrongItemType(f"{path} has no field {unknown[0]!r}")
    made = {name: _convert(fields[name], one, f"{path}.{name}") for name, one in value.items()}
    try:
        return kind(**made)
    except (TypeError, ValueError) as error:
        raise WrongItemType(f"{path}: {error}") from error


@implementer(ITube)
class _Checked:
    def __init__(self, kind: Any, convert: bool) -> None:
        self.inputType = None if convert else kind
        self.outputType = kind
        self._kind = kind
        self._convert = convert
        self._provided = getattr(kind, "providedBy", None)

    def __repr__(self) -> str:
        return f"checked({name_of(self._kind)})"

    def started(self) -> None:
        """Has nothing to say."""

    def received(self, item: Any) -> Any:
        if self._convert:
            return (record(self._kind, item),)
        fits = self._provided(item) if self._provided else isinstance(item, self._kind)
        if not fits:
            raise WrongItemType(f"{item!r} is no {name_of(self._kind)}")
        return (item,)

    def stopped(self, reason: Any) -> None:
        """Has nothing to say."""


def checked(kind: Any, convert: bool = False) -> Any:
    """A tube that lets only items of a type through, a class or a zope interface, and says so to its neighbours; others
    stop the flow with `WrongItemType`. With ``convert``, items are made into that type by `record`."""
    return _Checked(kind, convert)
