"""The defects of Tubes 0.2.1 are gone, and each of these tests would have found them."""

import logging

import pytest
import tubes_kit
from tubes_defects import DEFECTS
from twisted.python import log

OURS = tubes_kit.load("marotte.tubes")


@pytest.fixture(autouse=True)
def quiet():
    """What tubes raise is logged: here it is meant to be raised."""
    logging.disable(logging.CRITICAL)
    observers = list(log.theLogPublisher.observers)
    for observer in observers:
        log.theLogPublisher.removeObserver(observer)
    yield
    for observer in observers:
        log.theLogPublisher.addObserver(observer)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_it_is_gone(defect):
    defect(OURS)


@pytest.mark.filterwarnings("ignore")  # Tubes leaves a coroutine that nobody waits for
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_it_was_there(defect):
    tubes = tubes_kit.load("tubes")
    with pytest.raises(BaseException):  # noqa: B017 - whatever shows it
        defect(tubes)
