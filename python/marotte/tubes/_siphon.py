"""Under the name by which Tubes' own tests know it."""

from marotte._core import _Siphon

__all__ = ["_Siphon"]
