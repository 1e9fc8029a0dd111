"""What a client does under every event loop: generators that yield promises and get their values.

``host.py`` runs them; each takes the promise for a server's object, and the tub.
"""

import marotte


def values(remote, tub):
    for value in (None, True, 2**70, -0.5, "text Ω", b"\0\xff", [1, [2]], {"a": {"b": []}}):
        assert (yield remote.echo(value)) == value


def megabyte(remote, tub):
    assert len((yield remote.echo(b"x" * (1 << 20)))) == 1 << 20


def chain(remote, tub):
    yield remote
    before = tub.stats()["round_trips"]
    assert (yield remote.itself().itself().echo("end")) == "end"
    assert tub.stats()["round_trips"] == before + 1


def failing(remote, tub):
    try:
        yield remote.fail("reason").further()
    except marotte.RemoteError as error:
        assert str(error) == "ValueError: reason"
    else:
        raise AssertionError("it did not fail")


def callback(remote, tub):
    got = []

    def note(value):
        got.append(value)
        return len(got)

    assert (yield remote.call(note, "a")) == 1
    assert (yield remote.call(note, "b")) == 2
    assert got == ["a", "b"]


def object_both_ways(remote, tub):
    class Own(marotte.Referenceable):
        def remote_double(self, n):
            return 2 * n

    own = Own()
    assert (yield remote.echo(own)) is own
    assert (yield remote.echo(own).double(4)) == 8


def promise_argument(remote, tub):
    assert (yield remote.echo(remote.echo([7]))) == [7]


def then(remote, tub):
    assert (yield remote.echo(1)._then(lambda n: remote.echo(n + 1))) == 2
    assert (yield remote.fail("x")._except(lambda error: [str(error)])) == ["ValueError: x"]


def settled(remote, tub):
    promise = remote.echo("kept")
    assert (yield promise) == "kept"
    assert (yield promise) == "kept"


def waiting_method(remote, tub):
    assert (yield remote.later("slept")) == "slept"


def many(remote, tub):
    promises = [remote.echo(n) for n in range(500)]
    for n, promise in enumerate(promises):
        assert (yield promise) == n


def disconnected(remote, tub):
    try:
        yield tub.getReference("ocapn://a.tcp-testing-only/s/eA?host=127.0.0.1&port=1").method()
    except marotte.DisconnectedError as error:
        assert "refused" in str(error)
    else:
        raise AssertionError("it did not fail")


def unknown_host(remote, tub):
    try:
        yield tub.getReference("ocapn://a.tcp-testing-only/s/eA?host=nowhere.invalid&port=1")
    except marotte.DisconnectedError as error:
        assert "nowhere.invalid" in str(error)
    else:
        raise AssertionError("it did not fail")


def resolved_host(remote, tub):
    reference = tub.getReference(tub.uri.replace("127.0.0.1", "localhost"))
    assert (yield reference.echo(1)) == 1


ALL = [
    values,
    megabyte,
    chain,
    failing,
    callback,
    object_both_ways,
    promise_argument,
    then,
    settled,
    waiting_method,
    many,
    disconnected,
    unknown_host,
    resolved_host,
]
