"""The examples of the guides in docs run, and print what stands below them."""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "docs" / name for name in ("deferreds.md", "promises.md", "tubes.md", "tubs.md")]
README = ROOT / "README.md"
RUST = ROOT / "tests" / "rust" / "tests" / "guide.rs"
PACKAGE = ROOT / "wasm" / "dist" / "node.js"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"# \w+\.py\n")


class Example:
    """A block, and what it prints by the block of text that follows it."""

    def __init__(self, language, code, line):
        self.language, self.code, self.line = language, code, line
        self.output = ""

    @property
    def is_program(self):
        return PROGRAM.match(self.code) is not None


def sections(guide):
    """The examples below each heading of the second level, by that."""
    text = guide.read_text()
    title, found = guide.stem, {}
    at = 0
    for block in BLOCK.finditer(text):
        for heading in re.findall(r"^## (.*)$", text[at : block.start()], re.MULTILINE):
            title = heading.replace("`", "")
        at = block.end()
        language, code = block.groups()
        examples = found.setdefault(title, [])
        if language == "text":
            examples[-1].output = code
        else:
            line = text.count("\n", 0, block.start()) + 1
            examples.append(Example(language, code, line))
    return found


def runs():
    """What runs in one process: a program, or the other examples of a section, in their order."""
    for guide in GUIDES:
        for title, examples in sections(guide).items():
            python = [example for example in examples if example.language == "python"]
            together = [example for example in python if not example.is_program]
            if together:
                yield pytest.param(guide, together, id=title)
            for program in python:
                if program.is_program:
                    name = program.code.splitlines()[0].strip("# ")
                    yield pytest.param(guide, [program], id=name)


def in_language(guide, language):
    found = sections(guide).values()
    return [example for those in found for example in those if example.language == language]


def script(examples):
    """One program, whose lines are where they are in the guide."""
    lines = []
    for example in examples:
        lines += [""] * (example.line - len(lines))
        # The line of the closing fence.
        lines += [*example.code.splitlines(), r"print('\0', end='')"]
    return "\n".join(lines)


@pytest.mark.parametrize(("guide", "examples"), list(runs()))
def test_python(guide, examples, tmp_path):
    code = script(examples)
    if "twisted.internet" in code and importlib.util.find_spec("twisted") is None:
        pytest.skip("needs Twisted")
    file = tmp_path / guide.name
    # What ends the process would leave out the mark.
    file.write_text(code if len(examples) > 1 else code.rpartition("\n")[0])
    command = [sys.executable, "-W", "error", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    printed = done.stdout.split("\0")
    expected = [example.output for example in examples]
    assert printed == (expected if len(examples) == 1 else [*expected, ""])


@pytest.mark.skipif(not PACKAGE.exists(), reason="needs the npm package")
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_javascript(guide, tmp_path):
    (example,) = in_language(guide, "js")
    file = tmp_path / "guide.mjs"
    file.write_text(example.code.replace('from "marotte"', f'from "{PACKAGE.as_uri()}"'))
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        ["node", file], check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.stderr, done.returncode, done.stdout) == ("", 0, example.output)


def test_the_example_of_the_readme():
    text = README.read_text()
    (code,) = [block[1] for block in BLOCK.findall(text) if "from marotte.defer" in block[1]]
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    (said,) = re.findall("# prints: (.*)", code)
    assert (done.stderr, done.returncode, done.stdout) == ("", 0, said + "\n")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_rust_example_is_tested(guide):
    (example,) = in_language(guide, "rust")
    tested = [line.strip() for line in RUST.read_text().splitlines()]
    code = [line.strip() for line in example.code.splitlines()]
    assert "\n".join(code) in "\n".join(tested)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_example_is_found(guide):
    text = guide.read_text()
    fences = len(re.findall(r"^```", text, re.MULTILINE))
    assert fences == 2 * len(BLOCK.findall(text))
    known = {"python", "text", "rust", "js"}
    assert {language for language, _ in BLOCK.findall(text)} == known


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_links_lead_somewhere(guide):
    text = guide.read_text()
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, part = target.partition("#")
        there = text if not path else (guide.parent / path).resolve()
        if path:
            assert there.exists(), target
        if part and not path:
            assert part in headings, target
        elif part:
            others = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert part in map(anchor, others), target


def anchor(heading):
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
