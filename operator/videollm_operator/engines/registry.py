"""All engines, in the order in which `Auto` asks them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from videollm_operator.engines.sglang import SGLang
from videollm_operator.engines.tgi import TGI
from videollm_operator.engines.vllm import VLLM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1.engine import EngineType
    from videollm_operator.engines.base import Engine

_ALL: tuple[Engine, ...] = (VLLM(), SGLang(), TGI())

ENGINES: Mapping[EngineType, Engine] = MappingProxyType({engine.type: engine for engine in _ALL})
"""Engine type -> the module that knows it."""
