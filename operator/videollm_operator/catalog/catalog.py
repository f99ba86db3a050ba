"""The catalogue as one frozen value: what models, GPUs and engine versions are known.

Built by `catalog.loader`; everything above only looks things up in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from videollm_operator.catalog import flags
from videollm_operator.catalog.slices import slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1.engine import EngineType
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry, ModelEntry
    from videollm_operator.catalog.prices import Prices


@dataclass(frozen=True, slots=True)
class CatalogProblem:
    """Why an entry of an admin's catalogue is not served, and where it stands."""

    source: str
    """File or ConfigMap key that the text came from."""
    line: int
    """Line in it, counted from 1."""
    message: str
    """One sentence: what was found, what was wanted, what to do."""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Catalog:
    """Models by hub id, GPUs by SKU, engine versions, and what could not be read."""

    models: Mapping[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))
    gpus: Mapping[str, GPUEntry] = field(default_factory=lambda: MappingProxyType({}))
    engines: tuple[EngineEntry, ...] = ()
    problems: tuple[CatalogProblem, ...] = ()
    prices: Prices | None = None
    """An admin's prices; they change no plan, so they are no part of the fingerprint."""

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any served entry does: what a recorded plan compares itself with."""
        entries = (*self.models.values(), *self.gpus.values(), *self.engines)
        text = "".join(entry.model_dump_json(by_alias=True) for entry in entries)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def model(self, name: str) -> ModelEntry | None:
        """The model with this hub id, or None."""
        return self.models.get(name)

    @cached_property
    def slices(self) -> Mapping[str, GPUEntry]:
        """MIG slices by SKU, made from the profiles of `gpus`."""
        made = {each.sku: each for gpu in self.gpus.values() for each in slices(gpu)}
        return MappingProxyType({k: each for k, each in made.items() if k not in self.gpus})

    @property
    def all_gpus(self) -> tuple[GPUEntry, ...]:
        """Whole GPUs, then their slices."""
        return (*self.gpus.values(), *self.slices.values())

    def gpu(self, sku: str) -> GPUEntry | None:
        """The GPU or MIG slice with this SKU, or None."""
        return self.gpus.get(sku) or self.slices.get(sku)

    def engine(self, type: EngineType, version: str = "") -> EngineEntry | None:  # noqa: A002 - the engine's own word
        """This version of an engine; without a version its default, or None if there is none.

        The default is the entry that says so, and the newest where none does.
        """
        known = [entry for entry in self.engines if entry.type == type]
        if version:
            return next((entry for entry in known if entry.version == version), None)
        return max(known, key=lambda entry: (entry.default, entry.version_key), default=None)

    def flags(self, entry: EngineEntry) -> flags.FlagTable:
        """The arguments that this engine version takes.

        Raises:
            KeyError: if the package holds no such table; the loader refuses such entries.
        """
        return flags.load(entry.flags)
