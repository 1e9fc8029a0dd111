"""What holds for every flow, whatever its stages and its drains are and whatever happens when.

The rules are those of Reactive Streams: nothing is delivered while the drain holds a pause, and
nothing after ``flowStopped``, which comes once and with the first cause; ``stopFlow`` reaches a
source once if the flow failed or was stopped before the source had come to its end, and otherwise
never; nothing is lost, doubled or reordered; a source runs ahead by at most one item for each
siphon.
"""

import operator
import sys
from itertools import chain

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
many = settings(max_examples=150, deadline=None)


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


# Stages


@tube
class Acting:
    """Calls a function whenever it is called."""

    def __init__(self, act):
        self.act = act

    def started(self):
        self.act()
        return [b"hello"]

    def received(self, item):
        self.act()
        yield item
        self.act()

    def stopped(self, reason):
        self.act()
        yield b"bye"


class ActingOnMany(Acting):
    def receivedBatch(self, items):
        self.act()
        return list(items)


@tube
class Failing:
    """Raises in one of its methods, perhaps after a last output; in ``received`` after some items."""

    def __init__(self, where, late, most):
        self.where, self.late, self.most = where, late, most
        self.taken = self.told = self.owed = 0

    def started(self):
        return self.outputs(self.where == "started")

    def received(self, item):
        self.taken += 1
        return self.outputs(self.where == "received" and self.taken > self.most, item)

    def stopped(self, reason):
        self.told += 1
        return self.outputs(self.where == "stopped")

    def outputs(self, fails, *items):
        def generate():
            if fails:
                yield b"late"
                self.owed = int(self.source.over is None)
                raise Wrong
            yield from items

        return generate() if self.late else list(generate())


def each(*ends):
    return receiver()(lambda item: (item + end for end in ends))


def unchanged(items):
    return items


def polite(items):
    return [b"hello", *items, b"bye"]


#: The parts of each stage, and what comes out for what goes in.
STAGES = {
    "acting": (lambda act: [Acting(act)], polite),
    "batches": (lambda act: [ActingOnMany(act)], polite),
    "lines": (lambda act: [framing.linesToBytes(), framing.bytesToLines()], unchanged),
    "text": (lambda act: [framing.bytesToText(), framing.textToBytes()], unchanged),
    "twice": (
        lambda act: [receiver()(lambda item: [item, skip, item])],
        lambda items: [item for item in items for _ in range(2)],
    ),
    "fork": (
        lambda act: [parallel(each(b"x"), each(b"y", b"z"))],
        lambda items: [item + end for item in items for end in (b"x", b"y", b"z")],
    ),
}


def made_of(stages, items):
    for stage in stages:
        items = STAGES[stage][1](items)
    return items


def through(fount, rows, act=None):
    """The end of some series, each of a row of stages."""
    for row in rows:
        parts = [STAGES[stage][0](act) if stage in STAGES else [stage] for stage in row]
        fount = fount.flowTo(series(*chain(*parts)))
    return fount


# Both ends


class Source(T.Fount):
    """Sends what waits; if it is ``eager``, whatever pauses it. It answers a stop ``at once`` or
    ``later``, or ``raises``."""

    def __init__(self, answer="at once", eager=False, number=0):
        super().__init__()
        self.answer, self.eager, self.number = answer, eager, number
        self.made, self.waiting = [], []
        self.sending = self.ends = False
        self.over = None

    def push(self):
        if not self.ends and not self.stops:
            self.made.append(b"%d.%d" % (self.number, len(self.made)))
            self.waiting.append(self.made[-1])
            self.send()

    def end(self):
        self.ends = True
        self.send()

    def send(self):
        if self.stops and self.answer == "later":
            self.finish(StopFlowCalled)
        if self.stops or self.drain is None or self.sending and not self.eager:
            return
        self.sending = True
        while self.waiting and (self.eager or not self.paused):
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
    """Does one thing of its script at each item, and notes what is against the rules."""

    def __init__(self, flow, script):
        super().__init__()
        self.flow, self.script = flow, script
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
    """Where a flow ends: drains that take turns; and all that can be done to it."""

    def __init__(self, sources, *scripts):
        self.sources = sources
        self.drains = [Drain(self, script) for script in scripts]
        self.turn, self.fount = 0, None
        self.received, self.stopped, self.broken = [], [], []
        self.causes, self.owed = set(), []

    @property
    def drain(self):
        return self.drains[self.turn]

    def begin(self, fount):
        self.fount = fount
        fount.flowTo(self.drain)

    def act(self, script):
        if script and self.fount is not None:
            name, *numbers = script.pop(0).split()
            getattr(self, name)(*map(int, numbers))

    def push(self, number=0):
        if number < len(self.sources):
            self.sources[number].push()

    def end(self, number=0):
        if number < len(self.sources):
            self.sources[number].end()

    def pause(self):
        if self.drain.fount is not None and not self.stopped:
            self.drain.pauses.append(self.fount.pauseFlow())

    def unpause(self):
        if self.drain.pauses:
            self.drain.pauses.pop().unpause()

    def blink(self):
        self.fount.pauseFlow().unpause()

    def move(self):
        self.turn = 1 - self.turn
        self.fount.flowTo(self.drain)

    def leave(self):
        self.fount.flowTo(None)

    def stop(self):
        over = {source.over for source in self.sources if source.over}
        raised = {Wrong for source in self.sources if source.answer == "raises"}
        self.blame({StopFlowCalled} | over | raised)
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
        for _ in range(1000):
            for source in self.sources:
                source.send()
            if self.drain.pauses:
                self.unpause()
            elif self.fount.drain is None and not self.stopped:
                self.fount.flowTo(self.drain)
            else:
                break

    def check(self):
        assert self.broken == []
        assert len(self.stopped) == 1
        assert self.stopped[0] in (self.causes or {StopIteration})


