"""Deferreds as Python objects: subclasses, attributes, references."""

import abc
import collections.abc
import copy
import inspect
import pickle
import types
import weakref
from typing import Any

import pytest
from deferreds import outcome
from marotte import defer
from marotte.defer import Deferred, DeferredList, ensureDeferred, inlineCallbacks, succeed


class Named(Deferred):
    """One with a constructor of its own."""

    def __init__(self, name, *, size=1):
        super().__init__()
        self.name = name
        self.size = size


class Recording(Deferred):
    """Notes what is called."""

    def __init__(self, canceller=None):
        Deferred.__init__(self, canceller)
        self.calls = []

    def callback(self, result):
        self.calls.append("callback")
        Deferred.callback(self, result)

    def errback(self, fail=None):
        self.calls.append("errback")
        super().errback(fail)

    def addBoth(self, callback, *args, **kwargs):
        self.calls.append("addBoth")
        return super().addBoth(callback, *args, **kwargs)

    def addCallbacks(self, *args, **kwargs):
        self.calls.append("addCallbacks")
        return super().addCallbacks(*args, **kwargs)

    def cancel(self):
        self.calls.append("cancel")
        super().cancel()


def test_another_constructor():
    d = Named("name", size=2)
    assert (d.name, d.size) == ("name", 2)
    d.callback(3)
    assert outcome(d) == 3
    assert repr(d).startswith("<Named at 0x")


def test_a_subclass_need_not_call_the_constructor():
    class Lazy(Deferred):
        def __init__(self, one, two):
            self.sum = one + two

    d = Lazy(1, 2)
    d.callback(d.sum)
    assert outcome(d) == 3


def test_a_constructor_may_pause_it():
    class Plain:
        pass

    class Held(Deferred[object], Plain):
        def __init__(self):
            Deferred.__init__(self)
            self.pause()

    d = Held()
    d.callback(1)
    assert d.paused == 1
    d.unpause()
    assert outcome(d) == 1


def test_several_bases():
    class Plain:
        def method(self):
            return self.result

    class Abstract(abc.ABC):
        @abc.abstractmethod
        def more(self): ...

    class Mine(Deferred[int], Plain, Abstract):
        def more(self):
            return 2

    d = Mine()
    d.callback(1)
    assert (d.method(), d.more()) == (1, 2)


def test_an_instance_of_a_subclass_is_waited_for():
    inner = Named("inner")
    d = succeed(None).addCallback(lambda _: inner)
    assert d.paused
    inner.callback(3)
    assert d.result == 3
    assert defer.maybeDeferred(lambda: inner) is inner
    assert ensureDeferred(inner) is inner


def test_overridden_methods_are_used():
    other = Deferred()
    d = Recording()
    other.chainDeferred(d)
    other.callback(1)
    assert d.calls == ["callback"]

    d = Recording()
    other = Deferred()
    other.chainDeferred(d)
    other.errback(ValueError())
    assert d.calls == ["errback"]
    outcome(d)

    d = Recording()
    DeferredList([d])
    defer.race([d])
    defer.gatherResults([d])
    assert d.calls == ["addCallbacks"] * 3

    d = Recording()
    d.cancel()
    assert d.calls == ["cancel", "errback"]
    outcome(d)

    d = Recording()
    waiting = succeed(None).addCallback(lambda _: d)
    waiting.cancel()
    assert d.calls == ["cancel", "errback"]
    outcome(waiting)

    d = Recording()
    DeferredList([d], consumeErrors=True).cancel()
    assert d.calls == ["addCallbacks", "cancel", "errback"]


def test_a_list_may_be_derived_from():
    class Mine(DeferredList):
        def __init__(self, ds, name):
            self.name = name
            super().__init__(ds, consumeErrors=True)

        def callback(self, result):
            super().callback((self.name, result))

    assert outcome(Mine([succeed(1)], "mine")) == ("mine", [(True, 1)])
    assert outcome(Mine([], "none")) == ("none", [])
    assert isinstance(Mine([], "none"), Deferred)


