"""Symbols: names that are not text."""


class Symbol(str):
    """A name that is not text. Peers in other languages use symbols for constants; it is a ``str``
    here, but keeps its kind when it is passed on.

    >>> Symbol("red") == "red"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str.__repr__(self)})"