class Linear(Flow):
    """A flow from one source through some series, to the end of which it comes."""

    def __init__(self, rows, one, two, in_tubes, program, source, early):
        super().__init__([source], one, two)
        self.rows, self.in_tubes, self.program, self.early = rows, in_tubes, program, early

    def run(self):
        [source] = self.sources
        for _ in range(self.early):
            source.push()
        self.begin(through(source, self.rows, lambda: self.act(self.in_tubes)))
        for action in self.program:
            self.act([action])
        source.end()
        self.settle()
        return source


class Gathering(Flow):
    """What up to so many sources flow into."""

    def __init__(self, into, most, answer, *scripts):
        super().__init__([], *scripts)
        self.into, self.most, self.answer = into, most, answer

    def connect(self):
        number = len(self.sources)
        if number < self.most:
            self.sources.append(Source(self.answer, number=number))
            self.sources[number].flowTo(self.into.newDrain(priority=number))


# What happens

MOVES = ("move", "leave")
AT_LARGE = ("push", "push", "push", "pause", "unpause")
OF_MANY = ("push 1", "push 2", "push 3", "end 1", "end 2", "connect")


def scripts(*more):
    calm = ("blink", "blink", "pause", "unpause", "push", "end")
    return st.lists(st.sampled_from(calm + more), max_size=8)


def programs(*more):
    return st.lists(st.sampled_from((*AT_LARGE, "end", *more)), min_size=2, max_size=14)


def rows_of(*stages):
    row = st.lists(st.sampled_from(stages), min_size=1, max_size=3)
    return st.lists(row, min_size=1, max_size=3)


answers = st.sampled_from(["at once", "later", "raises"])
earlies = st.integers(1, 4)


def linear(*more, fails=()):
    return st.builds(
        Linear,
        rows_of(*STAGES),
        scripts(*more, *fails),
        scripts(*more, *fails),
        scripts(*more),
        programs(*more),
        st.builds(Source, answers, st.booleans()),
        earlies,
    )


@many
@given(linear(*MOVES))
def test_nothing_is_lost_doubled_or_reordered(flow):
    source = flow.run()
    flow.check()
    assert flow.received == made_of(chain(*flow.rows), source.made)
    assert source.stops == 0


@many
@given(linear("stop", *MOVES, fails=["fail"]))
def test_a_drain_stops_or_fails(flow):
    source = flow.run()
    flow.check()
    wanted = made_of(chain(*flow.rows), source.made)
    assert flow.received == (wanted[: len(flow.received)] if flow.causes else wanted)
    assert source.stops == len(flow.owed)


failing_tubes = st.builds(
    Failing,
    st.sampled_from(["started", "received", "received", "stopped"]),
    st.booleans(),
    st.integers(0, 4),
)


@many
@given(linear(*MOVES), failing_tubes, st.integers(0, 5))
def test_a_tube_fails(flow, failing, place):
    row = flow.rows[place % len(flow.rows)]
    row.insert(place % (len(row) + 1), failing)
    [failing.source] = flow.sources
    # An end that the tubes above bring about when they are told would be in time.
    flow.in_tubes = [action for action in flow.in_tubes if action != "end"]
    source = flow.run()
    stages = list(chain(*flow.rows))
    above, below = stages[: stages.index(failing)], stages[stages.index(failing) + 1 :]
    reached = made_of(above, source.made)
    fails = failing.where != "received" or len(reached) > failing.most
    passed = {"started": [], "received": reached[: failing.most], "stopped": reached}
    flow.causes = {Wrong} if fails else set()
    flow.check()
    late = [b"late"] * (fails and failing.late)
    assert flow.received == made_of(below, passed[failing.where] + late)
    assert source.stops == failing.owed
    assert failing.told == (failing.where == "stopped" or not fails)


