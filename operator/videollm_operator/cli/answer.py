"""What `videollm plan` found for one object, in the shape that programs get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.cli.exits import ExitCode
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.sizing import sizing_status

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import DeploymentPlan


_BAD_INPUT = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.MODEL_UNKNOWN,
        Reason.GPU_UNKNOWN,
        Reason.ENGINE_VERSION_UNKNOWN,
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
    """

    deployment: VideoLLMDeployment
    planned: DeploymentPlan | None
    problems: tuple[Problem, ...]
    to_apply: bool

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
            return {**head, "fits": False, "problems": [_problem(p) for p in self.problems]}
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
        }


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
    try:
        planned = plan_deployment(deployment.spec, catalog, visible_mib=visible_mib)
        return Answer(deployment, planned, (), to_apply)
    except Refused as refused:
        return Answer(deployment, None, refused.problems, to_apply)
