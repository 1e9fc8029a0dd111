"""What has been built so far, in memory: builders, their builds, their results."""

import itertools
import json
from collections import deque

import junit

# Builds kept of a builder; older ones are forgotten, the numbers go on.
KEPT = 100


class NotThere(LookupError):
    """What was asked for does not exist; the text says what does."""


class History:
    """All builders. A build is the dictionary that ``getResults`` answers."""

    def __init__(self):
        self._builders = {}

    def add(self, found):
        """Adds a report as its builder's newest build."""
        builds = self._builders.setdefault(found.builder, deque(maxlen=KEPT))
        outcomes = [test["outcome"] for test in found.tests]
        build = {
            "name": found.builder,
            "number": builds[-1]["number"] + 1 if builds else 1,
            "passed": outcomes.count("passed"),
            "failed": outcomes.count("failed"),
            "skipped": outcomes.count("skipped"),
            "seconds": found.seconds,
            "finished": junit.iso(found.finished),
            "tests": found.tests,
        }
        builds.append(build)
        return build

    def builders(self):
        """Names with their builds, oldest build first, by name."""
        return sorted(self._builders.items())

    def builds(self, name):
        """The builds of a builder, oldest first."""
        try:
            return self._builders[name]
        except (KeyError, TypeError):
            known = ", ".join(map(_quoted, sorted(self._builders))) or "none yet"
            raise NotThere(f"there is no builder {_quoted(name)}; there are: {known}") from None

    def build(self, name, number):
        """The build of that number; -1 is the newest, -2 the one before."""
        builds = self.builds(name)
        if type(number) is not int:
            raise NotThere("a build's number must be an integer")
        oldest, newest = builds[0]["number"], builds[-1]["number"]
        index = len(builds) + number if number < 0 else number - oldest
        if not 0 <= index < len(builds):
            raise NotThere(
                f"there is no build {number}; there are {oldest} to {newest}, and -1 is the newest"
            )
        return builds[index]


def summary(build):
    """A build in short: all but its tests."""
    return dict(itertools.islice(build.items(), 7))


def _quoted(name):
    return json.dumps(name, ensure_ascii=False, default=repr)
