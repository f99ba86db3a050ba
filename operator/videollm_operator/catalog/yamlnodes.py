"""YAML with line numbers: a document as plain data, and the line of every place in it.

`yaml.safe_load` forgets where things stood, takes the last of two equal keys without a word, and
follows aliases into documents that never end. Neither an admin's catalogue nor an object that is
planned in a pipeline may suffer any of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Location = tuple[int | str, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster

_TAG = "tag:yaml.org,2002:"
_PLAIN_SCALARS = tuple(_TAG + name for name in ("null", "bool", "int", "float", "str"))
_PLAIN_COLLECTIONS = (f"{_TAG}seq", f"{_TAG}map")

MOST_NODES = 500_000
"""Nodes of a document with its aliases followed; a catalogue of 1000 models has 60 000."""


class YAMLProblem(Exception):  # noqa: N818 - a finding in someone's file, not an error of ours
    """The text is not YAML that can be read.

    Attributes:
        line: where, counted from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Document:
    """A YAML document: its value, and where its parts stand.

    Attributes:
        value: plain data: dicts with string keys, lists, strings, numbers, booleans, None.
        repeated: keys that stand twice in one mapping, with the place of that mapping.
    """

    value: Any = None
    repeated: list[tuple[Location, str, int]] = field(default_factory=list)
    _lines: dict[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        """Line of a place, counted from 1; of the nearest known place above it otherwise."""
        while location and location not in self._lines:
            location = location[:-1]
        return self._lines.get(location, 1)


def read(text: str) -> Document:
    """Reads one document.

    Raises:
        YAMLProblem: for bad syntax, several documents, unknown tags, or endless aliases.
    """
    node = _composed(lambda: yaml.compose(text, Loader=_Loader))
    return _built(node)


def read_all(text: str) -> list[Document]:
    """Reads all documents of a text; empty ones have the value None.

    Raises:
        YAMLProblem: for bad syntax, unknown tags, or endless aliases.
    """
    nodes = _composed(lambda: list(yaml.compose_all(text, Loader=_Loader)))
    return [_built(node) for node in nodes]


def _composed(compose: Callable[[], T]) -> T:
    try:
        return compose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YAMLProblem(mark.line + 1 if mark else 1, _words(error)) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise YAMLProblem(1, "not YAML: " + " ".join(str(error).split())) from None
    except RecursionError:
        raise YAMLProblem(1, "nested too deeply to be read: remove levels") from None


def _built(node: Any) -> Document:
    document = Document()
    if node is not None:
        _Builder(document).build(node)
    return document


def _words(error: yaml.MarkedYAMLError) -> str:
    parts = (part for part in (error.context, error.problem) if part)
    return "not YAML: " + ", ".join(parts)


class _Builder:
    """Turns nodes into data, noting lines and repeated keys on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()
        self._count = 0
        self._constructor = yaml.constructor.SafeConstructor()

    def build(self, node: Any) -> None:
        self._document.value = self._value(node, ())

    def _value(self, node: Any, location: Location) -> Any:
        line = node.start_mark.line + 1
        self._document._lines.setdefault(location, line)
        self._count += 1
        if self._count > MOST_NODES or len(location) > 64:
            raise YAMLProblem(line, "too large or too deep: split it, or use fewer aliases")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise YAMLProblem(line, "an alias contains itself: write it out")
        self._check_tag(node, _PLAIN_COLLECTIONS)
        self._open.add(id(node))
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self._value(item, (*location, i)) for i, item in enumerate(node.value)]
        else:
            value = self._mapping(node, location)
        self._open.discard(id(node))
        return value

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        line = node.start_mark.line + 1
        if node.tag == f"{_TAG}timestamp":  # JSON has no dates: the text that was written
            return node.value
        self._check_tag(node, _PLAIN_SCALARS)
        try:
            return self._constructor.construct_object(node)
        except ValueError:  # a tag that the text belies: !!int abc
            text = f"'{node.value}' cannot be read as {node.tag}: put it in quotes"
            raise YAMLProblem(line, text) from None

    def _check_tag(self, node: Any, allowed: tuple[str, ...]) -> None:
        if node.tag not in allowed:
            text = f"the tag {node.tag} is not allowed: write it plainly"
            raise YAMLProblem(node.start_mark.line + 1, text)

    def _mapping(self, node: Any, location: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YAMLProblem(line, "a key must be a word, not a list or an object")
            key = str(key_node.value)
            if key == "<<":
                raise YAMLProblem(line, "merge keys (`<<`) are not supported: write the lines out")
            if key in result:
                self._document.repeated.append((location, key, line))
            place = (*location, key)
            self._document._lines[place] = line
            result[key] = self._value(value_node, place)
        return result
