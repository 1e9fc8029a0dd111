"""Turn the output of `cargo test` into JUnit XML, for machines without cargo-nextest.

usage: cargo_junit.py OUTPUT.txt REPORT.xml
"""

import re
import sys
from xml.etree import ElementTree

PROGRAM = re.compile(r"^ *Running .*\((?:.*/)?(?P<name>\S+)-[0-9a-f]{16}(?:\.exe)?\)$")
TEST = re.compile(r"^test (?P<name>\S+)(?: - .*)? \.\.\. (?P<result>ok|FAILED|ignored)")
# What a failed test printed stands in a section of its own, after all the tests.
OUTPUT = re.compile(r"^---- (?P<name>\S+)(?: - .*)? stdout ----$")
SUMMARY = re.compile(r"^test result: .* finished in (?P<seconds>[\d.]+)s$")
# XML 1.0 has no way to write these.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def convert(lines):
    suites = ElementTree.Element("testsuites", name="cargo test")
    program, cases, failure = "cargo test", [], None
    for line in lines:
        line = CONTROL.sub("", line.rstrip("\n"))
        if running := PROGRAM.match(line):
            program = running["name"]
        elif test := TEST.match(line):
            case = ElementTree.Element("testcase", name=test["name"], classname=program)
            if test["result"] != "ok":
                tag = "failure" if test["result"] == "FAILED" else "skipped"
                ElementTree.SubElement(case, tag).text = ""
            cases.append(case)
        elif output := OUTPUT.match(line):
            named = (case for case in cases if case.get("name") == output["name"])
            failure = next((case.find("failure") for case in named), None)
        elif line in ("failures:", "successes:"):
            failure = None
        elif (summary := SUMMARY.match(line)) and cases:
            suite = ElementTree.SubElement(
                suites,
                "testsuite",
                name=program,
                tests=str(len(cases)),
                failures=str(sum(case.find("failure") is not None for case in cases)),
                skipped=str(sum(case.find("skipped") is not None for case in cases)),
                errors="0",
                time=summary["seconds"],
            )
            suite.extend(cases)
            cases, failure = [], None
        elif failure is not None:
            failure.text += line + "\n"
    return suites


if __name__ == "__main__":
    source, report = sys.argv[1:]
    with open(source, encoding="utf-8", errors="replace") as lines:
        ElementTree.ElementTree(convert(lines)).write(report, encoding="utf-8", xml_declaration=True)
