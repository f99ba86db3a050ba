"""Compare plans with published measurements: `python -m hack.accuracy`.

Writes docs/accuracy.md, docs/accuracy.csv, hack/accuracy/figures.json and the summary that the
report page shows. Fails without writing if a rule does not hold, or if a figure is worse than the
committed one and `--accept-worse` is not given. With `--check` nothing is written, and files that
are out of date fail too.
"""

from __future__ import annotations

import argparse
import sys

from hack.accuracy import outputs, scores


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hack.accuracy", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, report differences")
    parser.add_argument("--accept-worse", action="store_true", help="write worse figures too")
    options = parser.parse_args()
    result = outputs.result()
    problems = scores.broken(result) if options.accept_worse else scores.problems(result)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    current = True
    for path, text in outputs.files(result).items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        current = False
        shown = path.relative_to(outputs.ROOT)
        todo = "out of date, run `python -m hack.accuracy`" if options.check else "written"
        print(f"{shown}: {todo}")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return 1 if options.check and not current else 0


if __name__ == "__main__":
    sys.exit(main())
