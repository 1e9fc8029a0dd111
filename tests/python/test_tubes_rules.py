"""What holds for every flow, whatever its stages, its drains, and the order of events.

The rules are those of Reactive Streams: nothing is delivered while the drain holds a pause, and
nothing after ``flowStopped``, which comes once and with the first cause; ``stopFlow`` reaches a
source once if the flow has failed or was stopped before the source's end, and never otherwise;
nothing is lost, doubled or reordered; a source runs ahead by one item for each siphon at most.
"""

import itertools
import operator
import sys

import pytest
import tubes_kit
from hypothesis import given, settings
from hypothesis import strategies as st
from marotte.failure import Failure
from marotte.tubes import (
    BranchTooSlow,
    In,
    Out,
    StopFlowCalled,
    Thru,
    _support,
    framing,
    iteratorFount,
    parallel,
    receiver,
    series,
    skip,
    tube,
)

T = tubes_kit.load("marotte.tubes")
checked = settings(max_examples=150, deadline=None)


class Wrong(Exception):
    pass


@pytest.fixture(autouse=True)
def logged(monkeypatch):
    """What a stage or a drain was told to raise is logged, and nothing else is."""
    kinds = set()

    class Log:
        def error(self, message, exc_info):
            kinds.add(type(exc_info))

    monkeypatch.setattr(_support, "logger", Log())
    monkeypatch.delitem(sys.modules, "twisted.python.log", raising=False)
    yield
    assert kinds <= {Wrong}


# What flows are made of


@tube
class Polite:
    def started(self):
        yield b"hello"

    def received(self, item):
        return [item]

    def stopped(self, reason):
        yield b"bye"


@tube
class Batching:
    def receivedBatch(self, items):
        return list(items)


@tube
class Acting:
    """Does the next thing that is to be done in a tube, whenever it is called."""

    def __init__(self, act):
        self.act = act

    def started(self):
        self.act()

    def received(self, item):
        self.act()
        yield item
        self.act()

    def stopped(self, reason):
        self.act()


class ActingAtOnce(Acting):
    def received(self, item):
        self.act()
        return (item,)


class ActingOnMany(Acting):
    def receivedBatch(self, items):
        self.act()
        return list(items)


def same():
    return tubes_kit.passing(T)


def fork():
    return parallel(
        receiver()(lambda item: (item + b"x",)), receiver()(lambda item: (item + b"y", item + b"z"))
    )


def unchanged(items):
    return items


#: The parts of each stage, and what comes out for what goes in.
STAGES = {
    "generator": (lambda act: [same()], unchanged),
    "tuple": (lambda act: [receiver()(lambda item: (item,))], unchanged),
    "twice": (
        lambda act: [receiver()(lambda item: iter([item, skip, item]))],
        lambda items: [item for item in items for _ in range(2)],
    ),
    "polite": (lambda act: [Polite()], lambda items: [b"hello", *items, b"bye"]),
    "batches": (lambda act: [Batching()], unchanged),
    "lines": (lambda act: [framing.linesToBytes(), framing.bytesToLines()], unchanged),
    "netstrings": (
        lambda act: [framing.bytesToNetstrings(), framing.netstringsToBytes()],
        unchanged,
    ),
    "text": (lambda act: [framing.bytesToText(), framing.textToBytes()], unchanged),
    "thru": (lambda act: [Thru([series(same())])], unchanged),
    "fork": (
        lambda act: [fork()],
        lambda items: [item + end for item in items for end in (b"x", b"y", b"z")],
    ),
    "acting": (lambda act: [Acting(act)], unchanged),
    "acting at once": (lambda act: [ActingAtOnce(act)], unchanged),
    "acting on many": (lambda act: [ActingOnMany(act)], unchanged),
}
NATIVE = ("lines", "netstrings", "text")
FANS = ("thru", "fork")
PLAIN = [kind for kind in STAGES if not kind.startswith("acting")]


def made_of(rows, items):
    for kind in itertools.chain.from_iterable(rows):
        items = STAGES[kind][1](items)
    return items


def through(fount, rows, act=None):
    for row in rows:
        fount = fount.flowTo(series(*(part for kind in row for part in STAGES[kind][0](act))))
    return fount


class Source(T.Fount):
    """Sends what waits: ``patient`` and one by one, ``reentrant`` while it is sending, or ``eager``,
    whatever pauses it. It answers a stop ``at once`` or ``later``, or ``raises``."""

    def __init__(self, number=0, manner="patient", answer="at once"):
        super().__init__()
        self.number, self.manner, self.answer = number, manner, answer
        self.made, self.waiting = [], []
        self.sending = self.ends = False
        self.over = None

    def push(self):
        if not self.ends and not self.stops and len(self.made) < 30:
            self.made.append(b"%d.%d" % (self.number, len(self.made)))
            self.waiting.append(self.made[-1])
            self.send()

    def end(self):
        self.ends = True
        self.send()

    def send(self):
        if self.stops:
            if self.answer == "later":
                self.finish(StopFlowCalled)
            return
        if self.drain is None or self.sending and self.manner == "patient":
            return
        self.sending = True
        while self.waiting and (self.manner == "eager" or not self.paused):
            self.drain.receive(self.waiting.pop(0))
        if self.ends and not self.waiting and not self.stops:
            self.finish(StopIteration)
        self.sending = False

    def finish(self, kind):
        if self.over is None:
            self.over = kind
            self.drain.flowStopped(Failure(kind()))

    def flowTo(self, drain):
        result = super().flowTo(drain)
        self.send()
        return result

    def resume(self):
        super().resume()
        self.send()

    def stopFlow(self):
        super().stopFlow()
        self.waiting.clear()
        if self.answer == "raises":
            raise Wrong
        if self.answer == "at once":
            self.finish(StopFlowCalled)