# Fans

POLICIES = [
    ("slowest", 0),
    ("slowest", 2),
    ("drop", 2),
    ("dropOldest", 2),
    ("latest", None),
    ("merge", 1),
    ("stop", 2),
]
branches = st.lists(
    st.tuples(
        st.sampled_from(POLICIES),
        st.booleans(),
        st.sampled_from([[], [["lines"]], [["text"]]]),
        scripts("stop", "fail"),
    ),
    min_size=1,
    max_size=3,
)
at_large = st.sampled_from([*AT_LARGE, "stop"])


def is_part(some, whole):
    rest = iter(whole)
    return all(item in rest for item in some)


@many
@given(branches, st.lists(st.tuples(at_large, st.integers(0, 2)), max_size=16), answers, earlies)
def test_every_branch_gets_what_its_policy_lets_through(branches, program, answer, early):
    source, fan, flows = Source(answer), Out(), []
    source.flowTo(fan.drain)
    for (policy, capacity), held, rows, script in branches:
        flow = Flow([source], script)
        fount = fan.newFount(policy, capacity, lambda one, two: one + b"+" + two)
        flow.begin(through(fount, rows))
        if held:
            flow.pause()
        flows.append(flow)
    for _ in range(early):
        source.push()
    for action, number in program:
        flows[number % len(flows)].act([action])
    source.end()
    for flow in flows * 20:
        flow.settle()
    for ((policy, _), _, _, _), flow in zip(branches, flows, strict=True):
        if policy == "stop" and flow.stopped == [BranchTooSlow]:
            flow.causes, flow.owed = {BranchTooSlow}, [source]
        flow.check()
        received = [part for item in flow.received for part in item.split(b"+")]
        if policy in ("slowest", "merge", "stop"):
            assert received == (source.made[: len(received)] if flow.causes else source.made)
        else:
            place = 0 if policy == "drop" else -1
            assert is_part(received, source.made)
            assert flow.causes or received[place] == source.made[place]
    assert source.stops == all(flow.owed for flow in flows)


@many
@given(
    st.sampled_from(["merge", "concat", "zip", "priority"]),
    st.sampled_from(["last", "last", "first", "never"]),
    st.integers(1, 3),
    scripts("stop", "fail", *MOVES, *OF_MANY),
    scripts("stop", "fail", *MOVES, *OF_MANY),
    programs("stop", *MOVES, *OF_MANY),
    answers,
)
def test_a_fan_in_keeps_its_order(order, ends, count, one, two, program, answer):
    fan = In(order, ends)
    flow = Gathering(fan, count if order == "zip" else 4, answer, one, two)
    flow.begin(fan.fount)
    for action in ["connect"] * count + [f"push {number}" for number in range(count)] + program:
        flow.act([action])
    assert all(source.stops or source.over for source in flow.owed)
    for source in flow.sources:
        source.end()
        flow.settle()
        if ends == "first" and order != "zip":
            assert all(source.stops or source.over for source in flow.sources)
    whole = ends != "first" and not flow.causes
    if ends == "never" and not flow.causes:
        assert flow.stopped == []
        flow.stop()
    flow.check()
    assert all(source.stops <= 1 for source in flow.sources)
    made = [source.made for source in flow.sources]
    if order == "zip":
        made = [list(zip(*made, strict=False))]
    for items in made:
        received = [item for item in flow.received if item in items]
        assert received == (items if whole else items[: len(received)])
    assert len(flow.received) == sum(flow.received.count(item) for items in made for item in items)
    if order == "concat":
        assert flow.received == sorted(flow.received, key=lambda item: item.split(b".")[0])


# How far a source runs ahead


@many
@given(rows_of("twice", "lines", "text", "fork"), st.booleans())
def test_a_source_runs_ahead_by_one_item_for_each_siphon(rows, native):
    # A stage that joins items takes many at once from a source that has them.
    rows = [["twice"], *rows] if native else rows
    stages = list(chain(*rows))
    items = [b"%d" % n for n in range(200)]
    wanted = made_of(stages, items)
    flow = Flow([], ["pause"] * len(items))
    # A fork is a fan out, a branch, what is in that, an input of the fan in, and the fan in.
    siphons = 1 + sum(5 if stage == "fork" else 1 for stage in stages)
    if native:
        waiting = iter(items)
        flow.begin(through(iteratorFount(waiting), rows))
    else:
        source = Source()
        waiting = source.waiting = items.copy()
        flow.begin(through(source, rows))
    for count in range(1, 20):
        assert (flow.received, flow.broken) == (wanted[:count], [])
        needed = next(n for n in range(200) if len(made_of(stages, items[:n])) >= count)
        assert needed <= len(items) - operator.length_hint(waiting) <= needed + siphons
        flow.unpause()
