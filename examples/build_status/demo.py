"""Three dependent calls from four clients, one at a time and pipelined: `make demo`.

usage: demo.py [--reports DIR] [--server python|rust] [--delay MS]

Starts the build-status server in Python and in Rust, each behind a proxy that delays every byte, and
asks both for the newest results: by the Rust, Python and Node clients and by the web page in headless
Chromium. Exits with 1 if any of them sees other results, or needs more than one round trip for the
pipelined calls.
"""

import argparse
import signal
import sys
from contextlib import ExitStack

import processes
from processes import HERE, Program, Trouble
from web import PageServer

MODES = ("one-at-a-time", "pipelined")
# What every client must agree on.
RESULTS = ("builder", "number", "passed", "failed", "skipped", "digest")


class Server:
    """One server, and the way to it that takes long."""

    def __init__(self, stack, language, reports, delay):
        self.language = language
        command = processes.server_command(language)
        server = Program(f"{language} server", command + ["--reports", reports])
        stack.callback(server.stop)
        self.near = server.ready
        self.distant = {}
        for transport in ("tcp", "ws"):
            uri = self.near[transport]
            command = [processes.rust_program(), "delay-proxy", "127.0.0.1:0"]
            proxy = Program("delay proxy", command + [processes.address_of(uri), delay])
            stack.callback(proxy.stop)
            self.distant[transport] = processes.by_way_of(uri, proxy.ready["listen"])


def client_commands(server, builder):
    """How each client is run, without the way it is to make the calls."""
    chosen = ["--builder", builder]
    tcp, websocket = server.distant["tcp"], server.distant["ws"]
    return {
        "Rust": [processes.rust_program(), "client", tcp, *chosen],
        "Python": [sys.executable, HERE / "client.py", tcp, *chosen],
        "Node": ["node", HERE / "client.mjs", websocket, *chosen],
    }


def choose_builder(server):
    """The first builder: what a client takes if it is told none."""
    command = [processes.rust_program(), "client", server.near["tcp"]]
    (answer,) = processes.run("Rust client", command)
    return answer["builder"]


def ask(server, builder, delay):
    """All clients' answers: by client, by mode."""
    answers = {}
    for client, command in client_commands(server, builder).items():
        say(f"{client} client, {server.language.title()} server")
        for mode in MODES:
            (answer,) = processes.run(f"{client} client", [*command, f"--{mode}"])
            answers.setdefault(client, {})[mode] = answer
    say(f"web page in headless Chromium, {server.language.title()} server")
    config = {
        "server": server.language,
        "status": server.near["ws"],
        "distant": server.distant["ws"],
        "delay": delay,
    }
    page = PageServer("127.0.0.1", 0, config)
    try:
        command = ["node", HERE / "browser.mjs", page.url, builder]
        lines = processes.run("web page", command)
    finally:
        page.close()
    answers["Web page"] = {answer["mode"]: answer for answer in lines}
    return answers


def complaints(answers, expected, server):
    """What is wrong with the answers from a server, in words."""
    for client, by_mode in answers.items():
        for mode, answer in by_mode.items():
            for field in RESULTS:
                if answer[field] != expected[field]:
                    yield (
                        f"{client}, {mode}, {server.language} server: "
                        f"{field} is {answer[field]!r}, not {expected[field]!r}"
                    )
        trips = by_mode["pipelined"]["round_trips"]
        if trips != 1:
            yield f"{client}, {server.language} server: the pipelined calls took {trips} round trips"


def table(answers):
    """One row a client."""
    head = "            one at a time            pipelined\n"
    head += "client      round trips       ms     round trips       ms    times faster\n"
    lines = [head + "─" * 70]
    for client, by_mode in answers.items():
        slow, fast = (by_mode[mode] for mode in MODES)
        lines.append(
            f"{client:<10}  {slow['round_trips']:>11}  {slow['ms']:>7.1f}     "
            f"{fast['round_trips']:>11}  {fast['ms']:>7.1f}    {slow['ms'] / fast['ms']:>12.1f}"
        )
    return "\n".join(lines)


def say(text):
    print(f"==> {text}", flush=True)


def demonstrate(options):
    processes.check_built()
    processes.find_chromium()
    reports = processes.choose_reports(options.reports)
    say(f"starting the servers on the reports in {reports}")
    languages = sorted(("python", "rust"), key=lambda language: language != options.server)
    with ExitStack() as stack:
        servers = [Server(stack, language, reports, options.delay) for language in languages]
        builder = choose_builder(servers[0])
        all_answers = [ask(server, builder, options.delay) for server in servers]
    expected = all_answers[0]["Rust"]["pipelined"]
    for server, answers in zip(servers, all_answers):
        print(f"\n{server.language.title()} server, {options.delay} ms away each way:\n")
        print(table(answers))
    found = [
        complaint
        for server, answers in zip(servers, all_answers)
        for complaint in complaints(answers, expected, server)
    ]
    if found:
        raise Trouble("\n       ".join(found))
    print(
        f"\nAll agree: build {expected['number']} of {expected['builder']}, "
        f"{expected['passed']} passed, {expected['failed']} failed, "
        f"{expected['skipped']} skipped.\nThe same page to look at: make serve"
    )


def main():
    parser = argparse.ArgumentParser(description="Three dependent calls from four clients.")
    parser.add_argument("--reports", metavar="DIR", help="folder of JUnit XML reports")
    parser.add_argument(
        "--server", choices=("python", "rust"), default="python", help="asked first"
    )
    parser.add_argument("--delay", type=int, default=20, metavar="MS", help="of the line, each way")
    options = parser.parse_args()
    # Ended by whoever started it: everything is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        demonstrate(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except Trouble as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
