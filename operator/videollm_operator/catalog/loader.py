"""Reads the built-in catalogue, and an admin's additions, entry by entry.

One bad entry must not take the others along: it becomes a `CatalogProblem` with its line, and the
rest is served. The built-in data goes through the same checks; a problem there is a bug, and a
test holds that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from videollm_operator.api import sentences
from videollm_operator.catalog import flags, yamlnodes
from videollm_operator.catalog.catalog import Catalog, CatalogProblem
from videollm_operator.catalog.entries import EngineEntry, GPUEntry, ModelEntry
from videollm_operator.catalog.prices import Prices
from videollm_operator.catalog.shapes import contradictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.api.base import APIModel
    from videollm_operator.catalog.yamlnodes import Document, Location

E = TypeVar("E", bound="APIModel")

_DATA = files("videollm_operator.catalog") / "data"

BUILTIN_FILES = ("models.yaml", "gpus.yaml", "engines.yaml")

LONGEST_TEXT = 4 * 1024 * 1024
"""Characters of an admin's catalogue; a ConfigMap holds 1 MiB."""


@cache
def builtin() -> Catalog:
    """The catalogue of this release."""
    catalog = Catalog()
    for name in BUILTIN_FILES:
        text = (_DATA / name).read_text(encoding="utf-8")
        catalog = _extended(catalog, text, _Reading(name, check_flags=False))
    return catalog


def extended(base: Catalog, text: str, source: str) -> Catalog:
    """`base` with an admin's YAML: lists of `models`, `gpus` and `engines`, and `prices`.

    An entry of a known name replaces it; an engine entry with `default: true` takes the default
    over. What cannot be read is told in `problems` of the result, after those of `base`.

    Args:
        base: the catalogue to extend.
        text: YAML.
        source: file or ConfigMap key that the text came from, for the problems.
    """
    return _extended(base, text, _Reading(source))


def _extended(base: Catalog, text: str, reading: _Reading) -> Catalog:
    document = reading.document(text)
    models = reading.entries(document, "models", ModelEntry, lambda entry: entry.name)
    gpus = reading.entries(document, "gpus", GPUEntry, lambda entry: entry.sku)
    engines = reading.entries(
        document, "engines", EngineEntry, lambda entry: f"{entry.type} {entry.version}"
    )
    known = Catalog(gpus=MappingProxyType({**base.gpus, **gpus}))
    prices = reading.prices(document, known)
    return Catalog(
        models=MappingProxyType({**base.models, **models}),
        gpus=known.gpus,
        engines=_engines(base.engines, tuple(engines.values())),
        prices=prices or base.prices,
        problems=(*base.problems, *sorted(reading.problems, key=lambda problem: problem.line)),
    )


def _engines(old: tuple[EngineEntry, ...], new: tuple[EngineEntry, ...]) -> tuple[EngineEntry, ...]:
    """Both, without the old ones that were replaced, and with one default for each engine."""
    replaced = {(entry.type, entry.version) for entry in new}
    taken_over = {entry.type for entry in new if entry.default}
    kept = [entry for entry in old if (entry.type, entry.version) not in replaced]
    kept = [
        entry.model_copy(update={"default": False}) if entry.type in taken_over else entry
        for entry in kept
    ]
    return (*kept, *new)


_SECTIONS = ("models", "gpus", "engines", "prices")


