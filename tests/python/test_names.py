"""What Python looks for on every object is never remote."""

import copy
import inspect
import pickle

import marotte
import pytest
from support import meet

PROBES = [
    "_private",
    "__array__",
    "__fspath__",
    "_ipython_display_",
    "_repr_html_",
    "__wrapped__",
    "__deepcopy__",
    "__getstate__x",
    "__awaitable__",
]


@pytest.fixture(params=["promise", "reference"])
def pick(request):
    """Takes a promise or what it becomes."""

    async def pick(link):
        promise = link.remote
        reference = await promise
        return promise if request.param == "promise" else reference

    return pick


@pytest.mark.parametrize("name", PROBES)
async def test_underscored_name_is_no_attribute(pick, name):
    with meet() as link:
        thing = await pick(link)
        sent = link.client.stats()["messages_sent"]
        assert not hasattr(thing, name)
        with pytest.raises(AttributeError, match="not a remote method"):
            getattr(thing, name)
        assert link.client.stats()["messages_sent"] == sent


async def test_any_other_name_is_a_method(pick):
    with meet() as link:
        thing = await pick(link)
        assert repr(thing.anything) == "<remote method anything>"
        assert isinstance(thing.anything, marotte.Method)


@pytest.mark.parametrize("probe", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_copying_and_pickling_are_refused(pick, probe):
    with meet() as link:
        thing = await pick(link)
        sent = link.client.stats()["messages_sent"]
        with pytest.raises(TypeError):
            probe(thing)
        assert link.client.stats()["messages_sent"] == sent


async def test_inspection_is_harmless(pick):
    with meet() as link:
        thing = await pick(link)
        sent = link.client.stats()["messages_sent"]
        inspect.isawaitable(thing)
        inspect.iscoroutinefunction(thing)
        inspect.isgenerator(thing)
        inspect.getmembers(type(thing))
        dir(thing)
        repr(thing)
        str(thing)
        callable(thing)
        isinstance(thing, (list, dict, str))
        hash(thing)
        assert link.client.stats()["messages_sent"] == sent


async def test_iteration_is_refused(pick):
    with meet() as link:
        thing = await pick(link)
        with pytest.raises(TypeError):
            iter(thing)
        with pytest.raises(TypeError):
            len(thing)
        with pytest.raises(TypeError):
            thing[0]


async def test_attributes_cannot_be_set(pick):
    with meet() as link:
        thing = await pick(link)
        with pytest.raises(AttributeError):
            thing.name = 1


async def test_keyword_arguments_are_refused(pick):
    with meet() as link:
        thing = await pick(link)
        sent = link.client.stats()["messages_sent"]
        with pytest.raises(TypeError, match="echo: keyword arguments cannot be passed"):
            thing.echo(value=1)
        with pytest.raises(TypeError):
            thing(value=1)
        assert link.client.stats()["messages_sent"] == sent


async def test_names_of_any_kind_arrive():
    class Odd(marotte.Referenceable):
        pass

    setattr(Odd, "remote_größe und \n", lambda self: "odd")
    with meet(Odd()) as link:
        assert await getattr(link.remote, "größe und \n")() == "odd"


async def test_name_with_a_surrogate_is_refused():
    with meet() as link:
        await link.remote
        with pytest.raises(UnicodeEncodeError):
            getattr(link.remote, "\ud800")()


async def test_more_names_than_are_kept():
    class Any(marotte.Referenceable):
        def __getattr__(self, name):
            if not name.startswith("remote_"):
                raise AttributeError(name)
            return lambda: name

    with meet(Any()) as link:
        for n in range(1100):
            assert await getattr(link.remote, f"n{n}")() == f"remote_n{n}"


def test_public_types_cannot_be_made():
    for kind in (marotte.Promise, marotte.RemoteReference, marotte.Method, marotte.Listener):
        with pytest.raises(TypeError):
            kind()


def test_referenceable_takes_any_arguments():
    class Own(marotte.Referenceable):
        def __init__(self, one, *, two):
            self.sum = one + two

    assert Own(1, two=2).sum == 3
