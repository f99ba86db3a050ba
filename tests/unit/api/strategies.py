"""Objects near the border between right and wrong, made from the schema itself."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.cluster.crd_cases import GOOD, MINIMAL, named
from videollm_operator.api import crd

if TYPE_CHECKING:
    from collections.abc import Iterator

Node = dict[str, Any]
Path = tuple[str | int, ...]

SCHEMA = crd.openapi()
EVERYTHING = "every field, weights on a volume claim"
"""Name of the good case that sets every field."""

BASES = [MINIMAL, named(GOOD, EVERYTHING).obj]
GONE = object()

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer()),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just({"name": "a"}),
)
words = st.sampled_from(
    [
        *(
            "",
            "a",
            "A",
            "a-b",
            "-a",
            "a.b",
            "a..b",
            "a b",
            "a/b",
            "/a/../b",
            "/a",
            "é",
            "0",
            "1.5",
            "8",
        ),
        *("500m", "0m", "0Gi", "64Gi", "1.5Ti", "Auto", "None", "0.32.0", "v1", "{{ x }}", "a\n"),
        *("videollm.io/x", "app.kubernetes.io/name", "example.com/team", "a" * 63, "a" * 64),
    ]
)


def places(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """Every place in the schema."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from places(child, (*path, name))
    if "items" in node:
        yield from places(node["items"], (*path, 0))
    if isinstance(node.get("additionalProperties"), dict):
        yield from places(node["additionalProperties"], (*path, "key"))


Place = tuple[Path, Node]
ALL: list[Place] = list(places(SCHEMA["properties"]["spec"], ("spec",)))
PLACES = ALL[1:]
"""Every place within the spec."""

INNER = [(path, node) for path, node in PLACES if "properties" in node]
LEAVES = [(path, node) for path, node in PLACES if "properties" not in node]


def values(node: Node) -> st.SearchStrategy[Any]:
    """Values for one place: of the right type, at its bounds."""
    choices: list[st.SearchStrategy[Any]] = []
    if "enum" in node:
        choices.append(st.sampled_from([*node["enum"] * 4, node["enum"][0].lower()]))
    elif node.get("type") == "integer":
        low, high = node["minimum"], node["maximum"]
        choices.append(st.sampled_from([low, low + 1, (low + high) // 2, high - 1, high] * 3))
        choices.append(st.sampled_from([low - 1, low, high, high + 1]))
    elif node.get("type") == "boolean":
        choices.append(st.booleans())
    elif node.get("type") == "array":
        choices.append(st.lists(values(node["items"]), max_size=3))
        if node["items"].get("type") == "string":
            many = node["maxItems"]
            choices.append(st.sampled_from([[f"a{i}" for i in range(many + j)] for j in (0, 1)]))
    elif isinstance(node.get("additionalProperties"), dict):
        choices.append(st.dictionaries(words, values(node["additionalProperties"]), max_size=3))
        many = node["maxProperties"]
        choices.append(st.sampled_from([{f"a{i}": "b" for i in range(many + j)} for j in (0, 1)]))
    elif "properties" in node:
        fields = {name: values(child) for name, child in node["properties"].items()}
        required = set(node.get("required", []))
        choices.append(
            st.fixed_dictionaries(
                {name: each for name, each in fields.items() if name in required},
                optional={name: each for name, each in fields.items() if name not in required},
            )
        )
    elif node.get("type") == "object":
        choices.append(st.just({"anything": {"goes": [1, "here", None]}}))
    else:
        choices.append(words)
        choices.append(
            st.sampled_from([0, 1, 59, 60, 86400, 86401]) if "type" not in node else words
        )
        if "maxLength" in node:
            choices.append(
                st.sampled_from([c * (node["maxLength"] + i) for i in (0, 1) for c in "aé"])
            )
    return st.one_of(*choices)


def edited(obj: Node, path: Path, value: Any) -> Node:
    """`obj` with another value at `path`; what is missing on the way is made."""
    result: Node = copy.deepcopy(obj)
    here: Any = result
    for step, following in itertools.pairwise(path):
        fresh: Any = [] if isinstance(following, int) else {}
        if isinstance(here, list):
            if not here:
                here.append(fresh)
            if not isinstance(here[0], type(fresh)):
                here[0] = fresh
            here = here[0]
        else:
            if not isinstance(here.get(step), type(fresh)):
                here[step] = fresh
            here = here[step]
    last = path[-1]
    if isinstance(here, list):
        here[:] = [] if value is GONE else [value, *here[1:]]
    elif value is GONE:
        here.pop(last, None)
    else:
        here[last] = value
    return result


@st.composite
def objects(draw: st.DrawFn) -> Node:
    """A good object with a few edits, most of them of single fields."""

    def one_in(number: int) -> bool:
        return draw(st.integers(0, 2**31)) % number == 0

    def any_of(places: list[Place]) -> Place:
        return places[draw(st.integers(0, 2**31)) % len(places)]

    obj: Node = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        path, node = any_of(INNER if one_in(12) else LEAVES)
        if one_in(12):
            obj = edited(obj, path, GONE)
        elif one_in(12) and isinstance(path[-1], str):
            obj = edited(obj, (*path[:-1], f"{path[-1]}s"), draw(anything))
        else:
            obj = edited(obj, path, draw(anything if one_in(12) else values(node)))
    return obj
