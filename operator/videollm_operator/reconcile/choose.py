"""Which layout is in force: today's plan, or the record of an earlier one (design principle 9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from videollm_operator import __version__
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.api.v1alpha1.status import EngineStatus
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.engines.unverified import unverified
from videollm_operator.reconcile.decision import Decision, Offer
from videollm_operator.reconcile.nodes import least_visible_mib
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Inputs, OtherFormat, Record, neutral, spec_digest
from videollm_operator.render.manifests import render
from videollm_operator.render.metadata import MAX_ANNOTATIONS
from videollm_operator.sizing import Verdict, sizing_status
from videollm_operator.sizing.text import count

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.status import SizingStatus
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import DeploymentPlan, EngineLaunch
    from videollm_operator.reconcile.world import World

MAX_RECORD = MAX_ANNOTATIONS - 16 * 1024
"""Bytes of the record; other programs annotate the StatefulSet too."""

_OUT_OF_MEMORY = frozenset({Reason.DOES_NOT_FIT, Reason.NEEDS_SEVERAL_NODES})
"""Refusals that say that memory is lacking, not that something is unknown."""


@dataclass(frozen=True, slots=True)
class _Today:
    """What today's inputs make of the spec: a layout, or why there is none."""

    record: Record | None = None
    sizing: SizingStatus | None = None
    refusals: tuple[Problem, ...] = ()
    tight_mib: int = 0
    """The safety margin, if the layout fits only without it."""


def choose(
    world: World,
    deployment: VideoLLMDeployment,
    present: Record | OtherFormat | None,
    catalog: Catalog,
) -> Decision:
    """Today's plan or the recorded one.

    Args:
        world: for the memory that nodes report.
        deployment: the object.
        present: what is recorded on its StatefulSet.
        catalog: models, GPUs and engines.
    """
    wanted = spec_digest(deployment.spec)
    decision = _chosen(world, deployment, present, catalog, wanted)
    record = decision.record
    if record is None or record.spec_digest != wanted:
        return decision
    kind = EngineType(record.engine.type)
    return replace(decision, unverified=unverified(deployment.spec, kind, catalog))


def _chosen(
    world: World,
    deployment: VideoLLMDeployment,
    present: Record | OtherFormat | None,
    catalog: Catalog,
    wanted: str,
) -> Decision:
    same_spec = present is not None and present.spec_digest == wanted
    if isinstance(present, OtherFormat):
        if same_spec:
            return _kept_unread(deployment, present)
        present = None
    if present is not None and same_spec:
        if _same_inputs(present, deployment.spec, catalog, world):
            return Decision(deployment, record=present)
        return _kept(present, deployment, catalog, world)
    today = _today(wanted, deployment, catalog, world)
    return Decision(
        deployment,
        refusals=today.refusals,
        sizing=today.sizing,
        sizing_refused=today.sizing is None,
        record=today.record or present,
    )


def _kept_unread(deployment: VideoLLMDeployment, present: OtherFormat) -> Decision:
    """A downgraded operator leaves a layout alone that it cannot read."""
    return Decision(
        deployment,
        update=f"the running layout was recorded by another version of the operator (format "
        f"{present.format}), and this version, {__version__}, cannot read it; it stays as it is, "
        "and of its children only the replicas are looked after: set a new "
        "`spec.rollout.restartToken` to plan it anew",
    )


def _kept(
    present: Record, deployment: VideoLLMDeployment, catalog: Catalog, world: World
) -> Decision:
    """The recorded layout stays; what today's inputs would change about it is told."""
    today = _today(present.spec_digest, deployment, catalog, world)
    offer = None
    if today.record is None:
        update = (
            "by what is known today this object would be refused; the running layout stays as "
            f"long as the spec does: {today.refusals[0].message}"
        )
    elif _contents(present) == _contents(today.record):
        return Decision(deployment, record=present, memory=_other_memory(present, today.record))
    else:
        offer = _offer(present, today.record, today.tight_mib)
        update = f"changed since this layout was accepted: {offer.what}"
    unsafe = _lack_of_memory(present, deployment.spec, catalog, world)
    return Decision(deployment, record=present, update=update, unsafe=unsafe, offer=offer)


def _other_memory(present: Record, today: Record) -> str:
    """What nodes report now, where it differs from what the layout counted and changes nothing."""
    counted, visible = present.inputs.visible_mib, today.inputs.visible_mib
    if counted == visible:
        return ""
    return (
        f"By what nodes report now, CUDA shows {visible} MiB of a GPU instead of the {counted} MiB "
        "that were counted; the layout is the same with it."
    )


