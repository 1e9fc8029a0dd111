"""The three dependent calls in Python, one at a time or pipelined, measured.

usage: client.py URI [--pipelined | --one-at-a-time] [--builder NAME] [--build NUMBER]

Prints one line of JSON.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time

import marotte
from junit import to_micros


async def ask(uri, mode, name, number):
    tub = marotte.Tub()
    try:
        # Connecting is not measured: that is why the reference is waited for.
        status = await tub.getReference(uri)
        if name is None:
            builders = await status.getBuilders()
            if not builders:
                raise SystemExit("error: there are no builders yet: the folder of reports is empty")
            name = builders[0]["name"]
        trips_before = tub.stats()["round_trips"]
        began = time.perf_counter()
        if mode == "one-at-a-time":
            builder = await status.getBuilder(name)
            build = await builder.getBuild(number)
            results = await build.getResults()
        else:
            results = await status.getBuilder(name).getBuild(number).getResults()
        seconds = time.perf_counter() - began
        return {
            "client": "python",
            "mode": mode,
            "round_trips": tub.stats()["round_trips"] - trips_before,
            "ms": round(seconds * 1e3, 3),
            "builder": results["name"],
            "number": results["number"],
            "passed": results["passed"],
            "failed": results["failed"],
            "skipped": results["skipped"],
            "digest": digest(results),
        }
    finally:
        tub.close()


def digest(results):
    """A digest that every language computes alike: of the fields in order, each ended by a unit
    separator, times in whole microseconds."""
    fields = [results[field] for field in ("name", "number", "passed", "failed", "skipped")]
    fields += [to_micros(results["seconds"]), results["finished"]]
    for test in results["tests"]:
        fields += [test["name"], test["classname"], to_micros(test["seconds"])]
        fields += [test["outcome"], test["message"]]
    return hashlib.sha256("".join(f"{field}\x1f" for field in fields).encode()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description="Three dependent calls, measured.")
    parser.add_argument("uri", metavar="URI", help="what the server printed")
    mode = parser.add_mutually_exclusive_group()
    for name in ("pipelined", "one-at-a-time"):
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name)
    parser.set_defaults(mode="pipelined")
    parser.add_argument("--builder", metavar="NAME", help="the first one if not given")
    parser.add_argument("--build", metavar="NUMBER", type=int, default=-1, help="-1: the newest")
    options = parser.parse_args()
    try:
        answer = asyncio.run(ask(options.uri, options.mode, options.builder, options.build))
    except (marotte.RemoteError, marotte.DisconnectedError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
