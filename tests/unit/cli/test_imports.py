"""`videollm plan` starts fast because it imports little: the whole list."""

from __future__ import annotations

import json
import subprocess
import sys

PLAN = ["plan", "--model", "lmms-lab/LLaVA-Video-72B-Qwen2", "--gpu", "L40", "-o", "json"]
FOREIGN = {
    *("click", "pydantic", "pydantic_core", "annotated_types", "typing_inspection"),
    *("typing_extensions", "yaml", "cython_runtime"),  # the last is libyaml's binding
}
"""Packages from PyPI; rich comes with the table only, the others with their own commands."""
LAYERS = {"api", "catalog", "cli", "engines", "sizing"}


def modules(*argv: str) -> set[str]:
    """What a run of `videollm` imports beyond what starts Python."""
    code = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"sys.argv = {['videollm', *argv]!r}\n"
        "from videollm_operator.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('\\n' + json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_plan_imports_these_packages_and_no_others() -> None:
    found = modules(*PLAN)
    packages = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    public = {name for name in packages if not name.startswith("_")}
    assert public == {*FOREIGN, "videollm_operator"}
    parts = {name.split(".")[1] for name in found if name.startswith("videollm_operator.")}
    assert parts == LAYERS


def test_a_plan_leaves_out_what_only_other_answers_need() -> None:
    found = modules(*PLAN)
    assert "videollm_operator.sizing.planner" in found
    for needless in (
        "asyncio",
        "subprocess",
        "videollm_operator.api.crd",
        "videollm_operator.cli.models",
        "videollm_operator.cli.operator",
        "videollm_operator.cli.plan_table",
    ):
        assert needless not in found
