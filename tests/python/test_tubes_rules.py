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


@tube
class Failing:
    """Raises in one of its methods, perhaps after a last output; in ``received`` after so many
    items."""

    def __init__(self, where, late, most, source):
        self.where, self.late, self.most, self.source = where, late, most, source
        self.told = self.owed = 0

    def started(self):
        if self.where == "started":
            return self.fail()

    def received(self, item):
        self.most -= 1
        if self.where == "received" and self.most < 0:
            return self.fail()
        return [item]

    def stopped(self, reason):
        self.told += 1
        if self.where == "stopped":
            return self.fail()

    def fail(self):
        failing = self.failing()
        return failing if self.late else list(failing)

    def failing(self):
        if self.late:
            yield b"late"
        self.owed = int(self.source.over is None)
        raise Wrong


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
    for stage in itertools.chain.from_iterable(rows):
        items = STAGES[stage][1](items)
    return items


def through(fount, rows, act=None):
    for row in rows:
        fount = fount.flowTo(series(*parts_of(row, act)))
    return fount


def parts_of(row, act=None):
    return [part for stage in row for part in STAGES[stage][0](act)]


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
        self.flow.moving = True
        for pause in pauses:
            pause.unpause()
        self.flow.moving = False

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
        self.moving = False
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
        """Flows to the next drain, unless it is just leaving one."""
        if not self.moving:
            self.turn = (self.turn + 1) % len(self.drains)
            self.fount.flowTo(self.drain)

    def leave(self):
        if not self.moving:
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
        for _ in range(1000):
            for source in self.sources:
                source.send()
            if self.drain.pauses:
                self.unpause()
            elif self.fount.drain is None and not self.stopped:
                self.fount.flowTo(self.drain)
            else:
                break

    def finish(self):
        """Comes to the end of all sources."""
        for source in self.sources:
            source.end()
            self.settle()

    def check(self):
        assert self.broken == []
        assert len(self.stopped) == 1
        assert self.stopped[0] in (self.causes or {StopIteration})


class Gathering(Flow):
    """What many sources flow into."""

    def __init__(self, into, answer, *scripts):
        super().__init__([], *scripts)
        self.into, self.answer = into, answer
        self.most = 0

    def connect(self):
        if len(self.sources) < self.most:
            self.sources.append(Source(len(self.sources), answer=self.answer))
            self.sources[-1].flowTo(self.into.newDrain(priority=len(self.sources)))


# What happens to them

IN_DRAINS = ["wait", "wait", "pause", "pause 2", "blink", "unpause", "push", "end"]
AT_LARGE = ["push", "push", "pause", "unpause", "end"]


def script(*more):
    return st.lists(st.sampled_from([*IN_DRAINS, *more]), max_size=8)


def program(*more):
    return st.lists(st.sampled_from([*AT_LARGE, *more]), max_size=12)


def rows_of(kinds):
    return st.lists(st.lists(st.sampled_from(kinds), min_size=1, max_size=3), min_size=1, max_size=3)


manners = st.sampled_from(["patient", "reentrant", "eager"])
answers = st.sampled_from(["at once", "later", "raises"])
# How many items are sent before there is a drain.
early = st.integers(1, 3)


def run(flow, early, fount, program):
    """Sends some items before there is a drain, then does what is to be done, to the end."""
    for _ in range(early):
        flow.push()
    flow.begin(fount())
    for action in program:
        flow.act([action])
    flow.finish()


@checked
@given(rows_of(PLAIN), script(), program(), manners, early)
def test_nothing_is_lost_doubled_or_reordered(rows, script, program, manner, early):
    source = Source(manner=manner)
    flow = Flow([source], script)
    run(flow, early, lambda: through(source, rows), program)
    flow.check()
    assert flow.received == made_of(rows, source.made)
    assert source.stops == 0


moves = ("move", "leave")


@checked
@given(
    rows_of(list(STAGES)),
    script(*moves),
    script(*moves),
    script(*moves),
    program(*moves),
    manners,
    early,
)
def test_a_flow_is_moved_and_left_by_drains_and_tubes(
    rows, one, two, in_tubes, program, manner, early
):
    source = Source(manner=manner)
    flow = Flow([source], one, two, in_tubes=in_tubes)
    run(flow, early, lambda: through(source, rows, flow.act_in_tube), program)
    flow.check()
    assert flow.received == made_of(rows, source.made)
    assert source.stops == 0


@checked
@given(
    rows_of(list(STAGES)),
    script("stop", "fail", *moves),
    script("stop", "fail", *moves),
    script("stop", *moves),
    program("stop", *moves),
    answers,
    early,
)
def test_a_drain_stops_or_fails(rows, one, two, in_tubes, program, answer, early):
    source = Source(answer=answer)
    flow = Flow([source], one, two, in_tubes=in_tubes)
    run(flow, early, lambda: through(source, rows, flow.act_in_tube), program)
    flow.check()
    wanted = made_of(rows, source.made)
    assert flow.received == (wanted[: len(flow.received)] if flow.causes else wanted)
    assert source.stops == len(flow.owed)


