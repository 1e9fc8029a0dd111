"""Warnings about old ways of using Deferreds, at the place that uses them."""

from __future__ import annotations

import warnings
from typing import Any

_RETURN_VALUE_FRAMES = 1
"""``returnValue`` itself has one frame below that of its caller."""


def about_function(function: Any, category: type[Warning]) -> None:
    """Warns, at the line where ``function`` is defined, that it returned its own Deferred."""
    function = getattr(function, "__func__", function)
    message = (
        "Callback returned the Deferred it was attached to; this breaks the callback chain and "
        "will raise an exception in the future."
    )
    code = getattr(function, "__code__", None)
    if code is None:
        warnings.warn(message, category, stacklevel=2)
        return
    lines = [line for _, _, line in code.co_lines() if line is not None]
    warnings.warn_explicit(
        message,
        category,
        filename=code.co_filename,
        lineno=max(lines, default=code.co_firstlineno),
        module=getattr(function, "__module__", None),
        registry=function.__globals__.setdefault("__warningregistry__", {}),
    )


def returned_value(error: Any, thrown: bool) -> Any:
    """The value that ``returnValue`` left a generator with.

    Warns if it was not called by the generator itself but by something that this called: whoever
    wrote that expected to leave another function.
    """
    trace = error.__traceback__
    if thrown and trace is not None:
        # The first frame is that of throwExceptionIntoGenerator.
        trace = trace.tb_next
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    # The last ones belong to returnValue; the first is the generator.
    frames = frames[: len(frames) - _RETURN_VALUE_FRAMES]
    if len(frames) > 1:
        generator, caller = frames[0], frames[-1]
        warnings.warn_explicit(
            f"returnValue() in {caller.tb_frame.f_code.co_name!r} causing "
            f"{generator.tb_frame.f_code.co_name!r} to exit: returnValue should only be invoked by "
            "functions decorated with inlineCallbacks",
            DeprecationWarning,
            caller.tb_frame.f_code.co_filename,
            caller.tb_lineno,
        )
    return error.value
