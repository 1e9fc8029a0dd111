"""What run.py says of the outcomes: on the terminal and as JUnit XML."""

import collections
import dataclasses
import re
import sys
from xml.etree import ElementTree

import plan

# XML 1.0 has no way to write these.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

COLUMNS = "{:<44} {:>6} {:>6} {:>7} {:>9} {:>9} {:>6}"


@dataclasses.dataclass
class Result:
    """What came of a module's tests with marotte.defer, and of those that failed without it."""

    module: str
    outcomes: dict
    genuine: dict
    broken: list
    seconds: float

    def verdict(self, test):
        """What the test's outcome counts as: passed, skipped, failed, white box or elsewhere."""
        outcome = self.outcomes[test]
        if not outcome.bad:
            return "white box passed" if _counts_apart(test, outcome) else outcome.kind
        if outcome.kind != "missing" and test in self.genuine and self.genuine[test].bad:
            return "elsewhere"
        return "white box" if _counts_apart(test, outcome) else "failed"

    def counts(self):
        return collections.Counter(map(self.verdict, self.outcomes))


def _counts_apart(test, outcome):
    # A crash, or a test that is not found any more, is nobody's private business.
    return outcome.kind in ("passed", "failed") and plan.white_box(test)


def header():
    titles = ("passed", "failed", "skipped", "white box", "elsewhere", "s")
    return COLUMNS.format("", *titles)


def row(name, counts, seconds):
    boxed = counts["white box passed"] + counts["white box"]
    return COLUMNS.format(
        name,
        counts["passed"],
        counts["failed"],
        counts["skipped"],
        f"{counts['white box passed']}/{boxed}" if boxed else "",
        counts["elsewhere"] or "",
        f"{seconds:.1f}",
    )


def details(results, verbose):
    """A paragraph for each kind of failure, with the ends of some fair tests' tracebacks."""
    lines, shown = (sys.maxsize, sys.maxsize) if verbose else (12, 20)
    for verdict, title in (
        ("elsewhere", "Fail with Twisted's own defer.py as well, here"),
        ("white box", "White-box tests that fail"),
        ("failed", "Failed"),
    ):
        found = [
            (test, outcome)
            for result in results
            for test, outcome in result.outcomes.items()
            if result.verdict(test) == verdict
        ]
        if found:
            yield f"\n{title}: {len(found)}"
        for missing, count in _missing(found):
            yield f"  missing: {count} tests of {missing}"
        for test, outcome in found:
            if outcome.kind == "missing":
                continue
            yield f"  {outcome.kind}: {test}"
            if verdict == "white box":
                yield f"    it {plan.white_box(test)}"
            elif verdict == "failed" and shown > 0:
                shown -= 1
                yield from ("    | " + line for line in outcome.detail.splitlines()[-lines:])
    problems = collections.defaultdict(list)
    for result in results:
        for problem in result.broken:
            problems[problem].append(result.module)
    for problem, modules in problems.items():
        yield f"\n{', '.join(modules)}: {problem}"


def _missing(found):
    # Whole classes of tests go missing together.
    return collections.Counter(
        test.rpartition(".")[0] for test, outcome in found if outcome.kind == "missing"
    ).items()


def write_junit(results, path):
    """Writes the outcomes as JUnit XML."""
    suites = ElementTree.Element("testsuites", name="twisted")
    for result in results:
        counts = result.counts()
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=result.module,
            tests=str(len(result.outcomes)),
            failures=str(counts["failed"]),
            skipped=str(counts["skipped"] + counts["white box"] + counts["elsewhere"]),
            errors=str(len(result.broken)),
            time=f"{result.seconds:.3f}",
        )
        for test, outcome in result.outcomes.items():
            _add_case(suite, test, outcome, result.verdict(test))
        for problem in result.broken:
            case = ElementTree.SubElement(suite, "testcase", name="it", classname=result.module)
            ElementTree.SubElement(case, "error", message="it did not end").text = _clean(problem)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _add_case(suite, test, outcome, verdict):
    classname, _, name = test.rpartition(".")
    seconds = f"{outcome.seconds:.3f}"
    case = ElementTree.SubElement(suite, "testcase", name=name, classname=classname, time=seconds)
    if verdict == "failed":
        ElementTree.SubElement(case, "failure", message=outcome.kind).text = _clean(outcome.detail)
    elif verdict == "white box":
        message = f"a white-box test that fails: it {plan.white_box(test)}"
        ElementTree.SubElement(case, "skipped", message=message).text = _clean(outcome.detail)
    elif verdict == "elsewhere":
        message = "it fails with Twisted's own defer.py as well"
        ElementTree.SubElement(case, "skipped", message=message).text = _clean(outcome.detail)
    elif verdict == "skipped":
        ElementTree.SubElement(case, "skipped", message=_clean(outcome.detail))


def _clean(text):
    return CONTROL.sub("", text)
