"""JUnit XML, as nextest, pytest, Node and many others write it, to a list of tests.

rust/src/junit.rs follows the same rules, so that both servers say the same of the same report.
"""

import math
import re
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree

# Longest message kept of one test, in characters: enough for a failure's end of a traceback.
MESSAGE_LIMIT = 4000

SUITES = ("testsuites", "testsuite")
OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# datetime.fromisoformat of Python 3.9 takes neither "Z" nor one to six digits of a fraction.
ISO_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:([Zz])|([+-]\d\d):?(\d\d))?",
    re.ASCII,
)
NUMBER = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Malformed(Exception):
    """A report that cannot be read; the text says why."""


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type before it is read: reports have none, and entities could make a
    small file huge."""

    def doctype(self, name, pubid, system):
        raise Malformed("it has a DTD, which no JUnit report needs")


def parse(data):
    """Reads a report: ``(tests, seconds, finished)``, where ``finished`` is in microseconds since
    1970, or None if the report does not say when it began. Raises :class:`Malformed`."""
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_WithoutDoctype()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Malformed(str(error)) from None
    if _local(root) not in SUITES:
        raise Malformed(f"it is not a JUnit report: the root is <{_local(root)}>")
    cases = [element for element in root.iter() if _local(element) == "testcase"]
    tests = [_test(case) for case in cases]
    micros = _duration(root, cases)
    suites = (element for element in root.iter() if _local(element) in SUITES)
    began = (_instant(suite.get("timestamp", "")) for suite in suites)
    began = next((instant for instant in began if instant is not None), None)
    return tests, micros / 1e6, None if began is None else began + micros


def iso(micros):
    """The time as ``2026-01-31T12:00:00Z``."""
    try:
        return (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return "1970-01-01T00:00:00Z"


def to_micros(seconds):
    """Rounds as JavaScript's ``Math.round`` does."""
    return math.floor(seconds * 1e6 + 0.5)


def _local(element):
    """The name without its namespace."""
    return element.tag.rpartition("}")[2]


def _test(case):
    outcome, message = "passed", ""
    for child in case:
        found = OUTCOMES.get(_local(child))
        # A failure in the test outweighs whatever its set-up or tear-down added.
        if found and (outcome == "passed" or (outcome, found) == ("skipped", "failed")):
            outcome, message = found, _explanation(child)
    return {
        "name": case.get("name", ""),
        "classname": case.get("classname", ""),
        "seconds": (_time(case) or 0) / 1e6,
        "outcome": outcome,
        "message": message,
    }


def _explanation(element):
    """The ``message`` attribute and the text, once each, shortened."""
    short, text = element.get("message", "").strip(), "".join(element.itertext()).strip()
    if not text:
        whole = short
    elif short in text:
        whole = text
    else:
        whole = f"{short}\n\n{text}"
    if len(whole) <= MESSAGE_LIMIT:
        return whole
    return f"{whole[:MESSAGE_LIMIT]}\n… ({len(whole) - MESSAGE_LIMIT} more characters)"


def _duration(root, cases):
    """The root's own time; else that of the parts it names; else that of all tests."""
    own = _time(root)
    if own is not None:
        return own
    return sum(_time(part) or 0 for part in root) or sum(_time(case) or 0 for case in cases)


def _time(element):
    """The attribute ``time``, if it is a sensible number of seconds, in microseconds: those add up
    alike in every language."""
    text = element.get("time", "").strip()
    if not NUMBER.fullmatch(text):
        return None
    seconds = float(text)
    return to_micros(seconds) if seconds < 1e9 else None


def _instant(text):
    """A time in ISO 8601, in microseconds since 1970; without a zone it is taken as UTC."""
    match = ISO_TIME.fullmatch(text.strip())
    if not match:
        return None
    *fields, fraction, _utc, hours, minutes = match.groups()
    try:
        instant = datetime(*map(int, fields), tzinfo=timezone.utc)
    except ValueError:
        return None
    offset = 0
    if hours:
        offset = int(hours) * 3600 + int(hours[0] + minutes) * 60
    seconds = (instant - EPOCH) // timedelta(seconds=1) - offset
    return seconds * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])
