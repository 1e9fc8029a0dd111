"""Values arrive as they were sent."""

import enum
import math

import marotte
import pytest
from marotte import Symbol
from support import Echo, failure, meet


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Number(int):
    def __repr__(self):
        return "not a number"


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    2**64,
    2**200,
    -(2**200),
    10**4000,
    0.0,
    1.5,
    -1e300,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "text",
    "Grüße, 世界 🌍\0",
    b"",
    b"\0\xff" * 10,
    [],
    [[], [[]], {}],
    {},
    {"": None, "a": 1, "Ω": [{"b": {}}], "aa": 2},
    [None, True, 1, 1.5, "s", b"b", [1], {"k": "v"}],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
async def test_value_comes_back(value, scheme):
    with meet(scheme=scheme) as link:
        back = await link.remote.echo(value)
        assert back == value
        assert type(back) is type(value)


async def test_nan_comes_back():
    with meet() as link:
        assert math.isnan(await link.remote.echo(math.nan))


async def test_the_sign_of_zero_comes_back():
    with meet() as link:
        assert math.copysign(1, await link.remote.echo(-0.0)) == -1


async def test_megabyte_comes_back(scheme):
    with meet(scheme=scheme) as link:
        data = bytes(range(256)) * 4096
        assert await link.remote.echo(data) == data


async def test_list_of_many_comes_back():
    with meet() as link:
        many = list(range(-50_000, 50_000))
        assert await link.remote.echo(many) == many


async def test_tuple_arrives_as_list():
    with meet() as link:
        assert await link.remote.echo((1, (2, ()))) == [1, [2, []]]


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Colour.RED, 1),
        (Text("text"), "text"),
        (Number(2**70), 2**70),
        (Number(7), 7),
        (type("Real", (float,), {})(1.5), 1.5),
        (type("Bytes", (bytes,), {})(b"b"), b"b"),
        (type("List", (list,), {})([1]), [1]),
        (type("Dict", (dict,), {})({"a": 1}), {"a": 1}),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view")[1:], b"iew"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_subclass_arrives_as_its_base(value, arrives):
    with meet() as link:
        back = await link.remote.echo(value)
        assert back == arrives
        assert type(back) is type(arrives)


async def test_symbol_keeps_its_kind():
    with meet() as link:
        back = await link.remote.echo([Symbol("red"), "red"])
        assert back == ["red", "red"]
        assert [type(each) for each in back] == [Symbol, str]


async def test_exception_arrives_as_remote_error():
    with meet() as link:
        back = await link.remote.echo([ValueError("a value")])
        assert type(back[0]) is marotte.RemoteError
        assert str(back[0]) == "ValueError: a value"


async def test_arguments_arrive_in_order():
    class Many(marotte.Referenceable):
        def remote_many(self, *args):
            return list(args)

    with meet(Many()) as link:
        assert await link.remote.many() == []
        assert await link.remote.many(1, [2], "3", None) == [1, [2], "3", None]


async def test_sixty_levels_come_back():
    deep = []
    for _ in range(59):
        deep = [deep]
    with meet() as link:
        assert await link.remote.echo(deep) == deep


class Loop(marotte.Referenceable):
    def remote_list(self):
        loop = []
        loop.append(loop)
        return loop

    def remote_set(self):
        return {"good": [0, {1}]}

    def remote_surrogate(self):
        return "\ud800"


UNPASSABLE = [
    ({1}, "args[0]: set is not passable"),
    (object(), "args[0]: object is not passable"),
    (1j, "args[0]: complex is not passable"),
    ([{"x": [0, 1, 2, {3}]}], 'args[0][0]["x"][3]: set is not passable'),
    ({1: 2}, "args[0]: dict with a key of type int is not passable"),
    ({"a": {None: 2}}, 'args[0]["a"]: dict with a key of type NoneType is not passable'),
    ({b"a": 2}, "args[0]: dict with a key of type bytes is not passable"),
    ("\ud800", "args[0]: str with a lone surrogate is not passable"),
    (["\udfff"], "args[0][0]: str with a lone surrogate is not passable"),
    ({"\ud800": 1}, "args[0]: dict with a key of type"),
    (Echo, "args[0]: type is not passable"),
    (print, "args[0]: builtin_function_or_method is not passable"),
]


@pytest.mark.parametrize(("value", "text"), UNPASSABLE, ids=[text for _, text in UNPASSABLE])
async def test_unpassable_argument_is_refused_at_the_call(value, text):
    with meet() as link:
        await link.remote
        before = link.client.stats()["messages_sent"]
        with pytest.raises(TypeError) as caught:
            link.remote.echo(value)
        assert str(caught.value).startswith(text.split("dict with a key of type")[0])
        if "key of type" not in text or "surrogate" in text:
            assert str(caught.value) == text
        assert link.client.stats()["messages_sent"] == before
        assert await link.remote.echo(1) == 1


async def test_list_that_contains_itself_is_refused():
    loop = []
    loop.append([loop])
    with meet() as link:
        await link.remote
        with pytest.raises(TypeError, match=r"^args\[1\](\[0\])+: .*within itself"):
            link.remote.echo(1, loop)


@pytest.mark.parametrize("digits", [599, 600, 601, 1200, 9000])
async def test_integer_of_more_digits_than_python_prints(digits):
    number = 10**digits + 10 ** (digits // 2) - 7
    with meet() as link:
        assert await link.remote.echo([number, -number, 10**digits]) == [
            number,
            -number,
            10**digits,
        ]


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("set", 'result["good"][1]: set is not passable'),
        ("surrogate", "result: str with a lone surrogate is not passable"),
    ],
)
async def test_unpassable_result_breaks_the_promise(method, text):
    with meet(Loop()) as link:
        error = await failure(getattr(link.remote, method)())
        assert isinstance(error, marotte.RemoteError)
        assert text in str(error)


async def test_result_that_contains_itself_breaks_the_promise():
    with meet(Loop()) as link:
        error = await failure(link.remote.list())
        assert "within itself" in str(error)
        assert "result[0][0]" in str(error)