def _same_inputs(
    present: Record, spec: VideoLLMDeploymentSpec, catalog: Catalog, world: World
) -> bool:
    """Whether today's plan must be the recorded one: then it need not be made again."""
    gpu = catalog.gpu(spec.gpu.sku)
    if gpu is None:
        return False
    visible = least_visible_mib(gpu, world.nodes) or gpu.visible_mib
    recorded = (present.inputs.operator, present.inputs.catalog, present.inputs.visible_mib)
    return recorded == (__version__, catalog.fingerprint, visible)


def _plan(spec: VideoLLMDeploymentSpec, catalog: Catalog, world: World) -> DeploymentPlan:
    gpu = catalog.gpu(spec.gpu.sku)
    visible = least_visible_mib(gpu, world.nodes) if gpu else None
    return plan_deployment(spec, catalog, visible_mib=visible)


def _today(wanted: str, deployment: VideoLLMDeployment, catalog: Catalog, world: World) -> _Today:
    try:
        planned = _plan(deployment.spec, catalog, world)
    except Refused as refused:
        return _Today(refusals=refused.problems)
    sizing = sizing_status(planned.plan, deployment.spec.replicas)
    if planned.launch is None:
        return _Today(sizing=sizing, refusals=tuple(filter(None, (planned.not_runnable,))))
    try:
        record = _record(wanted, deployment, planned, planned.launch, catalog)
    except Refused as refused:
        return _Today(sizing=sizing, refusals=refused.problems)
    tight = planned.plan.verdict is not Verdict.FITS
    return _Today(record, sizing, tight_mib=planned.plan.margin_mib if tight else 0)


def _record(
    wanted: str,
    deployment: VideoLLMDeployment,
    planned: DeploymentPlan,
    launch: EngineLaunch,
    catalog: Catalog,
) -> Record:
    """Today's plan as it would be recorded.

    Raises:
        Refused: if the object cannot be rendered, or is too large to be recorded.
    """
    record = Record(
        spec_digest=wanted,
        inputs=Inputs(
            operator=__version__,
            catalog=catalog.fingerprint,
            visible_mib=planned.resolved.visible_mib,
            engine=f"{launch.type} {launch.version}",
            image=launch.image,
        ),
        sizing=sizing_status(planned.plan, 1),
        engine=EngineStatus(type=launch.type, version=launch.version, image=launch.image),
        port=launch.port,
        load_seconds=launch.load_seconds,
        manifests=neutral(render(deployment, planned)),
    )
    size = len(record.encode().encode())
    if size > MAX_RECORD:
        raise Refused(
            Problem(
                Reason.INVALID_SPEC,
                f"the children of this object take {size} bytes together, but must not exceed "
                f"{MAX_RECORD}, because they are recorded in an annotation: shorten "
                "`spec.podTemplate`, `spec.scheduling` or `spec.engine.env`",
                "spec.podTemplate",
            )
        )
    return record


def _contents(record: Record) -> list[str]:
    return [digest(content(manifest)) for manifest in record.manifests]


def _offer(present: Record, today: Record, tight_mib: int) -> Offer:
    """What today's inputs would change about the layout in force."""
    changed = present.inputs.differences(today.inputs) or "the operator's rendering"
    before, after = present.sizing.gpus_per_replica, today.sizing.gpus_per_replica
    gpus = (
        f"; today it would take {count(after, 'GPU')} per replica instead of {before}"
        if before != after
        else ""
    )
    obstacle = ""
    if after > before:
        obstacle = "it takes more GPUs"
    elif tight_mib:
        obstacle = f"today's layout fits only without its safety margin of {tight_mib} MiB"
    return Offer(today, f"{changed}{gpus}", obstacle)


def _lack_of_memory(
    present: Record, spec: VideoLLMDeploymentSpec, catalog: Catalog, world: World
) -> str:
    """Why the running layout, on the engine that it runs on, lacks memory by what is known today.

    Empty if it does not, and if that cannot be told (the engine's version is not known any more).
    """
    running = present.sizing
    pinned = spec.model_copy(
        update={
            "parallelism": present.parallelism,
            "gpu": spec.gpu.model_copy(update={"per_replica": None}),
            "engine": spec.engine.model_copy(
                update={"type": present.engine.type, "version": present.engine.version}
            ),
        }
    )
    layout = (
        f"the running layout, TP{running.tensor_parallel_size} x PP"
        f"{running.pipeline_parallel_size} on {count(running.gpus_per_replica, 'GPU')},"
    )
    try:
        plan = _plan(pinned, catalog, world).plan
    except Refused as refused:
        problem = refused.problems[0]
        return (
            f"{layout} would be refused today: {problem.message}"
            if problem.reason in _OUT_OF_MEMORY
            else ""
        )
    risk_was_chosen = spec.parallelism.strategy is ParallelismStrategy.MANUAL
    if plan.verdict is Verdict.FITS or risk_was_chosen:
        return ""
    return f"{layout} fits today only without its safety margin of {plan.margin_mib} MiB"