@dataclass(slots=True)
class _Reading:
    """One text being read, and what was found wrong with it so far."""

    source: str
    check_flags: bool = True
    """Whether an engine's flag table must exist; for the built-in data a test holds that."""
    problems: list[CatalogProblem] = field(default_factory=list)

    def report(self, line: int, message: str) -> None:
        self.problems.append(CatalogProblem(self.source, line, message))

    def document(self, text: str) -> Document:
        """The document, with an object at its top; an empty one if it cannot be read."""
        empty = yamlnodes.Document(value={})
        if len(text) > LONGEST_TEXT:
            self.report(1, f"has {len(text)} characters, but may have {LONGEST_TEXT}: split it")
            return empty
        try:
            document = yamlnodes.read(text)
        except yamlnodes.YAMLProblem as problem:
            self.report(problem.line, str(problem))
            return empty
        if document.value is None:
            return empty
        if not isinstance(document.value, dict):
            found = sentences.shown(document.value)
            wanted = sentences.choice(_SECTIONS, "`")
            self.report(1, f"the top is {found}, but must be an object with {wanted}")
            return empty
        for key in document.value:
            if key not in _SECTIONS:
                meant = sentences.nearest(key, _SECTIONS)
                remedy = f"did you mean `{meant}`?" if meant else "remove it"
                wanted = sentences.choice(_SECTIONS, "`")
                self.report(
                    document.line((key,)),
                    f"`{key}` is not a part of a catalogue, which has {wanted}: {remedy}",
                )
        for location, key, line in document.repeated:
            if not location:
                self.report(line, f"`{key}` stands twice: put all entries under one of them")
        return document

    def entries(
        self, document: Document, section: str, model: type[E], name_of: Callable[[E], str]
    ) -> dict[str, E]:
        """The good entries of one section, by name."""
        listed = document.value.get(section)
        if listed is None:
            return {}
        if not isinstance(listed, list):
            self.report(
                document.line((section,)),
                f"`{section}` is {sentences.shown(listed)}, but must be a list: begin each entry "
                "with '- '",
            )
            return {}
        good: dict[str, E] = {}
        lines: dict[str, int] = {}
        for index, raw in enumerate(listed):
            location: Location = (section, index)
            entry = self._entry(document, location, raw, model)
            if entry is None:
                continue
            name, line = name_of(entry), document.line(location)
            if name in good:
                self.report(
                    line,
                    f"'{name}' stands in `{section}` already, on line {lines[name]}; that one is "
                    "served: remove one of them",
                )
                continue
            good[name], lines[name] = entry, line
        return good

    def prices(self, document: Document, known: Catalog) -> Prices | None:
        """The prices for GPUs that are known; None if there are none, or they cannot be used."""
        raw = document.value.get("prices")
        if raw is None:
            return None
        before = len(self.problems)
        for place, key, line in document.repeated:
            if place[:1] == ("prices",):
                self.report(line, f"`prices`: `{key}` stands twice: remove one of them")
        prices = self._read(document, ("prices",), raw, Prices, "`prices`")
        if prices is None or len(self.problems) > before:
            return None
        for sku in prices.per_gpu_hour:
            if known.gpu(sku) is None:
                meant = sentences.nearest(sku, [gpu.sku for gpu in known.all_gpus])
                remedy = f"did you mean '{meant}'?" if meant else "`videollm gpus` lists the names"
                self.report(
                    document.line(("prices", "perGPUHour", sku)),
                    f"`prices`: '{sku}' is no GPU of the catalogue: {remedy}",
                )
        priced = {sku: price for sku, price in prices.per_gpu_hour.items() if known.gpu(sku)}
        return prices.model_copy(update={"per_gpu_hour": priced}) if priced else None

    def _entry(self, document: Document, location: Location, raw: Any, model: type[E]) -> E | None:
        """One entry, or None with its problems reported."""
        before = len(self.problems)
        label = _label(raw, location)
        for place, key, line in document.repeated:
            if place[: len(location)] == location:
                self.report(line, f"{label}: `{key}` stands twice: remove one of them")
        entry = self._read(document, location, raw, model, label)
        if entry is None:
            return None
        for place, message in _beyond_the_schema(entry, check_flags=self.check_flags):
            self.report(document.line((*location, *place)), f"{label}: {message}")
        return entry if len(self.problems) == before else None

    def _read(
        self, document: Document, location: Location, raw: Any, model: type[E], label: str
    ) -> E | None:
        """What stands at a place, or None with the problems reported, each with its line."""
        try:
            return model.read(raw)
        except ValidationError as invalid:
            schema = _schema(model)
            for error in invalid.errors(include_url=False):
                place = error["loc"]
                for problem in sentences.problems(error, schema):
                    below = problem.field.removeprefix(sentences.path(place)).strip(".")
                    line = document.line((*location, *place, *below.split(".")))
                    self.report(line, f"{label}: {problem.message}")
            return None


def _beyond_the_schema(entry: APIModel, *, check_flags: bool) -> list[tuple[Location, str]]:
    """What no schema can say: shapes that contradict each other, a flag table that is missing."""
    if isinstance(entry, ModelEntry):
        return [
            (("architecture", *path.split(".")), message.replace("`", "`architecture.", 1))
            for path, message in contradictions(entry.architecture)
        ]
    if check_flags and isinstance(entry, EngineEntry) and entry.flags not in flags.available():
        known = sorted(flags.available())
        meant = sentences.nearest(entry.flags, known)
        remedy = f"did you mean '{meant}'?" if meant else "use the table of the nearest version"
        wanted = sentences.choice(known) if known else "none"
        return [
            (
                ("flags",),
                f"`flags` is '{entry.flags}', but this release has {wanted}: {remedy}",
            )
        ]
    return []


def _label(raw: Any, location: Location) -> str:
    """What to call an entry in a sentence: its name if it has one, else its place."""
    section, index = location
    if isinstance(raw, dict):
        for key in ("name", "sku"):
            if isinstance(raw.get(key), str):
                return sentences.shown(raw[key])
        if isinstance(raw.get("version"), str):
            return sentences.shown(f"{raw.get('type', 'engine')} {raw['version']}")
    return f"{section}[{index}]"


@cache
def _schema(model: type[APIModel]) -> dict[str, Any]:
    """JSON schema of an entry without references and without null, as `api.sentences` reads it."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(each) for each in node]
        if not isinstance(node, dict):
            return node
        beside = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
        if "$ref" in node:
            return inlined({**definitions[node["$ref"].rpartition("/")[2]], **beside})
        if "anyOf" in node:
            (inner,) = [each for each in node["anyOf"] if each != {"type": "null"}]
            return inlined({**inner, **beside})
        return {key: inlined(value) for key, value in node.items()}

    result: dict[str, Any] = inlined(schema)
    return result
