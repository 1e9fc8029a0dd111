"""Random programs do the same with our Deferreds as with Twisted's own, in one process."""

import gc
import itertools
import random

import pytest

genuine = pytest.importorskip("twisted.internet.defer")

from marotte import defer
from marotte.failure import Failure
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher


class Wrong(Exception):
    """What the programs raise."""


class World:
    """Runs programs on one of the two modules, and writes down what happens."""

    def __init__(self, module):
        self.module = module
        self.log = []
        self.deferreds = []
        self.made = []
        self.paused = []
        self.ids = itertools.count()
        self.clock = Clock()
        self.lock = module.DeferredLock()
        self.semaphore = module.DeferredSemaphore(2)
        self.queue = module.DeferredQueue(size=3, backlog=3)

    def describe(self, value, depth=4):
        if depth == 0:
            return "..."
        if isinstance(value, Failure):
            return ("failure", type(value.value).__name__, self.describe(value.value, depth))
        if isinstance(value, defer.FirstError):
            return value.index, self.describe(value.subFailure, depth - 1)
        if isinstance(value, defer.FailureGroup):
            return [self.describe(failure, depth - 1) for failure in value.failures]
        if isinstance(value, RecursionError):
            return "too deep"
        if isinstance(value, BaseException):
            return [str(arg) for arg in value.args]
        if isinstance(value, (list, tuple)):
            return type(value)(self.describe(item, depth - 1) for item in value)
        for number, known in enumerate(self.deferreds):
            if value is known:
                return f"D{number}"
        if isinstance(value, self.module.Deferred):
            return "a Deferred"
        if value is None or isinstance(value, int):
            return value
        return type(value).__name__

    def pick(self, number):
        return self.deferreds[number % len(self.deferreds)]

    def note(self, *what):
        self.log.append(what)

    def run(self, operations):
        for operation in operations:
            self.do(operation)

    def do(self, operation):
        name, *arguments = operation
        try:
            getattr(self, f"do_{name}")(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, both are to raise it
            self.note(name, "raised", type(error).__name__)

    def keep(self, deferred):
        self.deferreds.append(deferred)

    # What a program may do.

    def do_make(self, canceller):
        number = len(self.deferreds)

        def cancel(deferred):
            self.note("cancelling", number, self.describe(deferred))
            if canceller == "fires":
                deferred.callback(number)
            elif canceller == "fails":
                deferred.errback(Wrong("cancelled"))
            elif canceller == "raises":
                raise Wrong("canceller")

        self.keep(self.module.Deferred(cancel if canceller != "none" else None))
        self.made.append(self.deferreds[-1])

    def do_add(self, how, number, one, other):
        number %= len(self.deferreds)
        deferred = self.deferreds[number]
        if how == "addCallbacks":
            deferred.addCallbacks(self.rung(one, number), self.rung(other, number))
        else:
            getattr(deferred, how)(self.rung(one, number))

    def rung(self, action, below):
        number = next(self.ids)
        kind, argument = action

        def rung(result):
            self.note("rung", number, self.describe(result))
            if kind == "value":
                return argument
            if kind == "raise":
                raise Wrong(argument)
            if kind == "failure":
                return Failure(Wrong(argument))
            if kind == "deferred" and below:
                # Each waits for older ones: what waits for itself could never be cancelled.
                return self.deferreds[argument % below]
            if kind == "do":
                self.do(argument)
                self.note("still", number)
            return result

        return rung

    # Only those that nobody else is to fire.

    def do_fire(self, number, value):
        self.made[number % len(self.made)].callback(value)

    def do_fail(self, number, value):
        self.made[number % len(self.made)].errback(Wrong(value))

    def do_fire_failure(self, number, value):
        self.made[number % len(self.made)].callback(Failure(Wrong(value)))

    def do_cancel(self, number):
        self.pick(number).cancel()

    def do_pause(self, number):
        # Twisted pauses the others between steps that are none for us.
        self.paused.append(self.made[number % len(self.made)])
        self.paused[-1].pause()

    def do_unpause(self, number):
        if self.paused:
            self.paused.pop(number % len(self.paused)).unpause()

    def do_chain(self, number, other):
        self.pick(number).chainDeferred(self.made[other % len(self.made)])

    def do_succeed(self, value):
        self.keep(self.module.succeed(value))

    def do_list(self, numbers, flags):
        self.keep(self.module.DeferredList([self.pick(number) for number in numbers], *flags))

    def do_gather(self, numbers, consume):
        self.keep(self.module.gatherResults([self.pick(number) for number in numbers], consume))

    def do_race(self, numbers):
        self.keep(self.module.race([self.pick(number) for number in numbers]))

    def do_maybe(self, action):
        self.keep_new(self.module.maybeDeferred(self.rung(action, len(self.deferreds)), 0))

    def keep_new(self, deferred):
        if not any(deferred is known for known in self.deferreds):
            self.keep(deferred)

    def do_inline(self, steps):
        below = len(self.deferreds)

        @self.module.inlineCallbacks
        def function():
            for kind, argument in steps:
                self.note("yields", kind, argument)
                try:
                    self.note("got", self.describe((yield self.step(kind, argument, below))))
                except (Wrong, self.module.CancelledError) as error:
                    self.note("caught", type(error).__name__, self.describe(error))
                    if argument % 2:
                        raise
            return len(steps)

        self.keep(function())

    def do_coroutine(self, steps):
        below = len(self.deferreds)

        async def function():
            for kind, argument in steps:
                self.note("awaits", kind, argument)
                awaited = self.step(kind, argument, below)
                if not isinstance(awaited, self.module.Deferred):
                    continue
                # A failure that is on its way is an AssertionError of Twisted's.
                if kind == "wait" and isinstance(getattr(awaited, "result", None), Failure):
                    continue
                try:
                    self.note("got", self.describe(await awaited))
                except (Wrong, self.module.CancelledError) as error:
                    self.note("caught", type(error).__name__, self.describe(error))
                    if argument % 2:
                        raise
            return len(steps)

        self.keep(self.module.ensureDeferred(function()))

    def step(self, kind, argument, below):
        if kind == "value":
            return argument
        if kind == "failed":
            return self.module.fail(Wrong(argument))
        return self.deferreds[argument % below]

    def do_timeout(self, number, seconds):
        self.pick(number).addTimeout(seconds, self.clock)

    def do_wait(self, seconds):
        self.clock.advance(seconds)

    def do_shared(self, what, action):
        if what == "put":
            self.queue.put(next(self.ids))
        elif what == "get":
            self.keep(self.queue.get())
        else:
            shared = self.lock if what.endswith("lock") else self.semaphore
            if what.startswith("run"):
                self.keep_new(shared.run(self.rung(action, len(self.deferreds)), 0))
            elif what.startswith("acquire"):
                self.keep(shared.acquire())
            else:
                shared.release()

    # What became of it.

    def state(self):
        states = [
            (
                type(deferred).__name__,
                deferred.called,
                deferred.paused,
                self.describe(getattr(deferred, "result", "no result")),
            )
            for deferred in self.deferreds
        ]
        shared = (
            self.lock.locked,
            self.describe(self.lock.waiting),
            self.semaphore.tokens,
            self.describe(self.semaphore.waiting),
            self.queue.pending,
            self.describe(self.queue.waiting),
        )
        return states, shared


def play(module, operations):
    """All that can be told of a program: its log, how it ends, and what was reported after that."""
    reported = []

    def observe(event):
        if "log_failure" in event:
            reported.append(World(module).describe(event["log_failure"]))

    globalLogPublisher.addObserver(observe)
    try:
        world = World(module)
        world.run(operations)
        log, state = world.log, world.state()
        del world
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)
    return {"log": log, "state": state, "reported": sorted(map(str, reported))}


