"""Write every file that is made from another: `python -m hack.generate` (`make generate`).

The CRD and the API reference come from the models, the other reference pages from the command line,
the reasons and what the operator answers of each engine, the chart's CRD from the CRD, install.yaml
from the chart, Argo CD's ConfigMap from its scripts, docs/accuracy.md from published measurements.
With `--check` nothing is written; the exit status is 1 if a file is not what it should be, or if
plans agree less with the measurements.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from devcluster.binaries import helm
from devcluster.errors import DevclusterError
from devcluster.progress import to_terminal
from hack import argocd_configmap, engines_page, reference_docs, render_install
from hack.accuracy import outputs, scores
from videollm_operator.api import crd, reference
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from pathlib import Path

ROOT = render_install.ROOT
CRD = ROOT / "crds" / "videollm.io_videollmdeployments.yaml"
CRD_COPY = render_install.CHART / "files" / "crd.yaml"
REFERENCE = ROOT / "docs" / "reference" / "api.md"
CLI = REFERENCE.with_name("cli.md")
CONDITIONS = REFERENCE.with_name("conditions.md")
ENGINES = REFERENCE.with_name("engines.md")


def _put(path: Path, text: str, *, check: bool) -> bool:
    """Whether `path` held `text` already; writes it if not, unless `check`."""
    same = path.is_file() and path.read_text() == text
    if not same:
        shown = path.relative_to(ROOT)
        print(f"{shown}: out of date, run `make generate`" if check else f"{shown}: written")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return same


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m hack.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, report differences")
    check = parser.parse_args().check
    try:
        program = helm(to_terminal())
    except DevclusterError as error:
        print(error, file=sys.stderr)
        return 2
    # In this order: the chart must hold today's CRD before it is rendered.
    current = [
        _put(CRD, crd.to_yaml(), check=check),
        _put(REFERENCE, reference.page(), check=check),
        _put(CLI, reference_docs.cli_page(), check=check),
        _put(CONDITIONS, reference_docs.conditions_page(), check=check),
        _put(ENGINES, engines_page.page(builtin()), check=check),
        _put(CRD_COPY, crd.to_yaml(), check=check),
        _put(argocd_configmap.TARGET, argocd_configmap.argocd_configmap(), check=check),
        _put(render_install.TARGET, render_install.install_yaml(program), check=check),
    ]
    result = outputs.result()
    problems = scores.problems(result)
    for problem in problems:
        print(f"docs/accuracy.md: {problem}", file=sys.stderr)
    if not problems:
        current += [_put(path, text, check=check) for path, text in outputs.files(result).items()]
    return 1 if problems or (check and not all(current)) else 0


if __name__ == "__main__":
    sys.exit(main())
