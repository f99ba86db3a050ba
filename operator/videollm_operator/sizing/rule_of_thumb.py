"""The rule that people know, beside the plan: weights plus a quarter, by nominal memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import QuantizationFormat
from videollm_operator.api.v1alpha1.status import RuleOfThumb
from videollm_operator.sizing.constants import RULE_OF_THUMB_PERCENT
from videollm_operator.sizing.layouts import tensor_rule
from videollm_operator.sizing.text import count, gib

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit

NOMINAL_BITS = {QuantizationFormat.FP8: 8, QuantizationFormat.INT8: 8, QuantizationFormat.INT4: 4}
"""Bits per parameter as the rule counts them: without scales, everything quantized."""


def rule_of_thumb(demand: Demand, chosen: Fit, minimum_gpus: int) -> RuleOfThumb:
    """Parameters x bytes, plus a quarter, divided by the card's nominal GB, rounded up.

    A quarter is the middle of the usual "20-30 %": 72e9 x 2 = 144 GB, 180 GB, 4 x 48 GB.
    """
    request = demand.request
    bits = NOMINAL_BITS.get(demand.formats.quantization.format, demand.formats.plain_bytes * 8)
    weight_bits = request.nominal_parameters * bits
    gb = 8 * 10**9
    total_percent = weight_bits * RULE_OF_THUMB_PERCENT
    gpus = -(-total_percent // (gb * 100 * request.gpu.nominal_gb))
    return RuleOfThumb(
        weights_gb=-(-weight_bits // gb),
        total_gb=-(-total_percent // (gb * 100)),
        gpus=gpus,
        note=_note(demand, chosen, gpus, minimum_gpus),
    )


def _note(demand: Demand, chosen: Fit, gpus: int, minimum_gpus: int) -> str:
    """Why the plan differs from the rule; empty where it does not."""
    planned = chosen.layout.gpus
    if planned == gpus:
        return ""
    request = demand.request
    if gpus < planned:
        rule = tensor_rule(request.architecture, demand.formats, request.budget, gpus)
        if rule and minimum_gpus <= gpus:
            return (
                f"{gpus} is no tensor-parallel size ({rule}); as a pipeline "
                f"{count(minimum_gpus, 'GPU')} would do."
            )
        if rule:
            return f"{gpus} is no tensor-parallel size: {rule}."
        usable = gib(demand.budget_mib(chosen.layout))
        return (
            f"It takes the card for {request.gpu.nominal_gb} GB where the engine may use {usable}, "
            "and knows neither KV cache nor the parts that every GPU holds in full."
        )
    return (
        "Its extra quarter stands for KV cache and activations, which take "
        f"{gib(chosen.kv_cache + chosen.activation)} per GPU here."
    )
