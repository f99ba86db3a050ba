"""vLLM's own checks of a command line, as `vllm serve` runs them before it loads a model.

Imported by `worker.py` inside the environment, with vLLM's Python files on the path. Uses only
`ServeSubcommand` and names beside it that stayed in place from 0.32 to 0.33; the module that
builds the parser moves with every release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refusal import Refusal, words
from vllm import envs
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.openai.api_server import validate_api_server_args
from vllm.model_executor.models import registry
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping


def _in_this_process(function: Callable[[], Any]) -> Any:
    return function()


class Side:
    """One vLLM version."""

    def __init__(self) -> None:
        self._command = ServeSubcommand()
        self._root = FlexibleArgumentParser(prog="vllm")
        subparsers = self._root.add_subparsers(required=True, dest="subparser")
        self._parser: argparse.ArgumentParser = self._command.subparser_init(subparsers)
        # vLLM looks at a model class in a child process, to keep CUDA out of this one. There is
        # no CUDA here, and a child costs seven seconds of imports.
        registry._run_in_subprocess = _in_this_process

    def parser(self) -> argparse.ArgumentParser:
        """The parser of `vllm serve`."""
        return self._parser

    def check(self, argv: list[str], env: Mapping[str, str], config_dir: str | None) -> None:
        """Parse and validate; with a model folder also build the engine's configuration."""
        self._check_environment(env)
        while argv[:1] in (["vllm"], ["serve"]):
            argv = argv[1:]
        try:
            arguments = self._root.parse_args(["serve", *argv])
        except ValueError as error:
            raise Refusal(f"parse: {error}") from error
        if arguments.model_tag is not None:
            arguments.model = arguments.model_tag
        try:
            self._command.validate(arguments)
            if not arguments.headless:
                validate_api_server_args(arguments)
        except Exception as error:
            raise Refusal(f"validate: {words(error)}") from error
        if config_dir is None:
            return
        arguments.model = config_dir
        arguments.tokenizer = config_dir if arguments.tokenizer else None
        arguments.hf_config_path = config_dir if arguments.hf_config_path else None
        AsyncEngineArgs.from_cli_args(arguments).create_engine_config(
            usage_context=UsageContext.OPENAI_API_SERVER, headless=arguments.headless
        )

    @staticmethod
    def _check_environment(env: Mapping[str, str]) -> None:
        """vLLM reads its variables late and only warns of unknown ones; be stricter."""
        for name in env:
            if not name.startswith("VLLM_"):
                continue
            if name not in envs.environment_variables:
                raise Refusal(f"environment: this vLLM knows no variable {name}")
            try:
                getattr(envs, name)
            except ValueError as error:
                raise Refusal(f"environment: {name}: {error}") from error
