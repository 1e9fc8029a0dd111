"""What a line of a log says."""

from __future__ import annotations

import dataclasses
import datetime
import re

# 127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /x HTTP/1.0" 200 2326 …
ACCESS = re.compile(
    r'\S+ \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>\S+) ?(?P<what>\S*)[^"]*" (?P<status>\d{3}) '
)
# 2025-06-24 14:36:25 install bash:amd64 <none> 5.2
DPKG = re.compile(r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<action>\S+) ?(?P<what>.*)")


@dataclasses.dataclass
class Entry:
    """One line: of a web server's access log, of dpkg.log, or one that is neither."""

    number: int
    time: datetime.datetime | None
    kind: str
    text: str


def parse(number: int, line: str) -> Entry:
    """Reads a line. One that it does not understand is of the kind ``"other"``."""
    found = ACCESS.match(line)
    if found:
        try:
            time = datetime.datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z")
        except ValueError:
            time = None
        return Entry(
            number, time, f"status {found['status']}", f"{found['method']} {found['what']}"
        )
    found = DPKG.match(line)
    if found:
        try:
            time = datetime.datetime.fromisoformat(found["time"])
        except ValueError:
            time = None
        return Entry(number, time, found["action"], found["what"])
    return Entry(number, None, "other", line)
