"""What the descriptions of techniques share: how savings are counted, how flags are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.sizing.choose import by_strategy
from videollm_operator.sizing.types import Layout, Technique

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import SizingRequest

ONE = Layout(1, 1)


def needed(asked: Demand) -> int:
    """MiB of weights, KV cache and activations together, as on one GPU."""
    fit = asked.fit(ONE)
    return fit.weights + fit.kv_cache + fit.activation


def answer(asked: Demand) -> Fit | None:
    """The layout that the strategy chooses; None if nothing fits inside a node."""
    return by_strategy(asked, asked.request.parallelism.strategy)


def saved(base: Demand, asked: Demand) -> float | None:
    """GiB that are saved; None if nothing is."""
    difference = needed(base) - needed(asked)
    return round(difference / 1024, 1) if difference > 0 else None


def refused(name: str, how: str, note: str) -> Technique:
    """A technique that is not offered here, with the reason."""
    return Technique(name, False, None, None, None, how, note)


def flag(request: SizingRequest, vllm: str, sglang: str = "", tgi: str = "") -> str:
    """The engine and its own flag, for people who know it; empty if it has none."""
    engine = request.budget.type
    own = {EngineType.SGLANG: sglang, EngineType.TGI: tgi}.get(engine, vllm)
    return f"{engine} {own}" if own else ""


def with_flag(path: str, own: str) -> str:
    """A field of the spec, with the engine's flag behind it."""
    return f"{path} ({own})" if own else path
