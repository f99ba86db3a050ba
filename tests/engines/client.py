"""Asks the engines' real parsers: installs them if need be, keeps one process per engine version.

    with EngineParser() as parser:
        parser.check("vllm-0.32.0", ["MODEL", "--dtype", "bf16"])   # the refusal, or None

The parsers run in an environment of their own (`parsers/`), since each engine pins its own world of
packages and none of them belongs into this project's.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PARSERS = Path(__file__).resolve().parent / "parsers"
VLLM = ("vllm-0.32.0", "vllm-0.33.0")
SGLANG = ("sglang-0.5.23",)
ENGINES = (*VLLM, *SGLANG)
_KEPT = ("PATH", "LD_LIBRARY_PATH")  # of our environment; the parsers get nothing else
_ANSWER_S = 300  # an engine's first start compiles its imports; an answer then takes milliseconds


class ParserError(Exception):
    """The parsers cannot be installed or asked: a fault of the lane, not a verdict."""


def install() -> Path:
    """The folder with the parsers' environment, installed if it is not there.

    Progress goes to standard error. Raises ParserError with the reason.
    """
    result = subprocess.run(
        [sys.executable, str(PARSERS / "install.py")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ParserError("the engines' parsers cannot be installed; the reason is above")
    return Path(result.stdout.strip())


class EngineParser:
    """The parsers of all engine versions, each started at its first use."""

    def __init__(self) -> None:
        self._environment = install()
        self._workers: dict[str, _Worker] = {}

    def __enter__(self) -> EngineParser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, *engines: str) -> None:
        """Start these engines' processes side by side; they need seconds for their imports."""
        for engine in engines:
            self._worker(engine)

    def check(
        self,
        engine: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        config_dir: Path | str | None = None,
    ) -> str | None:
        """None if the engine accepts the command line, else its refusal.

        Args:
            engine: one of `ENGINES`.
            argv: the container's arguments, with or without the engine's command before them.
            env: environment variables of the container.
            config_dir: folder of the model (`configs.write_model`), which takes the place of the
                model that argv names; with it the engine also builds its configuration. Without
                it only the command line is judged.

        The refusal begins with the check that refused: parse, validate, environment or config.
        """
        answer = self._worker(engine).ask(
            {
                "argv": list(argv),
                "env": dict(env or {}),
                "config_dir": None if config_dir is None else str(config_dir),
            }
        )
        return None if answer["ok"] else str(answer["error"])

    def flags(self, engine: str) -> list[dict[str, Any]]:
        """The arguments that the engine's parser has, as `parsers/flag_facts.py` describes them."""
        flags: list[dict[str, Any]] = self._worker(engine).ask({"dump": True})["flags"]
        return flags

    def fact(self, engine: str, question: str, **arguments: Any) -> Any:
        """What the real software makes of a model, by running it.

        Args:
            engine: one of `ENGINES`; its process is asked.
            question: `MODULE.FUNCTION` of `parsers/`: vllm_facts, vllm_budgets or hf_facts.
            arguments: the function's, as JSON.

        Raises ParserError with the function's traceback.
        """
        answer = self._worker(engine).ask({"fact": question, "with": arguments})
        if not answer["ok"]:
            raise ParserError(f"{engine}: {question} failed:\n{answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _worker(self, engine: str) -> _Worker:
        if engine not in ENGINES:
            raise ParserError(f"no parser of {engine}; there are {', '.join(ENGINES)}")
        if engine not in self._workers:
            self._workers[engine] = _Worker(engine, self._environment)
        return self._workers[engine]


class _Worker:
    """One engine's process; a thread reads its answers so that waiting can end."""

    def __init__(self, engine: str, environment: Path) -> None:
        self._engine = engine
        self._ready = False
        self._log = tempfile.TemporaryFile(  # noqa: SIM115 - closed in close()
            "w+", encoding="utf-8", errors="replace"
        )
        python = environment / "venv" / "bin" / "python"
        self._process = subprocess.Popen(
            [str(python), str(PARSERS / "worker.py"), engine, str(environment)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self._ready:
            self._next()
            self._ready = True
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._next()

    def close(self) -> None:
        self._process.kill()  # it holds nothing, and an orderly end takes it seconds
        self._reader.join()
        with self._process:  # closes its pipes and waits for it
            self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _next(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=_ANSWER_S)
        except queue.Empty:
            line = ""
        if not line:
            self._answers.put("")  # a process that has ended gives no later answer either
            self._log.seek(0)
            tail = self._log.read()[-3000:]
            state = self._process.poll()
            raise ParserError(
                f"{self._engine}: no answer from its parser (exit code {state}); its last words:\n"
                f"{tail}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer
