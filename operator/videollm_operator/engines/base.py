"""What every engine module answers, and the values that carry the answers to rendering.

An engine is one module that knows: what can I serve, how do I spend memory, and which command,
arguments, environment, probes and times does a plan mean for me.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.api.problem import Problem
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.compute import DType
    from videollm_operator.api.v1alpha1.engine import EngineType, EnvVar
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry
    from videollm_operator.catalog.flags import FlagTable
    from videollm_operator.sizing.types import EngineBudget, Plan


CATALOGUE = "catalogue"
"""`ModelFacts.described_by` of a model whose own entry was found."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model of one object, whoever described it: catalogue, `base` or `architecture`."""

    name: str
    """Hub id, or what the user called it."""
    served_name: str
    architecture: Architecture
    checkpoint_dtype: DType
    nominal_parameters: int
    described_by: str
    """"catalogue", "base <name>" or "spec.model.architecture"; for the explanation."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An HTTP probe of the engine's container."""

    path: str
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class EngineLaunch:
    """How the engine's container runs one plan. Everything a pod template needs of an engine."""

    type: EngineType
    version: str
    image: str
    command: tuple[str, ...]
    """Empty: the image's own entry point."""
    args: tuple[str, ...]
    """As the container gets them: a literal `$` is doubled, because Kubernetes expands `$(NAME)`
    in arguments and values (`text.literal`)."""
    env: tuple[EnvVar, ...]
    port: int
    startup: Probe
    readiness: Probe
    liveness: Probe
    shm_mib: int
    memory_mib: int
    """Host memory request and limit, /dev/shm and CPU offload included."""
    cpu: int
    ephemeral_mib: int
    load_seconds: int
    """Pessimistic time to load; the start-up probe and the progress deadline follow from it."""
    pre_stop_seconds: int
    termination_grace_seconds: int
    run_as_user: int
    run_as_group: int
    fs_group: int
    home: str
    cache_path: str
    """Where the cache volume is mounted (hub cache and compile cache)."""
    cache_mib: int
    """Size of a cache volume that holds the weights, where they are downloaded."""
    model_mount: str = ""
    """Where the whole volume with the weights must be mounted read-only; empty for the hub."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Model, GPU and engine of one object, looked up and checked against each other."""

    model: ModelFacts
    gpu: GPUEntry
    visible_mib: int
    engine: EngineEntry
    flags: FlagTable
    budget: EngineBudget
    not_runnable: Problem | None
    """Set when the plan can be computed but released software cannot run it (yet)."""


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """Everything that follows from a spec: what is rendered, and what status reports."""

    resolved: Resolved
    plan: Plan
    launch: EngineLaunch | None
    """None exactly if `not_runnable` is set."""
    warnings: tuple[str, ...] = field(default=())

    @property
    def not_runnable(self) -> Problem | None:
        """Why the operator must not run this, though it can be planned."""
        return self.resolved.not_runnable


class Engine(Protocol):
    """One inference engine."""

    @property
    def type(self) -> EngineType:
        """Which one."""
        ...

    def supports(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, gpu: GPUEntry, entry: EngineEntry
    ) -> Problem | None:
        """Why this engine cannot serve this object at all, or None. Names the way out."""
        ...

    def not_runnable(self, model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
        """Why the plan can be computed but not be run by released software, or None."""
        ...

    def dtype(self, spec: VideoLLMDeploymentSpec) -> DType:
        """The number format to plan with: the spec's, or the only one that the engine has."""
        ...

    def budget(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, entry: EngineEntry
    ) -> EngineBudget:
        """How it would spend memory for this model."""
        ...

    def check_extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> tuple[Problem, ...]:
        """What is wrong with `spec.engine.extraArgs` and `env`; empty if nothing is."""
        ...

    def warnings(self, resolved: Resolved, spec: VideoLLMDeploymentSpec) -> tuple[str, ...]:
        """What a user should know though nothing is refused; one sentence each."""
        ...

    def launch(
        self,
        resolved: Resolved,
        spec: VideoLLMDeploymentSpec,
        plan: Plan,
    ) -> EngineLaunch:
        """Command, arguments and the rest for a plan.

        Raises:
            Refused: for extra arguments or environment that it cannot honour.
        """
        ...
