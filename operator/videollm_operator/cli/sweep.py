"""The same question for other GPUs and other formats of the weights: what `--compare` lays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import (
    QuantizationFormat,
    QuantizationMethod,
    QuantizationSpec,
)
from videollm_operator.cli.answer import Answer
from videollm_operator.engines.deployment import plan_deployment, request_for
from videollm_operator.sizing import Verdict, quantized

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog

FORMATS = (
    QuantizationFormat.NONE,
    QuantizationFormat.FP8,
    QuantizationFormat.INT8,
    QuantizationFormat.INT4,
)
"""In this order, from large to small."""

SHORT = {
    Reason.DOES_NOT_FIT: "does not fit",
    Reason.NEEDS_SEVERAL_NODES: "> 1 node",
    Reason.CONTEXT_TOO_LONG: "too long",
    Reason.LAYOUT_ILLEGAL: "no layout",
    Reason.ENGINE_UNSUPPORTED: "no engine",
    Reason.QUANTIZATION_UNSUPPORTED: "no such format",
    Reason.DTYPE_UNSUPPORTED: "no such dtype",
    Reason.FIELD_UNSUPPORTED: "not possible",
}
"""A refusal in the width of a table's cell."""


def on_gpu(deployment: VideoLLMDeployment, sku: str) -> VideoLLMDeployment:
    """The same object on another GPU."""
    spec = deployment.spec
    gpu = spec.gpu.model_copy(update={"sku": sku})
    return deployment.model_copy(update={"spec": spec.model_copy(update={"gpu": gpu})})


def in_format(
    deployment: VideoLLMDeployment, form: QuantizationFormat, catalog: Catalog
) -> VideoLLMDeployment:
    """The same object with weights in another format.

    FP8 is made while loading; INT8 and INT4 are checkpoints in groups of 128, padded where that
    allows more layouts. An object that is in this format already keeps what it says of it.
    """
    spec = deployment.spec
    if spec.quantization.format is form:
        return deployment
    changed = _quantization(deployment, form, catalog)
    return deployment.model_copy(update={"spec": spec.model_copy(update={"quantization": changed})})


def _quantization(
    deployment: VideoLLMDeployment, form: QuantizationFormat, catalog: Catalog
) -> QuantizationSpec:
    plain = deployment.spec.model_copy(update={"quantization": QuantizationSpec()})
    if form is QuantizationFormat.FP8:
        return QuantizationSpec(format=form, method=QuantizationMethod.ONLINE)
    if form is QuantizationFormat.NONE:
        return plain.quantization
    try:
        request = request_for(plain, catalog)
    except Refused:
        return QuantizationSpec(format=form)  # the answer for this format says why
    return quantized(request, form).quantization


def sweep(
    deployment: VideoLLMDeployment,
    skus: Iterable[str],
    forms: Iterable[QuantizationFormat],
    catalog: Catalog,
) -> tuple[Answer, ...]:
    """One answer for each GPU and format, GPU by GPU."""
    wanted = tuple(forms)
    return tuple(
        plan_alone(in_format(on_gpu(deployment, sku), form, catalog), catalog)
        for sku in skus
        for form in wanted
    )


def plan_alone(deployment: VideoLLMDeployment, catalog: Catalog) -> Answer:
    """The plan alone, without what else is answered about a single object."""
    try:
        return Answer(deployment, plan_deployment(deployment.spec, catalog), (), to_apply=False)
    except Refused as refused:
        return Answer(deployment, None, refused.problems, to_apply=False)


def cell(found: Answer) -> str:
    """One answer in a few characters: `4 TP4`, `8 TP8, min 5`, or why not."""
    if found.planned is None:
        return SHORT.get(found.problems[0].reason, "refused")
    plan = found.planned.plan
    words = f"{plan.layout.gpus} {str(plan.layout).replace(' x ', 'x')}"
    if plan.minimum_gpus < plan.layout.gpus:
        words += f", min {plan.minimum_gpus}"
    return words if plan.verdict is Verdict.FITS else f"{words} tight"
