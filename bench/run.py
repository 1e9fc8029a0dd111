"""Runs the benchmarks and prints a table: medians over rounds, ours beside the peers.

    .venv/bin/python bench/run.py [--rounds 3] [--seconds 1] [--rows a,b] [--works seq,win64]
                                  [--peers FOLDER] [--out results.jsonl]

Each row is a pair of processes, a server on CPU 1 and a client on CPU 0, over one loopback
connection. Rows take turns, in an order that changes from round to round, so that whatever else
the machine does hits all of them alike; compare rows of one run only. ``--peers`` names a folder of
peer benchmarks that speak the same arguments and JSON lines (see bench/README.md).

Then the table of bench/python/deferreds.py, unless rows or workloads were chosen.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORKS = ["seq", "win64", "burst1000", "echo64k", "echo64k_w8", "chain", "chainp", "idle"]
NO_PIPELINING = [work for work in WORKS if work != "chainp"]


class Row:
    """One peer: how to start it, what it can do, and what is set in its environment."""

    def __init__(self, command, works=WORKS, **env):
        self.command = [str(part) for part in command]
        self.works = works
        self.env = {**os.environ, **env}


def our_rows():
    rust = [ROOT / "target/release/marotte-bench"]
    python = [ROOT / ".venv/bin/python", ROOT / "bench/python/marotte_bench.py"]
    node = ["node", ROOT / "bench/node/marotte.mjs"]
    return {
        "marotte-rust": Row(rust),
        "marotte-rust-noise": Row(rust, NOISE="1"),
        "marotte-python": Row(python),
        "marotte-python-noise": Row(python, NOISE="1"),
        "marotte-python-plain": Row(python, HANDLERS="plain"),
        "marotte-python-uvloop": Row(python, LOOP="uvloop"),
        "marotte-python-blocking": Row(python, ["seq"], BLOCKING="1"),
        "marotte-node": Row(node),
    }


def peer_rows(folder):
    folder = pathlib.Path(folder).resolve()
    release, python = folder / "build/rs/release", folder / "build/venv/bin/python"
    rows = {
        "raw-tokio": Row([release / "braw"]),
        "tarpc": Row([release / "btarpc"], NO_PIPELINING),
        "py-asyncio-msgpack": Row([python, folder / "python/b_raw.py"], NO_PIPELINING),
        "py-uvloop-msgpack": Row(
            [python, folder / "python/b_raw.py"], NO_PIPELINING, LOOP="uvloop"
        ),
        "pycapnp": Row([python, folder / "python/b_pycapnp.py"]),
        "capnweb-ws": Row(["node", folder / "node/capnweb.mjs"]),
        "ws-echo": Row(["node", folder / "node/wsecho.mjs"], NO_PIPELINING),
    }
    return {name: row for name, row in rows.items() if os.path.exists(row.command[-1])}


def pinned(cpu, command):
    """The command, kept on one CPU if there are two."""
    if len(os.sched_getaffinity(0)) < 2:
        return command
    pin = (
        f"import os, sys; os.sched_setaffinity(0, {{{cpu}}}); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", pin, *command]


def run_one(name, row, works, seconds, out):
    server = subprocess.Popen(
        pinned(1, [*row.command, "server"]), stdout=subprocess.PIPE, text=True, env=row.env
    )
    try:
        ready = server.stdout.readline().split()
        if not ready or ready[0] != "READY":
            raise RuntimeError(f"{name}: the server did not start")
        for work in works:
            arguments = ["client", ready[1], str(server.pid), str(seconds), work]
            client = subprocess.run(
                pinned(0, [*row.command, *arguments]),
                check=False,
                capture_output=True,
                text=True,
                timeout=60 + 5 * seconds,
                env={**row.env, "PEER": name},
            )
            lines = [line for line in client.stdout.splitlines() if line.startswith("{")]
            if not lines:
                print(f"  {name} {work}: no result\n{client.stderr[-2000:]}", file=sys.stderr)
            for line in lines:
                result = {**json.loads(line), "peer": name}
                out.write(json.dumps(result) + "\n")
                yield result
    finally:
        server.kill()
        server.wait()


CELLS = {
    "seq": ("p50_us", "{:.1f} µs"),
    "win64": ("ops_s", "{:,.0f}/s"),
    "burst1000": ("ops_s", "{:,.0f}/s"),
    "echo64k": ("mb_s", "{:,.0f} MB/s"),
    "echo64k_w8": ("mb_s", "{:,.0f} MB/s"),
    "chain": ("p50_us", "{:.0f} µs"),
    "chainp": ("p50_us", "{:.0f} µs"),
    "idle": ("server_kb_per_conn", "{:.1f} KiB"),
}


def table(results, works):
    """A Markdown table: a row a peer, a column a workload, medians."""
    names = list(dict.fromkeys(result["peer"] for result in results))
    lines = ["| | " + " | ".join(works) + " |", "|---" * (len(works) + 1) + "|"]
    for name in names:
        cells = []
        for work in works:
            key, form = CELLS[work]
            values = [r[key] for r in results if (r["peer"], r["workload"]) == (name, work)]
            cells.append(form.format(statistics.median(values)) if values else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rows", help="only these, by commas")
    parser.add_argument("--works", help="only these, by commas")
    parser.add_argument("--peers", help="a folder of peer benchmarks")
    parser.add_argument("--out", default=str(ROOT / "bench/results/last.jsonl"))
    options = parser.parse_args()

    subprocess.run(["cargo", "build", "--release", "-p", "marotte-bench"], cwd=ROOT, check=True)
    rows = our_rows()
    if options.peers:
        rows.update(peer_rows(options.peers))
    if options.rows:
        wanted = options.rows.split(",")
        unknown = set(wanted) - set(rows)
        if unknown:
            parser.error(f"no row named {', '.join(unknown)}; there are {', '.join(rows)}")
        rows = {name: rows[name] for name in wanted}
    works = options.works.split(",") if options.works else WORKS

    pathlib.Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    results = []
    with open(options.out, "w") as out:
        for number in range(options.rounds):
            order = list(rows.items())
            random.shuffle(order)
            for name, row in order:
                print(f"round {number + 1}/{options.rounds}: {name}", file=sys.stderr, flush=True)
                mine = [work for work in works if work in row.works]
                # Memory is measured on a server that has done nothing else.
                for part in ([work for work in mine if work != "idle"], ["idle"]):
                    if part and set(part) <= set(mine):
                        results.extend(run_one(name, row, part, options.seconds, out))
                out.flush()
    results.sort(key=lambda result: list(rows).index(result["peer"]))
    print(table(results, works))
    if not (options.rows or options.works):
        print(flush=True)
        deferreds = [ROOT / ".venv/bin/python", ROOT / "bench/python/deferreds.py"]
        subprocess.run(pinned(0, deferreds), check=True)


if __name__ == "__main__":
    main()
