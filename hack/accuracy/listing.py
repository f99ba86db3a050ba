"""The long tables of docs/accuracy.md, and docs/accuracy.csv: every row."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from typing import TYPE_CHECKING

from hack.accuracy import schema
from hack.accuracy.schema import Term
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hack.accuracy.compare import Comparison, Result
    from hack.accuracy.table import Row

VERDICTS = {
    Verdict.FITS: "fits",
    Verdict.TIGHT: "tight",
    Verdict.DOES_NOT_FIT: "does not fit",
}


def text(paragraph: str) -> list[str]:
    """A paragraph, or an item of a list, in lines; the words of a link stay together."""
    indent = "  " if paragraph.startswith("- ") else ""
    kept = re.sub(r"\[[^]]+\]", lambda words: words[0].replace(" ", "\0"), paragraph)
    lines = textwrap.wrap(
        kept, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(heading)} |"
    yield f"|{' --- |' * len(heading)}"
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def gpus(row: Row) -> str:
    """How many GPUs of which kind a run had."""
    if not row.tp.isdigit():
        return row.gpu
    count = "" if row.tp == "1" else f"{row.tp} x "
    stages = "" if row.pp == "1" else f" PP{row.pp}"
    return f"{count}{row.gpu}{stages}"


def comparisons(result: Result) -> Iterator[str]:
    """Every comparison, by term."""
    yield "## Every comparison"
    yield ""
    yield "Line of the file, and what the prediction is for; in the unit of the row."
    for term in Term:
        found = result.of(term)
        if not found:
            continue
        yield ""
        yield f"### {term[0].upper()}{term[1:]}"
        yield ""
        yield from table(
            ("line", "model", "format", "GPUs", "version", "predicted", "measured", "error"),
            (_row(one) for one in found),
        )


def _row(one: Comparison) -> tuple[str, ...]:
    row = one.row
    digits = 0 if row.unit in {"tokens", "blocks"} else 2
    return (
        str(row.line),
        row.model,
        row.dtype_or_quant,
        gpus(row),
        row.version,
        f"{one.predicted:.{digits}f}",
        f"{one.measured:.{digits}f} {row.unit}",
        f"{one.error_gib:+.2f} GiB, {one.error_percent:+.1f} %",
    )


def unusable(result: Result) -> Iterator[str]:
    """Rows that lack a column."""
    yield "## Rows that cannot be compared"
    yield ""
    yield "And the columns that they lack for it."
    yield ""
    yield from table(
        ("line", "model", "engine", "quantity", "missing"),
        (
            (
                str(one.row.line),
                one.row.model,
                f"{one.row.engine} {one.row.version}".strip(),
                one.row.reported_quantity,
                "; ".join(schema.MISSING[name] for name in one.missing),
            )
            for one in result.unusable
        ),
    )


def sources(result: Result) -> Iterator[str]:
    """Where the rows were published."""
    yield "## Sources"
    yield ""
    counts: dict[str, int] = {}
    for one in result.judged:
        counts[one.row.source] = counts.get(one.row.source, 0) + 1
    yield "Sources that begin with `file:` are public files whose repository is not known."
    yield ""
    yield from table(
        ("source", "rows"), ((_linked(source), str(rows)) for source, rows in counts.items())
    )


def _linked(source: str) -> str:
    """The source with a link where its name is an address on GitHub."""
    number = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", source)
    if number:
        return f"[{source}](https://github.com/{number[1]}/issues/{number[2]})"
    path = re.fullmatch(r"([\w.-]+/[\w.-]+):([\w./-]+)", source)
    if path:
        return f"[{source}](https://github.com/{path[1]}/blob/main/{path[2]})"
    return source


CSV_HEADING = (
    "line",
    "source",
    "engine",
    "version",
    "model",
    "dtype_or_quant",
    "tp",
    "pp",
    "gpu",
    "gpu_mem_utilization",
    "max_model_len",
    "reported_quantity",
    "term",
    "predicted",
    "measured",
    "unit",
    "error_gib",
    "error_percent",
    "missing",
)


def as_csv(result: Result) -> str:
    """Every row of the table: with each of its comparisons, its verdict, or what it lacks."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEADING)
    verdicts = {one.row.run: one for one in result.verdicts}
    for judged in result.judged:
        row = judged.row
        start = (row.line, *row.run, row.reported_quantity)
        found = [one for one in result.comparisons if one.row is row]
        for one in found:
            numbers = (f"{one.predicted:.4f}", row.value, row.unit)
            errors = (f"{one.error_gib:.4f}", f"{one.error_percent:.2f}")
            writer.writerow((*start, one.term, *numbers, *errors, ""))
        if judged.usable and not found:
            verdict = verdicts[row.run]
            said = (VERDICTS[verdict.predicted], "ran" if verdict.ran else "failed")
            writer.writerow((*start, judged.term, *said, row.unit, "", "", ""))
        if not judged.usable:
            lacks = "; ".join(schema.MISSING[name] for name in judged.missing)
            writer.writerow((*start, judged.term or "", "", row.value, row.unit, "", "", lacks))
    return file.getvalue()
