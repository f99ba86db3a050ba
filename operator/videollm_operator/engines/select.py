"""Looks up model, GPU and engine of an object, and checks them against each other.

`Auto` takes the first engine that can serve the model: vLLM if it can, also where the plan holds
only for software to come, because SGLang cannot honour a video request and TGI is legacy. It is a
rule over (architecture, quantization, modality), each engine's own answer in `supports`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.entries import PRODUCT
from videollm_operator.engines.base import CATALOGUE, ModelFacts, Resolved
from videollm_operator.engines.places import served_name
from videollm_operator.engines.registry import ENGINES
from videollm_operator.engines.text import did_you_mean
from videollm_operator.engines.unverified import standing_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry

AUTOMATIC = (EngineType.VLLM, EngineType.SGLANG)
"""The engines that `Auto` may pick, in this order. TGI must be asked for by name."""


def resolve(
    spec: VideoLLMDeploymentSpec, catalog: Catalog, visible_mib: int | None = None
) -> Resolved:
    """Model, GPU and engine of an object.

    Args:
        spec: the object.
        catalog: what is known.
        visible_mib: least CUDA-visible memory of the matching nodes, by what they report; None: not
            known, or as in the table.

    Raises:
        Refused: if one is not known, or they do not go together.
    """
    model = find_model(spec, catalog)
    gpu = find_gpu(spec, catalog)
    entry = find_engine(spec, catalog, model, gpu)
    engine = ENGINES[entry.type]
    return Resolved(
        model=model,
        gpu=gpu,
        visible_mib=visible_mib or gpu.visible_mib,
        engine=entry,
        flags=catalog.flags(entry),
        budget=engine.budget(model, spec, entry),
        not_runnable=engine.not_runnable(model, spec),
    )


def find_model(spec: VideoLLMDeploymentSpec, catalog: Catalog) -> ModelFacts:
    """The model's numbers: `architecture`, else those of `base`, else its own catalogue entry.

    Raises:
        Refused: if none of them is there.
    """
    wanted = spec.model
    if wanted.architecture is not None:
        return ModelFacts(
            name=wanted.name,
            served_name=served_name(spec),
            architecture=wanted.architecture,
            checkpoint_dtype=DType.BFLOAT16 if spec.dtype == DType.AUTO else spec.dtype,
            nominal_parameters=wanted.architecture.parameters.total,
            described_by="spec.model.architecture",
        )
    key = wanted.base or wanted.name
    entry = catalog.model(key)
    if entry is None:
        field = "spec.model.base" if wanted.base else "spec.model.name"
        raise Refused(
            Problem(
                Reason.MODEL_UNKNOWN,
                f"`{field}` is '{key}', which the catalogue does not have."
                f"{did_you_mean(key, catalog.models)} Set `spec.model.base` to a catalogue model "
                "of the same architecture (`videollm models` lists them), or give the numbers in "
                "`spec.model.architecture` (`videollm models describe` prints them)",
                field,
            )
        )
    own = catalog.model(wanted.name)
    downloaded = not (wanted.source.persistent_volume_claim or wanted.source.image)
    if downloaded and own is not None and own.architecture != entry.architecture:
        raise Refused(
            Problem(
                Reason.INVALID_SPEC,
                f"`spec.model.base` is '{key}', but the hub's '{wanted.name}' is another model, "
                "which the catalogue knows: remove `base`, put the name of your own copy in "
                "`spec.model.name`, or say in `spec.model.source` where your copy lies",
                "spec.model.base",
            )
        )
    return ModelFacts(
        name=wanted.name,
        served_name=served_name(spec),
        architecture=entry.architecture,
        checkpoint_dtype=entry.dtype,
        nominal_parameters=entry.nominal_parameters,
        described_by=f"base {entry.name}" if entry.name != wanted.name else CATALOGUE,
    )


def find_gpu(spec: VideoLLMDeploymentSpec, catalog: Catalog) -> GPUEntry:
    """The GPU's entry.

    Raises:
        Refused: if the catalogue lacks the SKU.
    """
    gpu = catalog.gpu(spec.gpu.sku)
    if gpu is None:
        names = {each.sku: each for each in catalog.all_gpus if not each.is_slice}
        if "mig" in spec.gpu.sku.lower():
            names = {each.sku: each for each in catalog.all_gpus if each.is_slice}
        raise Refused(
            Problem(
                Reason.GPU_UNKNOWN,
                f"`spec.gpu.sku` is '{spec.gpu.sku}', which the catalogue does not have."
                f"{did_you_mean(spec.gpu.sku, names, product_labels(names.values()))} Use a name "
                "that `videollm gpus` lists, or add the GPU to the catalogue",
                "spec.gpu.sku",
            )
        )
    return gpu


def product_labels(gpus: Iterable[GPUEntry]) -> dict[str, str]:
    """What nodes call their GPUs, to the SKU that each means: people copy it from there."""
    return {
        value: gpu.sku
        for gpu in gpus
        for labels in gpu.node_labels
        for value in labels.get(PRODUCT, ())
    }


def find_engine(
    spec: VideoLLMDeploymentSpec, catalog: Catalog, model: ModelFacts, gpu: GPUEntry
) -> EngineEntry:
    """The engine version that serves this object.

    Raises:
        Refused: if no engine that may be used can serve it. With `Auto` the first engine's
            reason is told: it is the one to have.
    """
    wanted = spec.engine.type
    candidates = AUTOMATIC if wanted == EngineType.AUTO else (wanted,)
    refusals: list[Problem] = []
    for candidate in candidates:
        entry = _entry(spec, catalog, candidate)
        problem = ENGINES[candidate].supports(model, spec, gpu, entry)
        if problem is None:
            return entry
        refusals.append(problem)
    raise Refused(refusals[0])


def _entry(spec: VideoLLMDeploymentSpec, catalog: Catalog, candidate: EngineType) -> EngineEntry:
    """The named version of an engine, known or not, or its default."""
    version = spec.engine.version
    entry = catalog.engine(candidate, version)
    if entry is None and version:
        entry = standing_in(catalog, candidate, version)
    if entry is None:
        raise Refused(
            Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"the catalogue knows {candidate} in no version: add one to it, or set "
                "`spec.engine.type` to an engine that it has",
                "spec.engine.type",
            )
        )
    return entry
