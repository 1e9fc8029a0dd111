"""What tubes cost, beside Twisted's Tubes: one table, in units per CPU-second.

    .venv/bin/python bench/python/flows.py [--rounds 5]

Ours and Tubes run in processes of their own, in turns. A ratio is that of one round; the median of the rounds is
shown. The Rust rows are those of target/release/tubes.
"""

import argparse
import importlib
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES = (b"x" * 78 + b"\r\n") * (65_536 // 80)


def modules(package):
    names = ("tube", "kit", "memory", "fan", "framing", "itube")
    return {name: importlib.import_module(f"{package}.{name}") for name in names}


class Count:
    """A drain that counts."""

    inputType = fount = None

    def __init__(self, kit):
        self.kit, self.n = kit, 0

    def flowingFrom(self, fount):
        self.kit.beginFlowingFrom(self, fount)

    def receive(self, item):
        self.n += 1

    def flowStopped(self, reason):
        pass


class CountMany(Count):
    def receiveBatch(self, items):
        self.n += len(items)


class Push:
    """A fount that is told what to send."""

    outputType = drain = None

    def __init__(self, kit):
        self.kit = kit
        self.pauser = kit.Pauser(lambda: None, lambda: None)

    def flowTo(self, drain):
        return self.kit.beginFlowingTo(self, drain)

    def pauseFlow(self):
        return self.pauser.pause()

    def stopFlow(self):
        pass


def generator(m):
    @m["tube"].receiver()
    def increment(item):
        yield item + 1

    return increment


def pushed(m, stages, drain=Count):
    fount, counter = Push(m["kit"]), drain(m["kit"])
    end = fount.flowTo(m["tube"].series(*stages))
    from zope.interface import directlyProvides

    directlyProvides(counter, m["itube"].IDrain)
    end.flowTo(counter)
    return fount, counter


def generators(m, count):
    fount, counter = pushed(m, [generator(m) for _ in range(5)])
    receive = fount.drain.receive
    for n in range(count):
        receive(n)
    assert counter.n == count
    return count


def source(m, count):
    counter = Count(m["kit"])
    tubes = m["tube"].series(*[generator(m) for _ in range(5)])
    m["memory"].iteratorFount(range(count)).flowTo(tubes).flowTo(counter)
    assert counter.n == count
    return count


def lines(m, count, drain=Count):
    fount, counter = pushed(m, [m["framing"].bytesToLines()], drain)
    chunks = count // (len(LINES) // 80)
    for _ in range(chunks):
        fount.drain.receive(LINES)
    assert counter.n == chunks * len(LINES) // 80
    return counter.n


def lines_at_once(m, count):
    return lines(m, count, CountMany)


def fan_out(m, count):
    out, fount = m["fan"].Out(), Push(m["kit"])
    fount.flowTo(out.drain)
    counters = [Count(m["kit"]) for _ in range(4)]
    for counter in counters:
        out.newFount().flowTo(counter)
    for n in range(count):
        fount.drain.receive(n)
    assert all(counter.n == count for counter in counters)
    return count


def native(m, count):
    f = m["framing"]
    stages = [f.bytesToLines(), f.intPrefixedToBytes(16), f.bytesToIntPrefixed(16)]
    stages += [f.bytesToNetstrings(), f.netstringsToBytes()]
    fount, counter = pushed(m, stages, CountMany)
    chunks = count // (len(LINES) // 80)
    for _ in range(chunks):
        fount.drain.receive(LINES)
    assert counter.n == chunks * len(LINES) // 80
    return counter.n


def batched(m, count):
    @m["tube"].tube
    class Increment:
        def receivedBatch(self, items):
            return [item + 1 for item in items]

    counter = CountMany(m["kit"])
    tubes = m["tube"].series(*[Increment() for _ in range(5)])
    m["memory"].iteratorFount(range(count)).flowTo(tubes).flowTo(counter)
    assert counter.n == count
    return count


CASES = {
    "5 generator tubes, pushed": (generators, 40_000),
    "5 generator tubes, iteratorFount": (source, 40_000),
    "80-byte lines": (lines, 80_000),
    "fan-out to 4": (fan_out, 40_000),
}
OURS = {
    "80-byte lines, to a drain that takes many": (lines_at_once, 800_000),
    "5 native stages (lines)": (native, 800_000),
    "5 tubes with receivedBatch": (batched, 800_000),
}


def measure(package):
    m = modules(package)
    cases = CASES if package == "tubes" else CASES | OURS
    rates = {}
    for name, (work, count) in cases.items():
        work(m, count // 10)
        began = time.process_time()
        done = work(m, count)
        rates[name] = done / (time.process_time() - began)
    print(json.dumps(rates))


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--package", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.package:
        return measure(options.package)
    rounds, rust = [], {}
    for _ in range(options.rounds):
        rounds.append(
            [
                json.loads(run(sys.executable, __file__, "--package", name))
                for name in ("marotte.tubes", "tubes")
            ]
        )
        for line in run(ROOT / "target/release/tubes").splitlines():
            row = json.loads(line)
            rust.setdefault(row["case"], []).append(row["rate"])
    print(f"{'items per CPU-second':48} {'ours':>12} {'Tubes':>12} {'ratio':>7}")
    for name in CASES | OURS:
        ours = [round_[0][name] for round_ in rounds]
        other = "5 generator tubes, pushed" if "5 " in name else "80-byte lines"
        theirs = [round_[1].get(name, round_[1][other]) for round_ in rounds]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        mine, its = statistics.median(ours), statistics.median(theirs)
        print(f"{name:48} {mine:12,.0f} {its:12,.0f} {ratio:7.1f}")
    for case, rates in rust.items():
        print(f"Rust: {case:42} {statistics.median(rates):14,.0f} per CPU-second")
    return None


if __name__ == "__main__":
    main()
