"""The lines of `measurements.csv`, and which of them belong to one start of an engine.

Columns: where the number was published, engine and version, model, number format, tensor- and
pipeline-parallel size, GPU, utilization, context length, what was measured, its value and unit.
Nothing of the file was changed to fit a prediction.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parent / "measurements.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One published number, as it stands in the file."""

    line: int
    """Line of the file; the heading is line 1."""
    source: str
    engine: str
    version: str
    model: str
    dtype_or_quant: str
    tp: str
    pp: str
    gpu: str
    gpu_mem_utilization: str
    max_model_len: str
    reported_quantity: str
    value: str
    unit: str

    @property
    def run(self) -> tuple[str, ...]:
        """What the rows of one start have in common."""
        return (
            self.source,
            self.engine,
            self.version,
            self.model,
            self.dtype_or_quant,
            self.tp,
            self.pp,
            self.gpu,
            self.gpu_mem_utilization,
            self.max_model_len,
        )


def read(path: Path = DATA) -> tuple[Row, ...]:
    """All rows of a file, in its order."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return tuple(Row(line=reader.line_num, **fields) for fields in reader)
