"""Puts an engine's launch together: what all engines have in common, and the media allow-list."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.engines import env, host, places
from videollm_operator.engines.base import EngineLaunch, Probe
from videollm_operator.engines.text import literal, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.engine import EnvVar
    from videollm_operator.engines.base import Resolved
    from videollm_operator.sizing.types import Plan

NO_DOMAIN = "media.invalid"
"""An allow-list must have an entry: with an empty one vLLM and SGLang fetch any URL (vLLM 0.32
multimodal/media/connector.py, SGLang 0.5.23 utils/common.py). Names under `.invalid` never exist
(RFC 6761), so this one allows nothing."""

_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Probes:
    """The two probes that go on while the engine runs, and the path that is asked at start-up."""

    startup_path: str
    readiness: Probe
    liveness: Probe


def assemble(
    resolved: Resolved,
    spec: VideoLLMDeploymentSpec,
    plan: Plan,
    *,
    command: tuple[str, ...],
    args: Iterable[str],
    variables: Iterable[EnvVar],
    probes: Probes,
    needs: host.Needs,
    expanded_args: tuple[str, ...] = (),
) -> EngineLaunch:
    """The launch of any engine.

    Args:
        resolved: model, GPU and engine.
        spec: the object; its user, groups and image override the engine's.
        plan: the plan; decides sizes and times.
        command: entry point; empty for the image's own.
        args: arguments, meant literally.
        variables: the engine's own variables; those that all share and the user's are added.
        probes: where and how often it is asked.
        needs: what this engine adds to the common sizes.
        expanded_args: further arguments in which Kubernetes shall expand `$(NAME)`.
    """
    entry = resolved.engine
    user = spec.pod_template.security_context
    load_seconds = host.load_seconds(plan, spec, needs)
    return EngineLaunch(
        type=entry.type,
        version=entry.version,
        image=spec.engine.image or entry.image,
        command=command,
        args=(*(literal(word) for word in args), *expanded_args),
        env=(
            env.value("HOME", entry.home),
            env.value("USER", places.USER),
            env.value("HF_HOME", places.HUB_CACHE),
            env.value("HF_HUB_DISABLE_TELEMETRY", "1"),
            env.value("DO_NOT_TRACK", "1"),
            *variables,
            *env.users(spec),
        ),
        port=spec.network.port,
        startup=Probe(
            probes.startup_path,
            period_seconds=host.STARTUP_PERIOD_SECONDS,
            timeout_seconds=5,
            failure_threshold=load_seconds // host.STARTUP_PERIOD_SECONDS,
        ),
        readiness=probes.readiness,
        liveness=probes.liveness,
        shm_mib=host.shm_mib(plan, needs),
        memory_mib=host.memory_mib(plan, spec, needs),
        cpu=host.cpus(plan),
        ephemeral_mib=host.ephemeral_mib(plan, spec, needs),
        load_seconds=load_seconds,
        pre_stop_seconds=host.PRE_STOP_SECONDS,
        termination_grace_seconds=host.grace_seconds(plan, spec),
        run_as_user=_or(user.run_as_user, entry.run_as_user),
        run_as_group=_or(user.run_as_group, entry.run_as_group),
        fs_group=_or(user.fs_group, entry.fs_group),
        home=entry.home,
        cache_path=places.CACHE_PATH,
        cache_mib=host.cache_mib(plan, spec, needs),
        model_mount=places.model_mount(spec),
    )


def domains(spec: VideoLLMDeploymentSpec) -> list[str]:
    """Hosts that media may come from; engines compare lower-case names."""
    return [domain.lower() for domain in spec.network.allowed_media_domains] or [NO_DOMAIN]


def domain_problems(spec: VideoLLMDeploymentSpec) -> tuple[Problem, ...]:
    """Entries of the allow-list that are no host names, and might be read as flags."""
    found = []
    for index, domain in enumerate(spec.network.allowed_media_domains):
        if not _HOST_NAME.fullmatch(domain):
            where = f"spec.network.allowedMediaDomains[{index}]"
            found.append(
                Problem(
                    Reason.INVALID_SPEC,
                    f"`{where}` is '{short(domain)}', which is not a host name: write it as in a "
                    "URL, such as 'media.example.com'",
                    where,
                )
            )
    return tuple(found)


def compact_json(value: object) -> str:
    """JSON without white space, for an argument."""
    return json.dumps(value, separators=(",", ":"))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
