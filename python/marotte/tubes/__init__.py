"""Streams that hold their source back instead of filling memory.

A *fount* is where items come from, a *drain* where they go to, a *tube* turns items into other
items. `series` puts tubes in a row, ``fount.flowTo(drain)`` lets them flow.

>>> from marotte.tubes import memory, receiver, series
>>> double = receiver()(lambda item: (item * 2,))
>>> fountToList(memory.iteratorFount([1, 2, 3]).flowTo(series(double)))
[2, 4, 6]

Code that was written for Twisted's Tubes runs with its imports changed from ``tubes`` to ``marotte.tubes``.
"""

from marotte.tubes._collect import fountToList
from marotte.tubes.errors import (
    AlreadyDraining,
    AlreadyUnpaused,
    BranchTooSlow,
    FlowOverrun,
    FlowTimedOut,
    FrameTooLong,
    MalformedFrame,
    NotConfirmed,
    StopFlowCalled,
    TruncatedFrame,
    TubeError,
    UnframeableItem,
    WrongItemType,
)
from marotte.tubes.fan import In, Out, Thru, parallel
from marotte.tubes.itube import IDivertable, IDrain, IFount, IFrame, IPause, ISegment, ITube
from marotte.tubes.memory import iteratorFount
from marotte.tubes.records import checked, record
from marotte.tubes.routing import Routed, Router, to
from marotte.tubes.sinks import Sink, collect, sink
from marotte.tubes.stages import (
    SubprocessTube,
    ThreadTube,
    batch,
    buffer,
    confirming,
    conflate,
    mapAsync,
    throttle,
    timeout,
)
from marotte.tubes.streams import itemsOf, readerFount, writerDrain
from marotte.tubes.tube import Diverter, receiver, series, skip, tube
from marotte.tubes.undefer import deferredToResult, fountToDeferred
from marotte.tubes.wire import drainOf, fountOf

__all__ = [
    "AlreadyDraining",
    "AlreadyUnpaused",
    "BranchTooSlow",
    "Diverter",
    "FlowOverrun",
    "FlowTimedOut",
    "FrameTooLong",
    "IDivertable",
    "IDrain",
    "IFount",
    "IFrame",
    "IPause",
    "ISegment",
    "ITube",
    "In",
    "MalformedFrame",
    "NotConfirmed",
    "Out",
    "Routed",
    "Router",
    "Sink",
    "StopFlowCalled",
    "SubprocessTube",
    "ThreadTube",
    "Thru",
    "TruncatedFrame",
    "TubeError",
    "UnframeableItem",
    "WrongItemType",
    "batch",
    "buffer",
    "checked",
    "collect",
    "confirming",
    "conflate",
    "deferredToResult",
    "drainOf",
    "fountOf",
    "fountToDeferred",
    "fountToList",
    "itemsOf",
    "iteratorFount",
    "mapAsync",
    "parallel",
    "readerFount",
    "receiver",
    "record",
    "series",
    "sink",
    "skip",
    "throttle",
    "timeout",
    "to",
    "tube",
    "writerDrain",
]
