"""Judges command lines with an engine's real parser. Runs inside the installed environment.

    venv/bin/python worker.py ENGINE ENVIRONMENT-FOLDER

reads one JSON object per line from standard input and answers each with one on standard output:

    {"argv": [...], "env": {...}, "config_dir": "..."}  -> {"ok": true}
                                                           or {"ok": false, "error": "..."}
    {"dump": true}                                      -> {"ok": true, "flags": [...]}
    {"fact": "MODULE.FUNCTION", "with": {...}}          -> {"ok": true, "answer": ...}

`argv` is what the container would run the engine with: the arguments alone or with the engine's
own command before them. `env` are environment variables that the container would have. With
`config_dir` (a folder with config.json, tokenizer and processor files, no weights) the engine's
configuration is built for that model as well; without it only the command line is judged.

A fact is what a function of `vllm_facts`, `vllm_budgets` or `hf_facts` finds out about a model by
running the real software.

The first word of an error says which of the engine's checks refused: `parse`, `validate`,
`environment` or `config`.

One process serves one engine: the three cannot share an interpreter. What a check writes to the
environment is undone after it. The engine's own output goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from refusal import Refusal, words

if TYPE_CHECKING:
    from collections.abc import Mapping


class Engine(Protocol):
    """What a side (`vllm_side`, `sglang_side`) offers."""

    def check(self, argv: list[str], env: Mapping[str, str], config_dir: str | None) -> None:
        """Raise Refusal, or any exception of the engine, when it would not start so."""

    def parser(self) -> argparse.ArgumentParser:
        """The engine's parser."""


def main() -> int:
    """Serve requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines log to standard output
    name, environment = sys.argv[1:3]
    _prepare(name, Path(environment))
    engine = _load(name)
    answers.write(json.dumps({"ready": name}) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(engine, json.loads(line))) + "\n")
        answers.flush()
    return 0


def _prepare(name: str, environment: Path) -> None:
    """Paths, caches and switches, before anything of the engine is imported."""
    sys.path.insert(1, str(environment / name))
    cache = environment / "cache"
    os.environ.update(FIXED)
    os.environ.update({key: str(cache / key.lower()) for key in CACHES})
    argparse.ArgumentParser.error = _error  # type: ignore[method-assign] # raise, do not exit


FIXED = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; else it depends on the memory of this machine
    "PYTHONWARNINGS": "ignore",
}
"""Variables that stay as they are whatever a request says: nothing here may reach a network."""

CACHES = ("HOME", "HF_HOME", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")
"""Variables that name folders: a request's own folders exist in a container, not here."""


def _error(self: argparse.ArgumentParser, message: str) -> NoReturn:
    raise Refusal(f"parse: {message}")


def _load(name: str) -> Engine:
    if name.startswith("vllm"):
        import vllm_side

        return vllm_side.Side()
    import sglang_side

    return sglang_side.Side()


def _answer(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    if request.get("dump"):
        import flag_facts

        return {"ok": True, "flags": flag_facts.describe(engine.parser())}
    if "fact" in request:
        module, _, function = request["fact"].partition(".")
        try:
            ask = getattr(importlib.import_module(module), function)
            return {"ok": True, "answer": ask(**request["with"])}
        except Exception:  # noqa: BLE001 - the asking test fails with it
            return {"ok": False, "error": traceback.format_exc()}
    before = dict(os.environ)
    env = {k: v for k, v in request.get("env", {}).items() if k not in FIXED and k not in CACHES}
    os.environ.update(env)
    try:
        engine.check(request["argv"], env, request.get("config_dir"))
    except Refusal as refusal:
        return {"ok": False, "error": str(refusal)}
    except SystemExit as end:
        return {"ok": False, "error": f"parse: the program would end at once with code {end.code}"}
    except Exception as error:  # noqa: BLE001 - whatever the engine raises is its refusal
        return {"ok": False, "error": f"config: {words(error)}"}
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"ok": True}


if __name__ == "__main__":
    sys.exit(main())