SHARING = [
    "put",
    "get",
    *(f"{do} {what}" for do in ("acquire", "release", "run") for what in ("lock", "semaphore")),
]


class Programs:
    """Draws programs."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self):
        return self.random.randrange(8)

    def numbers(self):
        return [self.number() for _ in range(self.random.randrange(5))]

    def flag(self):
        return self.random.random() < 0.5

    def steps(self):
        kinds = ["value", "failed", "wait", "wait"]
        return [(self.random.choice(kinds), number) for number in self.numbers()]

    def action(self, nested=False):
        kinds = ["value", "pass", "raise", "failure", "deferred", "deferred"]
        kind = self.random.choice(kinds if nested else kinds + ["do"] * 3)
        return kind, self.operation(nested=True) if kind == "do" else self.number()

    def operation(self, nested=False):
        choose, number = self.random.choice, self.number
        name = choose(
            ["add", "add", "fire", "fail", "fire_failure", "cancel", "pause", "unpause", "chain"]
            + ["list", "gather", "race", "maybe", "inline", "coroutine", "timeout", "wait"]
            + ["make", "shared"]
        )
        if name == "make":
            return name, choose(["none", "ignores", "fires", "fails", "raises"])
        if name == "add":
            how = choose(["addCallback", "addErrback", "addBoth", "addBoth", "addCallbacks"])
            return name, how, number(), self.action(nested), self.action(nested)
        if name in ("fire", "fail", "fire_failure", "chain"):
            return name, number(), number()
        if name in ("cancel", "pause", "unpause"):
            return name, number()
        if name == "list":
            return name, self.numbers(), (self.flag(), self.flag(), self.flag())
        if name == "gather":
            return name, self.numbers(), self.flag()
        if name == "race":
            return name, self.numbers()
        if name == "maybe":
            return name, self.action(nested)
        if name == "timeout":
            return name, number(), choose([1, 2, 3])
        if name == "wait":
            return name, choose([1, 2, 3])
        if name == "shared":
            return name, choose(SHARING), self.action(nested)
        return name, self.steps()

    def program(self):
        start = [("make", "none"), ("make", "ignores"), ("make", "fires"), ("make", "none")]
        return start + [self.operation() for _ in range(self.random.randrange(3, 25))]


@pytest.fixture
def little_to_collect():
    """What is there before needs no looking at."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_to_collect")
@pytest.mark.parametrize("batch", range(8))
def test_random_programs_do_the_same(batch):
    for seed in range(50 * batch, 50 * (batch + 1)):
        program = Programs(seed).program()
        ours, theirs = play(defer, program), play(genuine, program)
        assert ours == theirs, (seed, program)
