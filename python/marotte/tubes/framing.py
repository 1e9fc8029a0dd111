"""Between streams of bytes, cut anywhere, and whole messages.

Each function makes a tube for one series. A frame over the limit stops the flow with `FrameTooLong`, a flow that
ends inside a frame with `TruncatedFrame`. Encoders gather frames that come at once into one chunk. All of
them run in the extension: next to each other in a series, no Python object is made between them.
"""

from __future__ import annotations

from typing import Any

from marotte import _core
from marotte.tubes.itube import IFrame, ISegment

__all__ = [
    "bytesDelimitedBy",
    "bytesToDelimited",
    "bytesToGzip",
    "bytesToIntPrefixed",
    "bytesToLines",
    "bytesToNetstrings",
    "bytesToText",
    "bytesToZstd",
    "gzipToBytes",
    "intPrefixedToBytes",
    "jsonToValues",
    "linesToBytes",
    "netstringsToBytes",
    "textToBytes",
    "valuesToJson",
    "zstdToBytes",
]

#: The longest line, if nobody says otherwise.
MAX_LINE = 16384
#: The longest other frame, if nobody says otherwise.
MAX_FRAME = 99999


def bytesToLines(maxLength: int = MAX_LINE, lastLine: bool = False) -> Any:
    r"""From bytes to lines, without the LF or CRLF at their end. With ``lastLine``, what comes
    after the last end is a line, as in many files; else it is an error.

    >>> from marotte.tubes import fountToList, iteratorFount, series
    >>> fountToList(iteratorFount([b"on", b"e\r\ntwo\n"]).flowTo(series(bytesToLines())))
    [b'one', b'two']
    """
    return _core._NativeTube(
        "lines", ISegment, IFrame, name="bytesToLines()", number=maxLength, flag=lastLine
    )


def linesToBytes(newline: bytes = b"\r\n") -> Any:
    """From lines to bytes. A line with a line feed in it is refused: it would arrive as two. Raises ``ValueError``
    for an end that is neither CRLF nor LF."""
    if newline not in (b"\r\n", b"\n"):
        raise ValueError(f"a line ends with CRLF or LF, not {newline!r}")
    return _core._NativeTube(
        "toLines", IFrame, ISegment, name="linesToBytes()", flag=newline == b"\n"
    )


def bytesDelimitedBy(delimiter: bytes, maxLength: int = MAX_LINE) -> Any:
    """From bytes to what lies between delimiters. Raises ``ValueError`` for an empty one."""
    return _core._NativeTube(
        "delimited",
        ISegment,
        IFrame,
        name=f"bytesDelimitedBy({delimiter!r})",
        number=maxLength,
        data=delimiter,
    )


def bytesToDelimited(delimiter: bytes) -> Any:
    """From frames to bytes, each followed by the delimiter. One with the delimiter in it is refused."""
    return _core._NativeTube(
        "toDelimited", IFrame, ISegment, name=f"bytesToDelimited({delimiter!r})", data=delimiter
    )


def netstringsToBytes(maxLength: int = MAX_FRAME) -> Any:
    """From netstrings to what is in them.

    >>> from marotte.tubes import fountToList, iteratorFount, series
    >>> fountToList(iteratorFount([b"5:hel", b"lo,"]).flowTo(series(netstringsToBytes())))
    [b'hello']
    """
    return _core._NativeTube(
        "netstrings", ISegment, IFrame, name="netstringsToBytes()", number=maxLength
    )


def bytesToNetstrings(maxLength: int = MAX_FRAME) -> Any:
    """From strings of bytes to netstrings."""
    return _core._NativeTube(
        "toNetstrings", IFrame, ISegment, name="bytesToNetstrings()", number=maxLength
    )


def bytesToIntPrefixed(prefixBits: int, maxLength: int = MAX_FRAME) -> Any:
    """From bytes to frames, each of which has its length before it, in 8, 16 or 32 bits, the most
    significant first."""
    return _core._NativeTube(
        "prefixed",
        ISegment,
        IFrame,
        name=f"bytesToIntPrefixed({prefixBits})",
        number=maxLength,
        bits=prefixBits,
    )


def intPrefixedToBytes(prefixBits: int, maxLength: int = 2**32 - 1) -> Any:
    """From frames to bytes, each with its length before it."""
    return _core._NativeTube(
        "toPrefixed",
        IFrame,
        ISegment,
        name=f"intPrefixedToBytes({prefixBits})",
        number=maxLength,
        bits=prefixBits,
    )


def bytesToText() -> Any:
    """From UTF-8, cut anywhere, to ``str``. What is no UTF-8 stops the flow with `MalformedFrame`."""
    return _core._NativeTube("utf8", None, str, name="bytesToText()")


def textToBytes() -> Any:
    """From ``str`` to UTF-8."""
    return _core._NativeTube("toUtf8", str, None, name="textToBytes()")


def bytesToGzip(level: int = 6) -> Any:
    """From bytes to gzip; ``level`` is 0 (fast) to 9 (small)."""
    return _core._NativeTube("gzip", None, ISegment, name="bytesToGzip()", number=level)


def gzipToBytes() -> Any:
    """From gzip to bytes. What becomes of a small chunk is made bit by bit, as it is wanted."""
    return _core._NativeTube("gunzip", ISegment, ISegment, name="gzipToBytes()")


def bytesToZstd(level: int = 3) -> Any:
    """From bytes to Zstandard; ``level`` is 1 (fast) to 22 (small)."""
    return _core._NativeTube("zstd", None, ISegment, name="bytesToZstd()", number=level)


def zstdToBytes() -> Any:
    """From Zstandard to bytes."""
    return _core._NativeTube("unzstd", ISegment, ISegment, name="zstdToBytes()")


def jsonToValues() -> Any:
    """From JSON, one value a frame, to values: after `bytesToLines`, JSON lines. What is no JSON stops the flow with
    `MalformedFrame`.

    >>> from marotte.tubes import fountToList, iteratorFount, series
    >>> fountToList(iteratorFount([b"[1]\\n{}\\n"]).flowTo(series(bytesToLines(), jsonToValues())))
    [[1], {}]
    """
    return _core._NativeTube("json", None, None, name="jsonToValues()")


def valuesToJson() -> Any:
    """From values to JSON, each on one line and without its end: before `linesToBytes`, JSON lines."""
    return _core._NativeTube("toJson", None, IFrame, name="valuesToJson()")
