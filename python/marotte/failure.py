"""``Failure``, an exception as a value: what errbacks get.

Where Twisted is installed this is Twisted's own class, so that either side knows the other's
failures; elsewhere it is one of ours which does the same.

>>> from marotte.failure import Failure
>>> Failure(KeyError("key")).check(ValueError, LookupError)
<class 'LookupError'>
"""

from typing import TYPE_CHECKING

__all__ = ["Failure", "NoCurrentExceptionError", "startDebugMode"]

if TYPE_CHECKING:
    from twisted.python.failure import Failure, NoCurrentExceptionError, startDebugMode
else:
    try:
        from twisted.python.failure import Failure, NoCurrentExceptionError, startDebugMode
    except ModuleNotFoundError as error:
        # Something which Twisted itself lacks is not ours to hide.
        if error.name not in {"twisted", "twisted.python"}:
            raise
        from marotte._failure import Failure, NoCurrentExceptionError, startDebugMode
