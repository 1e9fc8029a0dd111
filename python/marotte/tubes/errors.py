"""What goes wrong in a flow. Each is the reason with which the flow stops, both ways."""

__all__ = [
    "AlreadyDraining",
    "AlreadyUnpaused",
    "BranchTooSlow",
    "FlowOverrun",
    "FlowTimedOut",
    "FrameTooLong",
    "MalformedFrame",
    "NotConfirmed",
    "StopFlowCalled",
    "TruncatedFrame",
    "TubeError",
    "UnframeableItem",
    "WrongItemType",
]


class AlreadyUnpaused(Exception):
    """A pause was taken back a second time."""


class AlreadyDraining(Exception):
    """A fount flows to a drain already."""


class StopFlowCalled(Exception):
    """The flow ended because its drain called ``stopFlow``."""


class TubeError(Exception):
    """The base of what a stage or the flow itself raises."""


class FrameTooLong(TubeError):
    """A frame is longer than the stage was told to allow."""


class TruncatedFrame(TubeError):
    """The flow ended in the middle of a frame."""


class MalformedFrame(TubeError):
    """A frame does not have the form that it should."""


class UnframeableItem(TubeError):
    """An item cannot be put into a frame of that kind."""


class WrongItemType(TubeError, TypeError):
    """A stage was given something that it does not take."""


class FlowOverrun(TubeError):
    """A fount went on although it was paused."""


class FlowTimedOut(TubeError):
    """Nothing came for too long."""


class NotConfirmed(TubeError):
    """What was made of an item was dropped, or the flow stopped before it was taken."""


class BranchTooSlow(TubeError):
    """A branch of a fan-out fell too far behind, and its policy is to stop it."""
