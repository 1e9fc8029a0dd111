"""Serves the build-status page and keeps running: `make serve`.

usage: serve.py [--reports DIR] [--server python|rust] [--host HOST] [--port PORT] [--delay MS]
"""

import argparse
import signal
import sys
import time
from contextlib import ExitStack

import processes
from processes import Program, Trouble
from web import PageServer


def start(stack, options, reports):
    """Starts the server, a slow line to it for the comparison, and the page's web server."""
    command = processes.server_command(options.server)
    command += ["--reports", reports, "--ws", f"{options.host}:0"]
    server = Program(f"{options.server} server", command)
    stack.callback(server.stop)
    uri = server.ready["ws"]
    command = [processes.rust_program(), "delay-proxy", f"{options.host}:0"]
    proxy = Program("delay proxy", command + [processes.address_of(uri), options.delay])
    stack.callback(proxy.stop)
    config = {
        "server": options.server,
        "status": uri,
        "distant": processes.by_way_of(uri, proxy.ready["listen"]),
        "delay": options.delay,
    }
    try:
        page = PageServer(options.host, options.port, config)
    except OSError as error:
        why = f"cannot listen on {options.host}:{options.port} ({error.strerror})"
        raise Trouble(f"{why}: choose another with --port") from None
    stack.callback(page.close)
    return page, (server, proxy)


def serve(options):
    processes.check_built()
    reports = processes.choose_reports(options.reports)
    with ExitStack() as stack:
        page, programs = start(stack, options, reports)
        print(f"Build status of the reports in {reports}")
        print(f"  {page.url}")
        print("Drop a JUnit XML file into the folder, and it appears. Ctrl-C ends.", flush=True)
        while True:
            for program in programs:
                if program.ended():
                    raise Trouble(f"the {program.name} has ended; what it says stands above")
            time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description="Serves the build-status page.")
    parser.add_argument("--reports", metavar="DIR", help="folder of JUnit XML reports")
    parser.add_argument("--server", choices=("python", "rust"), default="python")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="of the page; 0: any free one")
    parser.add_argument("--delay", type=int, default=20, metavar="MS", help="of the slow line")
    options = parser.parse_args()
    # Ended by whoever started it: everything is stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve(options)
    except KeyboardInterrupt:
        print()
    except Trouble as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
