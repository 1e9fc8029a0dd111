"""zope.interface where it is installed, and elsewhere what stands in for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Attribute", "Interface", "implementedBy", "implementer", "present"]

if TYPE_CHECKING:
    from marotte.tubes._interfaces import Attribute, Interface, implementedBy, implementer

    present = True
else:
    try:
        from zope.interface import Attribute, Interface, implementedBy, implementer

        present = True
    except ImportError:
        from marotte.tubes._interfaces import Attribute, Interface, implementedBy, implementer

        present = False
