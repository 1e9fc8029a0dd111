"""Programs without an event loop."""

import time

import marotte
import pytest
from support import Echo


@pytest.fixture
def tub():
    with marotte.Tub() as tub:
        tub.listen("tcp://127.0.0.1:0")
        yield tub


@pytest.fixture
def echo(tub):
    return tub.getReference(tub.registerReference(Echo()))


def test_wait_gives_the_value(echo):
    assert echo.echo([1])._wait() == [1]


def test_wait_raises_the_failure(echo):
    with pytest.raises(ValueError, match="reason"):
        echo.fail("reason")._wait()


def test_wait_returns_as_soon_as_it_is_there(echo):
    begin = time.monotonic()
    echo.echo(1)._wait(timeout=30)
    assert time.monotonic() - begin < 5


def test_wait_that_takes_too_long_can_be_repeated(tub):
    settle = []

    class Late(marotte.Referenceable):
        def remote_late(self):
            return promise

    # It becomes what a second method gives, once that is called.
    uri = tub.registerReference(Late())
    promise = tub.getReference("ocapn://a.tcp-testing-only/s/eA?host=127.0.0.1&port=1")
    late = tub.getReference(uri).late()._except(lambda error: settle.append(error) or "late")
    with pytest.raises(TimeoutError):
        late._wait(timeout=0)
    assert late._wait(timeout=10) == "late"
    assert isinstance(settle[0], marotte.DisconnectedError)


def test_waiting_inside_of_a_method_is_refused(tub, echo):
    def wait():
        return echo.echo(1)._wait()

    waiter = tub.getReference(tub.registerReference(wait))
    with pytest.raises(RuntimeError, match="return its promise instead"):
        waiter()._wait(timeout=10)


def test_async_method_that_does_not_wait_works(tub):
    async def at_once():
        return "at once"

    assert tub.getReference(tub.registerReference(at_once))()._wait(timeout=10) == "at once"


def test_async_method_that_waits_is_refused(tub):
    class Awaitable:
        def __await__(self):
            yield

    async def waits():
        await Awaitable()

    with pytest.raises(RuntimeError, match="no event loop"):
        tub.getReference(tub.registerReference(waits))()._wait(timeout=10)


def test_await_without_a_loop_is_refused(echo):
    async def wait(promise):
        return await promise

    promise = echo.echo(1)
    with pytest.raises(RuntimeError, match="no event loop"):
        wait(promise).send(None)
    promise._wait(timeout=10)


def test_future_without_a_loop_can_be_looked_at(echo):
    future = echo.echo(3)._when()
    assert future.done() is False
    with pytest.raises(RuntimeError, match="not there yet"):
        future.result()
    echo.echo(None)._wait(timeout=10)
    assert future.done() is True
    assert future.result() == 3


def test_run_returns_after_its_time(tub):
    begin = time.monotonic()
    tub.run(seconds=0.05)
    assert 0.04 < time.monotonic() - begin < 5


def test_run_of_an_idle_tub_is_interrupted():
    import signal

    def interrupt(*_):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with marotte.Tub() as tub, pytest.raises(KeyboardInterrupt):
            tub.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
