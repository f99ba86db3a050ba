"""What `videollm plan` found for one object, in the shape that programs get."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.cli.exits import ExitCode
from videollm_operator.engines.deployment import plan_deployment, sizing_request
from videollm_operator.engines.select import resolve
from videollm_operator.sizing import capacity, several_nodes, sizing_status

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import DeploymentPlan
    from videollm_operator.sizing import Capacity, Plan
    from videollm_operator.sizing.capacity import Most


_BAD_INPUT = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.MODEL_UNKNOWN,
        Reason.GPU_UNKNOWN,
        Reason.ARGUMENT_REFUSED,
        Reason.ENV_REFUSED,
    }
)
"""Refusals that say nothing about memory or engines: a name or argument is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A plan, or why there is none.

    Attributes:
        deployment: what was asked.
        planned: the plan; None if there is none.
        problems: why there is none.
        to_apply: whether it was asked as an object that is about to be applied, not as a question
            about a model.
        most: the most that so many GPUs hold; None if there is neither a plan nor a fixed count.
        several_nodes: the plan over several nodes that would fit, where that is the refusal.
    """

    deployment: VideoLLMDeployment
    planned: DeploymentPlan | None
    problems: tuple[Problem, ...]
    to_apply: bool
    most: Capacity | None = None
    several_nodes: Plan | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Fits, does not, or was asked for something that is not there.

        An object that fits, but that the operator would refuse since no released engine runs it,
        must not pass a pipeline; a question about a model is answered all the same.
        """
        if self.planned:
            refused = self.to_apply and self.planned.not_runnable is not None
            return ExitCode.DOES_NOT_FIT if refused else ExitCode.FITS
        if self.problems[0].reason in _BAD_INPUT:
            return ExitCode.BAD_INPUT
        return ExitCode.DOES_NOT_FIT

    def as_json(self) -> dict[str, Any]:
        """For programs; `sizing` is the same object as `status.sizing`."""
        spec = self.deployment.spec
        head = {
            "name": self.deployment.metadata.name,
            "model": spec.model.name,
            "gpu": spec.gpu.sku,
        }
        if self.planned is None:
            refused = [_problem(problem) for problem in self.problems]
            several = self._several_nodes(spec.replicas)
            return {**head, "fits": False, "problems": refused, **several, **self._most()}
        sizing = sizing_status(self.planned.plan, spec.replicas)
        engine = self.planned.resolved.engine
        launch = self.planned.launch
        return {
            **head,
            "fits": True,
            "runnable": self.planned.not_runnable is None,
            "problems": [_problem(p) for p in (self.planned.not_runnable,) if p],
            "warnings": list(self.planned.warnings),
            "engine": {
                "type": str(engine.type),
                "version": engine.version,
                "image": launch.image if launch else engine.image,
                "args": list(launch.args) if launch else [],
            },
            "sizing": sizing.model_dump(mode="json", by_alias=True),
            **self._most(),
            "forbidden": [asdict(each) for each in self.planned.plan.forbidden],
        }

    def _several_nodes(self, replicas: int) -> dict[str, Any]:
        """A plan that no version renders yet; `sizing` as of a plan inside a node."""
        plan = self.several_nodes
        if plan is None:
            return {}
        found = {
            "gpus": plan.layout.gpus,
            "tensor": plan.layout.tensor,
            "pipeline": plan.layout.pipeline,
            "nodes": plan.nodes,
            "rendered": False,
            "verdict": str(plan.verdict),
            "gpuMemoryUtilization": plan.gpu_memory_utilization,
            "sizing": sizing_status(plan, replicas).model_dump(mode="json", by_alias=True),
        }
        return {"severalNodes": found}

    def _most(self) -> dict[str, Any]:
        """The other direction: each number alone, all others as asked."""
        if self.most is None:
            return {}
        found = {
            "gpus": self.most.gpus,
            "framesPerVideo": _limit(self.most.frames_per_video),
            "concurrentRequests": _limit(self.most.concurrent_requests),
            "maxModelLen": _limit(self.most.context),
        }
        return {"capacity": found}


def _limit(most: Most) -> dict[str, Any]:
    return {"most": most.value, "limitedBy": str(most.limit)}


def _problem(problem: Problem) -> dict[str, str]:
    return {"reason": str(problem.reason), "field": problem.field, "message": problem.message}


def answer(
    deployment: VideoLLMDeployment,
    catalog: Catalog,
    *,
    to_apply: bool,
    visible_mib: int | None = None,
) -> Answer:
    """Plans one object.

    Args:
        deployment: the object.
        catalog: models, GPUs and engines.
        to_apply: see `Answer`.
        visible_mib: CUDA-visible memory of the GPUs by what nodes report; None: as in the table.
    """
    spec = deployment.spec
    try:
        planned = plan_deployment(spec, catalog, visible_mib=visible_mib)
    except Refused as refused:
        most = None
        if refused.problems[0].reason is Reason.DOES_NOT_FIT:
            most = _held_by_fixed_count(spec, catalog, visible_mib)
        several = None
        if refused.problems[0].reason is Reason.NEEDS_SEVERAL_NODES:
            resolved = resolve(spec, catalog, visible_mib)
            several = several_nodes(sizing_request(spec, resolved, catalog))
        return Answer(deployment, None, refused.problems, to_apply, most, several)
    request = sizing_request(spec, planned.resolved, catalog)
    return Answer(deployment, planned, (), to_apply, capacity(request, planned.plan.layout.gpus))


def _held_by_fixed_count(
    spec: VideoLLMDeploymentSpec, catalog: Catalog, visible_mib: int | None
) -> Capacity | None:
    """What the GPUs hold that the object asks for by number; None if it leaves that to the plan."""
    named = spec.parallelism
    gpus = spec.gpu.per_replica or (named.tensor or 0) * (named.pipeline or 1)
    if not gpus:
        return None
    resolved = resolve(spec, catalog, visible_mib)
    return capacity(sizing_request(spec, resolved, catalog), gpus)