class Drain(T.Drain):
    """Follows a script, with an action for each item, and notes what is against the rules."""

    def __init__(self, flow, script):
        super().__init__()
        self.flow, self.script = flow, list(script)
        self.pauses = []
        self.busy = False

    def flowingFrom(self, fount):
        """What has held one fount back holds the next one back."""
        pauses, self.pauses = self.pauses, []
        super().flowingFrom(fount)
        if fount is not None:
            self.pauses = [fount.pauseFlow() for _ in pauses]
        for pause in pauses:
            pause.unpause()

    def receive(self, item):
        against = {
            "in a pause": self.pauses,
            "after flowStopped": self.flow.stopped,
            "after stopFlow, or an exception": self.flow.causes,
            "while it takes another": self.busy,
            "from a fount that it does not have": self.fount is not self.flow.fount,
        }
        self.flow.broken += [(rule, item) for rule, broken in against.items() if broken]
        self.flow.received.append(item)
        self.busy = True
        try:
            self.flow.act(self.script)
        finally:
            self.busy = False

    def flowStopped(self, reason):
        self.flow.stopped.append(reason.type)


class Flow:
    """Where a flow ends: drains that take turns, and all that can be done to it."""

    def __init__(self, sources, *scripts, in_tubes=()):
        self.sources = sources
        self.drains = [Drain(self, script) for script in scripts]
        self.in_tubes = list(in_tubes)
        self.turn = 0
        self.fount = None
        self.received, self.stopped, self.broken = [], [], []
        self.causes, self.owed = set(), []

    @property
    def drain(self):
        return self.drains[self.turn]

    def begin(self, fount):
        self.fount = fount
        fount.flowTo(self.drain)
        return self

    def act(self, script):
        """Does the next thing of a script."""
        if script and self.fount is not None:
            name, *numbers = script.pop(0).split()
            getattr(self, name)(*map(int, numbers))

    def act_in_tube(self):
        self.act(self.in_tubes)

    def wait(self):
        """Does nothing."""

    def push(self, number=0):
        if number < len(self.sources):
            self.sources[number].push()

    def end(self, number=0):
        if number < len(self.sources):
            self.sources[number].end()

    def pause(self, times=1):
        for _ in range(times):
            if self.drain.fount is not None and not self.stopped:
                self.drain.pauses.append(self.fount.pauseFlow())

    def unpause(self):
        if self.drain.pauses:
            self.drain.pauses.pop().unpause()

    def blink(self):
        self.fount.pauseFlow().unpause()

    def move(self):
        self.turn = (self.turn + 1) % len(self.drains)
        self.fount.flowTo(self.drain)

    def leave(self):
        self.fount.flowTo(None)

    def stop(self):
        answers = {StopFlowCalled}
        answers.update(source.over for source in self.sources if source.over)
        answers.update(Wrong for source in self.sources if source.answer == "raises")
        self.blame(answers)
        self.fount.stopFlow()

    def fail(self):
        self.blame({Wrong})
        raise Wrong

    def blame(self, causes):
        """The first cause counts. Sources that have not come to their end are to be stopped."""
        if not self.causes and not self.stopped:
            self.causes = causes
            self.owed = [source for source in self.sources if source.over is None]

    def settle(self):
        """Lets it flow until nothing holds it back."""
        while self.drain.pauses or self.fount.drain is None and not self.stopped:
            if self.drain.pauses:
                self.unpause()
            else:
                self.fount.flowTo(self.drain)
        for source in self.sources:
            source.send()

    def finish(self):
        """Comes to the end of all sources."""
        for source in self.sources:
            source.end()
            self.settle()

    def check_end(self):
        assert self.broken == []
        assert len(self.stopped) == 1
        assert self.stopped[0] in (self.causes or {StopIteration})


# What happens to them

CALM = ["wait", "wait", "pause", "pause 2", "blink", "unpause", "push", "end"]


def actions(*more, of=tuple(CALM), most=8):
    return st.lists(st.sampled_from([*of, *more]), max_size=most)


def events(*more):
    return actions("push", "push", "pause", "unpause", "end", of=more, most=12)


def rows_of(kinds):
    row = st.lists(st.sampled_from(kinds), min_size=1, max_size=3)
    return st.lists(row, min_size=1, max_size=3)


manners = st.sampled_from(["patient", "reentrant", "eager"])
answers = st.sampled_from(["at once", "later", "raises"])
before = st.integers(1, 3)


def run(flow, rows, script, before):
    """Sends some items before there is a drain, then does what is to be done, to the end."""
    for _ in range(before):
        flow.push()
    flow.begin(through(flow.sources[0], rows, flow.act_in_tube))
    script = list(script)
    while script:
        flow.act(script)
    flow.finish()
    flow.check_end()


@checked
@given(rows_of(PLAIN), actions(), events(), manners, before)
def test_nothing_is_lost_doubled_or_reordered(rows, script, script_of_all, manner, before):
    source = Source(manner=manner)
    flow = Flow([source], script)
    run(flow, rows, script_of_all, before)
    assert flow.received == made_of(rows, source.made)
    assert source.stops == 0
