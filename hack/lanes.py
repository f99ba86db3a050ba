"""`make test`, `make proofs`, `make histories`: lanes, side by side where memory allows, timed.

Lanes on one line of the plan run one after another; lines run at the same time. What builds
(Go programs, the engines' parsers) starts first, so that it is done when its lane needs it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = (str(BIN / "pytest"), "-q", "-p", "no:cacheprovider")
PURE = ("api", "catalog", "checkpoints", "sizing", "engines", "render", "reconcile")


@dataclass
class Lane:
    """One command with a name; its output is kept and shown when it has ended."""

    name: str
    argv: tuple[str, ...]
    seconds: float = 0.0
    code: int | None = None
    output: str = ""

    def run(self, lock: threading.Lock) -> None:
        """Runs it and prints its end; output in full if it failed, else its last line."""
        began = time.monotonic()
        done = subprocess.run(
            self.argv,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.seconds, self.code, self.output = (
            time.monotonic() - began,
            done.returncode,
            done.stdout,
        )
        lines = self.output.strip().splitlines() or [""]
        with lock:
            if self.code:
                print(f"---- {self.name} failed; its output:\n{self.output}", flush=True)
            word = "FAILED" if self.code else "ok"
            print(f"{word:<6} {self.name:<22} {self.seconds:6.1f} s  {lines[-1][:90]}", flush=True)


@dataclass
class Track:
    """Lanes that run one after another."""

    lanes: list[Lane] = field(default_factory=list)

    def run(self, lock: threading.Lock) -> None:
        """Runs all of them; a failed one does not keep the others from running."""
        for lane in self.lanes:
            lane.run(lock)


def static() -> list[Lane]:
    """Checks that read the code only."""
    return [
        Lane("format", (str(BIN / "ruff"), "format", "--check", ".")),
        Lane("lint", (str(BIN / "ruff"), "check", ".")),
        Lane("import layers", (str(BIN / "lint-imports"), "--no-cache")),
        Lane("types", (str(BIN / "mypy"),)),
    ]


def unit() -> Lane:
    """Unit, scenario and document tests; the pure layers must have full branch coverage."""
    coverage = tuple(f"--cov=videollm_operator.{layer}" for layer in PURE)
    return Lane(
        "unit and scenario",
        (
            *PYTEST,
            "tests/unit",
            "tests/scenario",
            "tests/docs",
            "-n2",
            "--cov-branch",
            *coverage,
            "--cov-report=term-missing:skip-covered",
            "--cov-fail-under=100",
        ),
    )


def builds() -> list[Lane]:
    """What is built from source, once; one after another, because each build uses all cores."""
    command = (sys.executable, "-m", "devcluster", "build")
    return [
        Lane("build control plane", command),
        Lane("build helm", (*command, "--helm")),
        Lane("build kstatus", (*command, "--kstatus")),
    ]


def on_clusters(*arguments: str) -> tuple[str, ...]:
    """Tests on three control planes (0.7 GiB each) at a time; a file stays with one of them."""
    return (*PYTEST, "-n3", "--dist=loadfile", *arguments)


def rights(*options: str) -> Lane:
    """The operator's rights are what all tests on a cluster together have used.

    With `--some` after some tests: these have used none that is not shipped.
    """
    return Lane("rights", (sys.executable, "-m", "hack.rights", *options))


def fast() -> list[Track]:
    """What needs nothing built."""
    return [Track(static()), Track([unit()])]


def everything() -> list[Track]:
    """All but the proofs."""
    return [
        Track(
            [
                *builds(),
                Lane("generated files", (sys.executable, "-m", "hack.generate", "--check")),
                Lane("cluster", on_clusters("tests/cluster", "--ignore=tests/cluster/proofs")),
                Lane("chart", (*PYTEST, "tests/chart")),
                rights(),
            ]
        ),
        Track(
            [
                *static(),
                unit(),
                Lane("devcluster", (*PYTEST, "tests/devcluster")),
                Lane("engines", (*PYTEST, "tests/engines")),
                Lane("plugin", (*PYTEST, "tests/plugin")),
                Lane("browser", (*PYTEST, "tests/browser")),
            ]
        ),
    ]


HISTORIES = "tests/cluster/proofs/test_histories.py"


def random_histories() -> Lane:
    """Many at a time on one control plane; nothing else runs beside them."""
    return Lane("histories", (*PYTEST, HISTORIES))


def proofs() -> list[Track]:
    """The exhaustive ones: every crash, every fault, every state; then random histories."""
    lane = Lane("proofs", on_clusters("tests/cluster/proofs", f"--ignore={HISTORIES}"))
    return [Track([*builds(), lane, random_histories(), rights("--some")])]


def histories() -> list[Track]:
    """Random histories alone."""
    return [Track([*builds(), random_histories(), rights("--some")])]


PLANS = {"all": everything, "fast": fast, "proofs": proofs, "histories": histories}


def main() -> int:
    """Runs the lanes; 0 if all passed."""
    parser = argparse.ArgumentParser(prog="python -m hack.lanes", description=__doc__)
    parser.add_argument("plan", nargs="?", choices=sorted(PLANS), default="all")
    tracks = PLANS[parser.parse_args().plan]()
    began, lock = time.monotonic(), threading.Lock()
    threads = [threading.Thread(target=track.run, args=(lock,)) for track in tracks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lanes = [lane for track in tracks for lane in track.lanes]
    failed = [lane for lane in lanes if lane.code]
    print(f"\nAll lanes: {time.monotonic() - began:.0f} s")
    print(f"{len(lanes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