def test_locks_and_queues_may_be_derived_from():
    class Lock(defer.DeferredLock):
        def __init__(self, name):
            super().__init__()
            self.name = name
            self.released = 0

        def release(self):
            self.released += 1
            super().release()

    class Queue(defer.DeferredQueue[int]):
        pass

    class Semaphore(defer.DeferredSemaphore):
        def __init__(self):
            super().__init__(2)

    lock = Lock("name")
    assert outcome(lock.run(int, "3")) == 3
    assert (lock.name, lock.released, lock.locked) == ("name", 1, False)
    queue = Queue(size=1)
    queue.put(3)
    assert outcome(queue.get()) == 3
    assert Semaphore().tokens == 2


def test_annotations_can_be_evaluated():
    assert isinstance(Deferred[int], types.GenericAlias)
    d = Deferred[int]()
    assert type(d) is Deferred
    assert d.__orig_class__ == Deferred[int]

    class Mine(Deferred[int]):
        pass

    assert Mine.__orig_bases__ == (Deferred[int],)
    assert Mine.__mro__[:2] == (Mine, Deferred)
    assert defer.DeferredQueue[Any] is not None


def test_what_it_is():
    for d in (Deferred(), Named("name"), DeferredList([])):
        assert isinstance(d, Deferred)
        assert isinstance(d, collections.abc.Awaitable)
        assert isinstance(d, collections.abc.Iterable)
        assert inspect.isawaitable(d)
        assert not inspect.iscoroutine(d)
    assert Deferred.__module__ == "marotte.defer"


def test_any_attribute_can_be_set():
    d = Deferred()
    d.anything = 1
    d.me = d
    assert vars(d)["anything"] == 1 and d.me is d
    del d.anything
    assert not hasattr(d, "anything")


def test_what_is_let_go_may_look_at_the_deferred():
    seen = []

    class Last:
        def __del__(self):
            seen.append((d.called, repr(d)))

    d = Deferred()
    d.one = Last()
    del d.one
    d.one = Last()
    d.one = None
    d.callback(Last())
    d.addCallback(lambda _: None)
    d.result = Last()
    d.result = None
    assert [called for called, _ in seen] == [False, False, True, True]


def test_it_is_equal_to_itself_alone():
    d, e = succeed(1), succeed(1)
    assert d != e and {d: 1}[d] == 1
    assert len({d, e, d}) == 2


def test_weak_references():
    for make in (Deferred, lambda: DeferredList([]), defer.DeferredLock, defer.DeferredQueue):
        it = make()
        gone = []
        reference = weakref.ref(it, gone.append)
        assert reference() is it
        del it
        assert reference() is None and gone == [reference]


def test_an_unfired_one_can_be_copied_and_pickled():
    d = Deferred()
    d.name = "name"
    for again in (pickle.loads(pickle.dumps(d)), copy.copy(d), copy.deepcopy(d)):
        assert (type(again), again.name, again.called) == (Deferred, "name", False)
        again.callback(1)
        assert outcome(again) == 1
    assert not d.called


def test_subclasses_are_listed():
    class Mine(Deferred):
        pass

    assert {Deferred, DeferredList, Mine} <= set(defer._DEFERRED_SUBCLASSES)


def test_the_module_can_be_patched(monkeypatch):
    calls = []

    def patched(function):
        calls.append(function)
        return inlineCallbacks(function)

    monkeypatch.setattr(defer, "inlineCallbacks", patched)

    @defer.inlineCallbacks
    def function():
        return (yield succeed(3))

    assert outcome(function()) == 3 and len(calls) == 1


def test_methods_can_be_taken_from_the_class():
    d = Deferred()
    Deferred.addCallback(d, str)
    Deferred.callback(d, 3)
    assert d.result == "3"
    assert inspect.signature(Deferred.addCallbacks).parameters["errback"].default is None


def test_a_bound_method_as_a_decorator():
    d = Deferred()

    @d.addCallback
    def first(result):
        return result + 1

    assert first is d
    d.callback(1)
    assert outcome(d) == 2


@pytest.mark.parametrize("name", ["called", "paused"])
def test_a_subclass_may_override_state(name):
    class Odd(Deferred):
        pass

    setattr(Odd, name, property(lambda self: "overridden"))
    assert getattr(Odd(), name) == "overridden"
