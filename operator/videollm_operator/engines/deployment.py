"""From a spec to everything that is rendered and reported: the one entry to planning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator import sizing
from videollm_operator.api.problem import Refused
from videollm_operator.engines import quantize
from videollm_operator.engines.base import DeploymentPlan
from videollm_operator.engines.registry import ENGINES
from videollm_operator.engines.select import resolve
from videollm_operator.engines.unverified import unverified
from videollm_operator.sizing.types import SizingRequest

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import Resolved


def plan_deployment(
    spec: VideoLLMDeploymentSpec, catalog: Catalog, *, visible_mib: int | None = None
) -> DeploymentPlan:
    """Looks up, checks and sizes an object, and says how its engine runs.

    Args:
        spec: the object.
        catalog: models, GPUs and engine versions.
        visible_mib: least CUDA-visible memory that the matching nodes report; None: the SKU's.

    Raises:
        Refused: for everything that makes the object impossible; nothing else is raised.
    """
    resolved = resolve(spec, catalog, visible_mib)
    engine = ENGINES[resolved.engine.type]
    problems = engine.check_extras(spec, resolved.flags)
    if problems:
        raise Refused(*problems)
    plan = sizing.plan(sizing_request(spec, resolved, catalog))
    return DeploymentPlan(
        resolved=resolved,
        plan=plan,
        launch=None if resolved.not_runnable else engine.launch(resolved, spec, plan),
        warnings=(*_unverified(spec, resolved, catalog), *engine.warnings(resolved, spec)),
    )


def _unverified(
    spec: VideoLLMDeploymentSpec, resolved: Resolved, catalog: Catalog
) -> tuple[str, ...]:
    problem = unverified(spec, resolved.engine.type, catalog)
    return () if problem is None else (f"{problem.message}.",)


def request_for(spec: VideoLLMDeploymentSpec, catalog: Catalog) -> SizingRequest:
    """The question that a spec puts to `videollm_operator.sizing.plan`.

    Raises:
        Refused: if model, GPU or engine are not known, or do not go together.
    """
    return sizing_request(spec, resolve(spec, catalog), catalog)


def sizing_request(
    spec: VideoLLMDeploymentSpec, resolved: Resolved, catalog: Catalog
) -> SizingRequest:
    """The question that an object puts to the planner."""
    return SizingRequest(
        model_name=resolved.model.name,
        architecture=resolved.model.architecture,
        checkpoint_dtype=resolved.model.checkpoint_dtype,
        nominal_parameters=resolved.model.nominal_parameters,
        gpu=resolved.gpu,
        visible_mib=resolved.visible_mib,
        budget=resolved.budget,
        dtype=ENGINES[resolved.engine.type].dtype(spec),
        quantization=quantize.effective(resolved.model, spec),
        workload=spec.workload,
        parallelism=spec.parallelism,
        per_replica=spec.gpu.per_replica,
        cpu_offload_gib_per_gpu=spec.offload.cpu_gib_per_gpu,
        other_gpus=tuple(catalog.gpus.values()),
    )