@checked
@given(
    st.lists(st.sampled_from(PLAIN), max_size=3),
    st.lists(st.sampled_from(PLAIN), max_size=3),
    st.sampled_from([[], [[]]]),
    st.sampled_from(["started", "received", "stopped"]),
    st.booleans(),
    st.integers(0, 4),
    script(*moves),
    script(*moves),
    program(*moves),
    answers,
    early,
)
def test_a_tube_fails(
    above, below, apart, where, late, most, one, two, program, answer, early
):
    source = Source(answer=answer)
    failing = Failing(where, late, most, source)
    flow = Flow([source], one, two)

    def fount():
        parts = [*parts_of(above), failing, *parts_of(below)]
        return source.flowTo(series(*parts))

    run(flow, early, fount, program)
    reached = made_of([above], source.made)
    fails = where != "received" or len(reached) > most
    passed = {"started": [], "received": reached[:most], "stopped": reached}[where]
    wanted = made_of([below], passed + [b"late"] * (late and fails))
    flow.causes = {Wrong} if fails else {StopIteration}
    flow.check()
    assert flow.received == wanted
    assert source.stops == failing.owed
    assert failing.told == (where == "stopped" or not fails)


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
branches = st.tuples(
    st.sampled_from(POLICIES),
    script("stop", "fail"),
    st.lists(st.sampled_from(["generator", "tuple", "lines", "text"]), max_size=1),
)


def is_part(some, of):
    rest = iter(of)
    return all(item in rest for item in some)


@checked
@given(
    st.lists(branches, min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from([*AT_LARGE, "stop"]), st.integers(0, 2)), max_size=12),
    answers,
    early,
)
def test_every_branch_gets_what_its_policy_lets_through(branches, program, answer, early):
    source, fan, flows = Source(answer=answer), Out(), []
    for (policy, capacity), script, row in branches:
        flow = Flow([source], script)
        branch = fan.newFount(policy, capacity, lambda one, two: one + b"+" + two)
        flows.append(flow.begin(through(branch, [row] if row else [])))
    source.flowTo(fan.drain)
    for _ in range(early):
        source.push()
    for action, number in program:
        flows[number % len(flows)].act([action])
    source.end()
    for _ in range(20):
        for flow in flows:
            flow.settle()
    for ((policy, _capacity), _script, _row), flow in zip(branches, flows, strict=True):
        if policy == "stop" and flow.stopped == [BranchTooSlow]:
            flow.causes, flow.owed = {BranchTooSlow}, [source]
        flow.check()
        whole = not flow.causes
        received = [part for item in flow.received for part in item.split(b"+")]
        if policy in ("slowest", "merge", "stop"):
            assert received == (source.made if whole else source.made[: len(received)])
            continue
        assert is_part(received, source.made)
        place = 0 if policy == "drop" else -1
        assert not whole or received[place] == source.made[place]
    assert source.stops == all(flow.owed for flow in flows)


NUMBERED = ["push 1", "push 2", "push 3", "end 1", "end 2", "connect"]


@checked
@given(
    st.sampled_from(["merge", "concat", "zip", "priority"]),
    st.sampled_from(["last", "first", "never"]),
    st.integers(1, 3),
    script("stop", "fail", *moves, *NUMBERED),
    script("stop", "fail", *moves, *NUMBERED),
    program("stop", *moves, *NUMBERED),
    answers,
    st.lists(st.just("tuple"), max_size=1),
)
def test_a_fan_in_keeps_its_order(order, ends, count, one, two, program, answer, row):
    fan = In(order, ends)
    flow = Gathering(fan, answer, one, two)
    flow.most = count if order == "zip" else 4
    flow.begin(through(fan.fount, [row] if row else []))
    for _ in range(count):
        flow.connect()
    for number in range(count):
        flow.push(number)
    for action in program:
        flow.act([action])
    if flow.causes:
        assert all(source.stops or source.over for source in flow.owed)
    for source in flow.sources:
        source.end()
        flow.settle()
        if ends == "first" and order != "zip":
            assert all(source.over or source.stops for source in flow.sources)
    if ends == "never" and not flow.causes:
        assert flow.stopped == []
        flow.stop()
    flow.check()
    assert all(source.stops <= 1 for source in flow.sources)
    made = [source.made for source in flow.sources]
    whole = flow.stopped == [StopIteration] and ends == "last"
    if order == "zip":
        tuples = list(zip(*made, strict=False))
        assert flow.received == (tuples if whole else tuples[: len(flow.received)])
        return
    for items in made:
        received = [item for item in flow.received if item in items]
        assert received == (items if whole else items[: len(received)])
    assert len(flow.received) == len(set(flow.received)) 
    if order == "concat":
        numbers = [int(item.split(b".")[0]) for item in flow.received]
        assert numbers == sorted(numbers)


# How far a source runs ahead


def siphons(row):
    """How many are one after another in a series."""
    count = 0
    for kind, stages in itertools.groupby(row, lambda stage: (stage in NATIVE, stage in FANS)):
        # The fan out, a branch of it and what is in that, an input of the fan in and that itself.
        count += 5 * len(list(stages)) if kind[1] else 1
    return count


@checked
@given(rows_of([stage for stage in PLAIN if stage not in ("polite", "batches")]), st.booleans())
def test_a_source_runs_ahead_by_one_item_for_each_siphon(rows, own):
    items = [b"%d" % n for n in range(200)]
    flow = Flow([], ["pause"] * 20)
    if own:
        source = Source()
        source.waiting = items.copy()
        flow.begin(through(source, rows))
        left = source.waiting
    else:
        left = iter(items)
        flow.begin(through(iteratorFount(left), [["tuple"], *rows]))
    most = sum(map(siphons, rows)) + (0 if own else 2)
    for count in range(1, 20):
        assert len(flow.received) == count
        needed = next(n for n in range(200) if len(made_of(rows, items[:n])) >= count)
        assert flow.received == made_of(rows, items)[:count]
        assert needed <= len(items) - operator.length_hint(left) <= needed + most
        flow.unpause()
    assert flow.broken == []
