"""The plan as `status.sizing`: the same object for the operator, the command line and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from videollm_operator.api.v1alpha1.compute import QuantizationFormat, VisionTowerFormat
from videollm_operator.api.v1alpha1.status import Alternative, MemoryTerm, SizingStatus
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1.compute import QuantizationSpec
    from videollm_operator.sizing.types import LayoutAlternative, Plan, Term


def sizing_status(plan: Plan, replicas: int) -> SizingStatus:
    """The plan with the total for so many replicas."""
    return SizingStatus(
        gpus_per_replica=plan.layout.gpus,
        total_gpus=plan.layout.gpus * replicas,
        minimum_gpus=plan.minimum_gpus,
        tensor_parallel_size=plan.layout.tensor,
        pipeline_parallel_size=plan.layout.pipeline,
        dtype=str(plan.dtype),
        quantization=quantization_words(plan.quantization),
        max_model_len=plan.max_model_len,
        max_num_batched_tokens=plan.max_num_batched_tokens,
        max_num_seqs=plan.max_num_seqs,
        tokens_per_video=plan.tokens_per_video,
        kv_cache_tokens=plan.kv_cache_tokens,
        max_concurrent_requests=plan.max_concurrent_requests,
        memory_per_gpu=plan.memory,
        terms=[_term(each) for each in plan.terms],
        margin=plan.margin_mib,
        deciding_term=plan.deciding_term,
        rule_of_thumb=plan.rule_of_thumb,
        alternatives=[_alternative(each) for each in plan.alternatives],
        explanation=plan.explanation,
    )


def quantization_words(quantization: QuantizationSpec) -> str:
    """`None`, `FP8 (Online)`, `INT8 (GPTQ, g128, padded to 29696)`."""
    if quantization.format is QuantizationFormat.NONE:
        return str(quantization.format)
    words = [str(quantization.method)]
    if str(quantization.method) not in {"Online", "BitsAndBytes"}:
        words.append(
            f"g{quantization.group_size}" if quantization.group_size > 0 else "per channel"
        )
    if quantization.intermediate_size:
        words.append(f"MLP {quantization.intermediate_size}")
    if quantization.vision_tower is VisionTowerFormat.QUANTIZED:
        words.append("tower too")
    if quantization.unquantized_layers or quantization.unquantized_projections:
        words.append("partly")
    return f"{quantization.format} ({', '.join(words)})"


def _term(term: Term) -> MemoryTerm:
    return MemoryTerm(
        name=str(term.name),
        mib=term.mib,
        basis=term.basis.value,
        bound_mib=term.bound_mib,
        why=term.why,
    )


def _alternative(other: LayoutAlternative) -> Alternative:
    verdict: Literal["Fits", "Tight"] = "Fits" if other.verdict is Verdict.FITS else "Tight"
    return Alternative(
        gpus=other.layout.gpus,
        tensor=other.layout.tensor,
        pipeline=other.layout.pipeline,
        verdict=verdict,
        note=other.note,
    )
