"""Run Twisted's own tests, as they are installed, on marotte.defer instead of Twisted's defer.py.

Every module's tests run in an interpreter of their own, in which marotte.twisted.install() is
called first; so the reactor and trial itself run on marotte.defer too. Counted apart are tests of
how Twisted's module is made (tests/twisted/plan.py says why, for each), and tests which fail in the
same way with Twisted's own module, tried afterwards. A test that is there with Twisted's own module
and not with ours has failed: it is "missing".

The exit status is 0 if no other test failed, 1 if one did, 2 if the tests could not be run.
"""

import argparse
import collections
import concurrent.futures
import os
import signal
import sys
import time
from importlib import metadata

import plan
import process
import report

MODES = {
    "install": "marotte.defer in the place of Twisted's own module",
    "patch": "Twisted on its own module, and the tests on marotte.defer",
    "genuine": "Twisted as it is",
}


def parse(arguments):
    summary, _, explanation = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary,
        epilog=explanation,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--preset", choices=plan.PRESETS, default="core", help="which tests (default: core)")
    add("--tests", metavar="A,B", help="these modules or packages instead")
    add(
        "--mode",
        choices=MODES,
        default="install",
        help="; ".join(f"{mode}: {text}" for mode, text in MODES.items()),
    )
    add("--junit", metavar="FILE", help="write the outcomes as JUnit XML")
    add("--jobs", type=int, default=os.cpu_count(), help="interpreters at a time (default: CPUs)")
    add("--timeout", type=float, default=30, help="seconds that a test may take (default: 30)")
    add("--verbose", "-v", action="store_true", help="show whole tracebacks")
    return parser.parse_args(arguments)


def run_one(options, module, expected):
    """Runs a module's tests; if some fail, then again with Twisted's own defer.py."""
    run = process.run_module(module, options.mode, options.timeout)
    broken = [run.broken] if run.broken else []
    broken += run.leaks
    if not run.broken:
        for test in expected:
            run.outcomes.setdefault(test, process.Outcome("missing"))
    genuine = {}
    if options.mode != "genuine" and any(outcome.bad for outcome in run.outcomes.values()):
        # All of them: by itself a test may fail for another reason.
        genuine = process.run_module(module, "genuine", options.timeout).outcomes
    return report.Result(module, run.outcomes, genuine, broken, run.seconds)


def run_all(options, modules):
    """The results of all modules, each as soon as it is there."""
    listed = process.list_tests(modules, options.timeout)
    if listed.broken:
        raise SystemExit(f"the tests cannot be listed: {listed.broken}")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # The longest first, so that none is left to run alone.
        order = sorted(modules, key=lambda module: -len(listed.tests[module]))
        runs = [pool.submit(run_one, options, m, listed.tests[m]) for m in order]
        try:
            for run in concurrent.futures.as_completed(runs):
                yield run.result()
        except BaseException:
            for run in runs:
                run.cancel()
            process.stop()
            raise


def main(arguments=None):
    options = parse(arguments)
    modules = options.tests.split(",") if options.tests else plan.PRESETS[options.preset]()
    # Python's default would leave the other processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    version = sys.version.split()[0]
    print(f"{MODES[options.mode]}; Twisted {metadata.version('twisted')}, Python {version}")
    print(report.header(), flush=True)
    results = []
    for result in run_all(options, modules):
        results.append(result)
        problems = "  !" if result.broken else ""
        line = report.row(result.module, result.counts(), result.seconds)
        print(line + problems, flush=True)
    results.sort(key=lambda result: modules.index(result.module))
    totals = sum((result.counts() for result in results), collections.Counter())
    print(report.row("all", totals, time.monotonic() - began))
    for line in report.details(results, options.verbose):
        print(line)
    if options.junit:
        report.write_junit(results, options.junit)
    if any(result.broken for result in results):
        return 2
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
