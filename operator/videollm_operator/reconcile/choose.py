"""Which layout is in force: today's plan, or the record of an earlier one (design principle 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator import __version__
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.status import SizingStatus
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.reconcile.decision import Decision
from videollm_operator.reconcile.nodes import least_visible_mib
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Inputs, Record, neutral, spec_digest
from videollm_operator.render.manifests import render
from videollm_operator.sizing import sizing_status

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import DeploymentPlan
    from videollm_operator.reconcile.world import World


def choose(
    world: World, deployment: VideoLLMDeployment, present: Record | None, catalog: Catalog
) -> Decision:
    """Today's plan or the recorded one."""
    wanted = spec_digest(deployment.spec)
    same_spec = present is not None and present.spec_digest == wanted
    if present is not None and same_spec and _same_inputs(present, deployment, catalog, world):
        return Decision(deployment, record=present, sizing=_recorded_sizing(present, deployment))
    try:
        planned = _plan(deployment.spec, catalog, world)
    except Refused as refused:
        if present is not None and same_spec:
            return Decision(
                deployment,
                record=present,
                sizing=_recorded_sizing(present, deployment),
                update=f"today's plan is refused: {refused.problems[0].message}",
                unsafe=refused.problems[0].message,
            )
        return Decision(
            deployment,
            refusals=refused.problems,
            sizing_refused=True,
            record=present,
            sizing=_recorded_sizing(present, deployment) if present else None,
        )
    sizing = sizing_status(planned.plan, deployment.spec.replicas)
    if planned.not_runnable is not None:
        shown = _recorded_sizing(present, deployment) if present else sizing
        return Decision(deployment, refusals=(planned.not_runnable,), record=present, sizing=shown)
    try:
        today = _record(wanted, deployment, planned, catalog)
    except Refused as refused:
        return Decision(deployment, refusals=refused.problems, record=present, sizing=sizing)
    if present is None or not same_spec:
        return Decision(deployment, record=today, sizing=sizing)
    update, unsafe = _difference(present, today, planned)
    return Decision(
        deployment,
        record=present,
        sizing=_recorded_sizing(present, deployment),
        update=update,
        unsafe=unsafe,
    )


def _same_inputs(
    present: Record, deployment: VideoLLMDeployment, catalog: Catalog, world: World
) -> bool:
    """Whether today's plan must be the recorded one: then it need not be made again."""
    gpu = catalog.gpu(deployment.spec.gpu.sku)
    if gpu is None:
        return False
    visible = least_visible_mib(gpu, world.nodes) or gpu.visible_mib
    recorded = (present.inputs.operator, present.inputs.catalog, present.inputs.visible_mib)
    return recorded == (__version__, catalog.fingerprint, visible)


def _plan(spec: VideoLLMDeploymentSpec, catalog: Catalog, world: World) -> DeploymentPlan:
    gpu = catalog.gpu(spec.gpu.sku)
    visible = least_visible_mib(gpu, world.nodes) if gpu else None
    return plan_deployment(spec, catalog, visible_mib=visible)


def _record(
    wanted: str, deployment: VideoLLMDeployment, planned: DeploymentPlan, catalog: Catalog
) -> Record:
    """Today's plan as it would be recorded.

    Raises:
        Refused: if the object cannot be rendered.
    """
    resolved, launch = planned.resolved, planned.launch
    if launch is None:
        msg = "a plan that cannot run is not rendered"
        raise ValueError(msg)
    return Record(
        spec_digest=wanted,
        inputs=Inputs(
            operator=__version__,
            catalog=catalog.fingerprint,
            visible_mib=resolved.visible_mib,
            engine=f"{launch.type} {launch.version}",
            image=launch.image,
        ),
        sizing=sizing_status(planned.plan, 1).model_dump(mode="json", by_alias=True),
        engine={"type": str(launch.type), "version": launch.version, "image": launch.image},
        port=launch.port,
        load_seconds=launch.load_seconds,
        manifests=neutral(render(deployment, planned)),
    )


def _recorded_sizing(record: Record, deployment: VideoLLMDeployment) -> SizingStatus:
    per_replica = int(record.sizing.get("gpusPerReplica", 0))
    return SizingStatus.model_validate(
        {**record.sizing, "totalGPUs": per_replica * deployment.spec.replicas}
    )


def _difference(present: Record, today: Record, planned: DeploymentPlan) -> tuple[str, str]:
    """What today's inputs would change about the layout in force, and whether it is unsafe."""
    if _contents(present) == _contents(today):
        return "", ""
    changed = present.inputs.differences(today.inputs) or "the operator's rendering"
    before, after = present.sizing, today.sizing
    update = f"changed since this layout was accepted: {changed}"
    if before["gpusPerReplica"] != after["gpusPerReplica"]:
        update += (
            f"; it would take {after['gpusPerReplica']} GPUs per replica instead of "
            f"{before['gpusPerReplica']}"
        )
    running = (before["tensorParallelSize"], before["pipelineParallelSize"])
    safe = {(planned.plan.layout.tensor, planned.plan.layout.pipeline)} | {
        (other.layout.tensor, other.layout.pipeline)
        for other in planned.plan.alternatives
        if other.verdict == "Fits"
    }
    more = int(after["gpusPerReplica"]) > int(before["gpusPerReplica"])
    unsafe = (
        f"the running layout has {before['gpusPerReplica']} GPUs per replica, today's plan needs "
        f"{after['gpusPerReplica']}"
        if more and running not in safe
        else ""
    )
    return update, unsafe


def _contents(record: Record) -> list[str]:
    return [digest(content(manifest)) for manifest in record.manifests]
