"""SGLang's own checks of a command line, as `sglang serve` runs them before it loads a model.

Imported by `worker.py` inside the environment, with SGLang's Python files on the path.

Two things that SGLang imports but does not need here are not installed: triton (1 GB) and IPython.
Empty modules take their place. And it is told the compute capability of a card, since it asks for
one before it accepts a GPTQ checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NOT_INSTALLED = frozenset({"triton", "IPython"})
_CAPABILITY = (8, 0)  # A100: has every kernel that the checks ask about


class _NothingType(type):
    """A class that is its own attributes, and a decorator that changes nothing."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and not kwargs and callable(args[0]) else cls

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, key: object) -> Any:
        return cls


class _Nothing(metaclass=_NothingType):
    pass


class _EmptyModule(ModuleType):
    __version__ = "3.7.0"  # torch asks triton for it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


class _EmptyModules(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _NOT_INSTALLED:
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


sys.meta_path.insert(0, _EmptyModules())

from sglang.srt.layers.quantization import marlin_utils  # noqa: E402 - behind the empty modules
from sglang.srt.server_args import ServerArgs, prepare_server_args  # noqa: E402 - likewise


class Side:
    """SGLang."""

    def __init__(self) -> None:
        marlin_utils.get_device_capability = lambda *_: _CAPABILITY
        self._parser = argparse.ArgumentParser(prog="sglang serve")
        ServerArgs.add_cli_args(self._parser)

    def parser(self) -> argparse.ArgumentParser:
        """The parser of `sglang serve`."""
        return self._parser

    def check(self, argv: list[str], env: Mapping[str, str], config_dir: str | None) -> None:
        """Parse; with a model folder also resolve the arguments and check them together."""
        del env  # its names follow no prefix of their own
        argv = _without_command(argv)
        if config_dir is None:
            ServerArgs.from_cli_args(self._parser.parse_args(argv))
            return
        arguments = prepare_server_args(argv)  # builds the parser anew: 30 ms
        arguments.model_path = config_dir
        if arguments.tokenizer_path is not None:
            arguments.tokenizer_path = config_dir
        if arguments.device is None:
            arguments.device = "cpu"
        arguments.resolve_once()
        arguments.check_server_args()


def _without_command(argv: list[str]) -> list[str]:
    """The arguments alone; `sglang serve MODEL` names the model by position."""
    for command in (
        ["python3", "-m", "sglang.launch_server"],
        ["python", "-m", "sglang.launch_server"],
        ["sglang", "serve"],
    ):
        if argv[: len(command)] == command:
            argv = argv[len(command) :]
    if argv and not argv[0].startswith("-"):
        argv = ["--model-path", *argv]
    return argv
