"""vLLM's configuration with its plugin for bitsandbytes, as in an image that has both.

Imported by `worker.py` inside the environment. The plugin stays registered, so a process that was
asked this judges otherwise than before.
"""

from __future__ import annotations

import sys
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser

JSON = dict[str, Any]


def configured(plugin: str, argv: list[str], config_dir: str) -> JSON:
    """What vLLM makes of a command line and a model folder.

    Args:
        plugin: folder into which vllm-bnb-plugin was installed.
        argv: the container's arguments.
        config_dir: folder of the model, which takes the place of the one that argv names.

    Returns:
        `quantization`, `load_format` and `eager`, as the engine will use them.
    """
    if plugin not in sys.path:
        sys.path.append(plugin)
    import vllm_bnb_plugin

    vllm_bnb_plugin.register()  # what vLLM does for its entry point
    root = FlexibleArgumentParser(prog="vllm")
    ServeSubcommand().subparser_init(root.add_subparsers(required=True, dest="subparser"))
    arguments = root.parse_args(["serve", *argv])
    arguments.model = config_dir
    config = AsyncEngineArgs.from_cli_args(arguments).create_engine_config(headless=False)
    return {
        "quantization": config.model_config.quantization,
        "load_format": str(config.load_config.load_format),
        "eager": config.model_config.enforce_eager,
    }
