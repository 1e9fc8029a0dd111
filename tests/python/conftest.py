"""Tests may be ``async def``: each runs on an asyncio loop of its own."""

import asyncio
import gc
import inspect
import logging

# It comes before Twisted's own: whichever does decides whose exceptions both have.
import marotte.defer  # noqa: F401 - see above
import pytest

# Longer than any test should take, shorter than pytest's own patience, so that the loop can tell.
PATIENCE = 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(asyncio.wait_for(test(**arguments), PATIENCE))
    return True


@pytest.fixture(params=["tcp", "ws"])
def scheme(request):
    return request.param


class Log(logging.Handler):
    """What the library has logged."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def texts(self):
        return [record.getMessage() for record in self.records]


@pytest.fixture
def log():
    handler = Log()
    logger = logging.getLogger("marotte")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def nothing_is_logged_unawares(request):
    """What the library logs is a failure of the test, unless the test looks at the log."""
    if "log" in request.fixturenames:
        yield
        return
    handler = Log()
    logger = logging.getLogger("marotte")
    logger.addHandler(handler)
    yield
    # A promise that broke unseen is reported when it is collected.
    gc.collect()
    logger.removeHandler(handler)
    assert handler.texts() == [], handler.records[0].exc_info
