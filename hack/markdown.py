"""Reads the project's Markdown: the fenced blocks with their marks, the headings, the links.

A mark is an HTML comment on the line before a fence, and tells the tests what to do with it:

- `test: cluster`: commands that tests/cluster/test_docs.py runs on a real control plane;
- `test: exit 3`: the exit code of a command, where it is not 0;
- `test: none: REASON`: it is not run, and why;
- `test: file NAME`: the text of a file that later commands of the page use;
- `test: refused REASON`: an object that is refused; the next `text` block is the message;
- `test: fragment`: a part of an object;
- `test: output`: what the block of Python before it prints;
- `test: demo`: lines of what `make demo` prints;
- `test: seen REASON`: an example of what a condition says; tests/docs provokes it.

Several marks are divided by a semicolon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_MARK = re.compile(r"<!--\s*test:\s*(.*?)\s*-->")
_FENCE = re.compile(r"( *)```(\w*)\s*")
_HEADING = re.compile(r"(#{1,6}) (.+?)\s*")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what is shown of its output."""

    command: str
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    path: Path
    line: int
    """Of the opening fence, counted from 1."""
    language: str
    lines: tuple[str, ...]
    marks: tuple[str, ...]

    @property
    def where(self) -> str:
        """For messages, such as `README.md:12`."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def text(self) -> str:
        """The content with its last newline."""
        return "".join(f"{line}\n" for line in self.lines)

    def mark(self, name: str) -> str | None:
        """What follows a mark's name; empty if nothing does, None if there is no such mark."""
        for mark in self.marks:
            head, _, rest = mark.partition(" ")
            if head.rstrip(":") == name:
                return rest.strip()
        return None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The commands: `$ ` lines of a console block with their output, all lines of a script."""
        if self.language in ("sh", "bash"):
            return tuple(Step(command, ()) for command in _joined(self.lines))
        steps: list[tuple[list[str], list[str]]] = []
        for line in self.lines:
            if line.startswith("$ "):
                steps.append(([line[2:]], []))
            elif steps and not steps[-1][1] and steps[-1][0][-1].endswith("\\"):
                steps[-1][0].append(line)
            elif steps:
                steps[-1][1].append(line)
        return tuple(Step("\n".join(command), tuple(output)) for command, output in steps)


def own_pages() -> list[Path]:
    """The pages whose commands and examples are run: README.md, docs/ and what stands beside."""
    top = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    return [*(ROOT / name for name in top), *sorted((ROOT / "docs").rglob("*.md"))]


def pages() -> list[Path]:
    """All Markdown of the project that users read."""
    return [*own_pages(), ROOT / "manifests" / "README.md", ROOT / "devcluster" / "README.md"]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return blocks_of(path, path.read_text(encoding="utf-8"))


def blocks_of(path: Path, text: str) -> list[Block]:
    """The fenced blocks of a page with this text, in order."""
    found: list[Block] = []
    marks: tuple[str, ...] = ()
    opened: tuple[int, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if opened is not None:
            if fence and not fence[2]:
                found.append(Block(path, opened[0], opened[2], tuple(inside), marks))
                opened, inside, marks = None, [], ()
            else:
                inside.append(line.removeprefix(opened[1]))
        elif fence:
            opened = (number, fence[1], fence[2])
        elif mark := _MARK.fullmatch(line.strip()):
            marks = tuple(part.strip() for part in mark[1].split(";"))
        elif line.strip():
            marks = ()
    return found


def headings(path: Path) -> list[str]:
    """The headings of a page, without their marks."""
    return [heading[2] for line in _prose(path) if (heading := _HEADING.fullmatch(line))]


def anchors(path: Path) -> set[str]:
    """The anchors that its headings get on GitHub."""
    return {anchor(heading) for heading in headings(path)}


def anchor(heading: str) -> str:
    """The anchor of a heading: lower case, no punctuation, dashes for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(path: Path) -> list[str]:
    """The targets of a page's links; what stands in code is none."""
    return [link for line in _prose(path) for link in _LINK.findall(_CODE.sub("", line))]


def section(path: Path, heading: str) -> str:
    """The text under a heading, up to the next one of any level.

    Raises:
        KeyError: if there is no such heading.
    """
    text, taken = [], False
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        inside ^= bool(_FENCE.fullmatch(line))
        found = None if inside else _HEADING.fullmatch(line)
        if found:
            if taken:
                break
            taken = found[2] == heading
        elif taken:
            text.append(line)
    if not taken:
        raise KeyError(heading)
    return "\n".join(text)


def _prose(path: Path) -> list[str]:
    """The lines outside fenced blocks."""
    lines, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if _FENCE.fullmatch(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return lines


def _joined(lines: tuple[str, ...]) -> list[str]:
    """Shell lines as commands: continued lines and here-documents stay together."""
    commands: list[str] = []
    waiting_for = ""
    for line in lines:
        if waiting_for:
            commands[-1] += f"\n{line}"
            waiting_for = "" if line == waiting_for else waiting_for
        elif commands and commands[-1].endswith("\\"):
            commands[-1] += f"\n{line}"
        elif line.strip() and not line.startswith("#"):
            commands.append(line)
        here = re.search(r"<<-?\s*'?(\w+)'?", line)
        if here and not waiting_for:
            waiting_for = here[1]
    return commands
