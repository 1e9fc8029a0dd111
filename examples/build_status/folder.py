"""Watching a folder of reports by looking at it every moment: works on every system and every file
system, and a few hundred ``stat``s cost next to nothing.

rust/src/folder.rs follows the same rules.
"""

import hashlib
import os
import re
import stat
import time

import junit

# A report that cannot be read may still be being written: it counts as malformed when it has stayed
# as it is for this many seconds.
SETTLED = 2
# Longest report read, in bytes.
MAX_BYTES = 16 << 20
# Four digits at least: rust-0001.xml is a build of rust, python-311.xml is python-311.
NUMBERED = re.compile(r"(?s)(.+?)(?:-\d{4,})+", re.ASCII)


class Found:
    """A new report."""

    def __init__(self, path, builder, tests, seconds, finished):
        self.path = path
        self.builder = builder
        self.tests = tests
        self.seconds = seconds
        # In microseconds since 1970.
        self.finished = finished


class _Seen:
    # Time and size when it was last read; None if it is to be read again.
    stamp = None
    # What it held when it was last a build: the same again is none.
    content = None
    # Since when it cannot be read as it is, how it is, and why.
    unreadable = None


class Folder:
    """The folder, and what has been seen of it."""

    def __init__(self, root):
        self._root = str(root)
        self._files = {}

    def look(self):
        """The reports that are new since the last look, oldest first."""
        present = dict(_list(self._root))
        self._files = {path: self._files.get(path) or _Seen() for path in present}
        found = (self._read_if_new(path, status) for path, status in present.items())
        return sorted(filter(None, found), key=lambda one: (one.finished, os.fsencode(one.path)))

    def problems(self):
        """The reports that cannot be read, as ``{"file": …, "reason": …}``."""
        problems = []
        for path, seen in self._files.items():
            if seen.unreadable and time.monotonic() - seen.unreadable[0] >= SETTLED:
                file = readable(os.path.relpath(path, self._root))
                problems.append({"file": file, "reason": seen.unreadable[2]})
        return sorted(problems, key=lambda problem: (problem["file"], problem["reason"]))

    def _read_if_new(self, path, status):
        seen = self._files[path]
        stamp = (status.st_mtime_ns, status.st_size)
        if seen.stamp == stamp:
            return None
        try:
            data = _read(path, status.st_size)
            tests, seconds, finished = junit.parse(data)
        except (OSError, junit.Malformed) as error:
            since = time.monotonic()
            if seen.unreadable and seen.unreadable[1] == stamp:
                since = seen.unreadable[0]
            # Once it has settled, it is read again only when it changes.
            seen.stamp = stamp if time.monotonic() - since >= SETTLED else None
            seen.unreadable = (since, stamp, readable(str(error)))
            return None
        seen.stamp, seen.unreadable = stamp, None
        content = hashlib.sha256(data).digest()
        if content == seen.content:
            return None
        seen.content = content
        if finished is None:
            finished = status.st_mtime_ns // 1000
        return Found(path, builder_of(self._root, path), tests, seconds, finished)


def _list(root):
    """The reports in the folder and in the folders right below it. What cannot be listed is empty."""
    folders = [root]
    for folder in folders:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode) and folder is root:
                folders.append(entry.path)
            # A pipe or a device, which could block, is no report.
            elif stat.S_ISREG(status.st_mode) and entry.name.lower().endswith(".xml"):
                yield entry.path, status


def _read(path, size):
    if size > MAX_BYTES:
        raise junit.Malformed(f"it is larger than {MAX_BYTES >> 20} MiB")
    with open(path, "rb") as file:
        return file.read()


def builder_of(root, path):
    """The builder that a report belongs to: ``rust`` for ``rust.xml``, ``rust-0001.xml`` and
    ``rust/any.xml``."""
    folder, file = os.path.split(path)
    if os.path.normpath(folder) != os.path.normpath(root):
        return readable(os.path.basename(folder))
    stem = os.path.splitext(file)[0]
    numbered = NUMBERED.fullmatch(stem)
    return readable(numbered[1] if numbered else stem)


def readable(name):
    """A file name as text that can be sent: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")
