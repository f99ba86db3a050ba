"""Volumes of a pod: scratch, cache, weights, and what the user adds."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api.v1alpha1.operations import AccessMode, CacheType, Retain
from videollm_operator.render.freeform import amount, canonical, refuse
from videollm_operator.render.quantity import mib

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.engines.base import EngineLaunch

SHM, TMP, HOME, CACHE, MODEL = "shm", "tmp", "home", "cache", "model"
OWN_VOLUMES = frozenset({SHM, TMP, HOME, CACHE, MODEL})
"""Names of our volumes; reserved also where one is not needed."""

AUTO = "Auto"

_SIZE = "spec.cache.size"
_VOLUMES = "spec.podTemplate.extraVolumes"
_MOUNTS = "spec.podTemplate.extraVolumeMounts"


@dataclass(frozen=True, slots=True)
class Claim:
    """The cache volume, where it is one."""

    size: str
    access_mode: str
    storage_class: str
    shared: bool
    """One claim for all replicas; otherwise each replica has its own."""
    retained: bool


@dataclass(frozen=True, slots=True)
class Storage:
    """Everything about volumes in one pod template."""

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    claim: Claim | None


def storage(spec: VideoLLMDeploymentSpec, launch: EngineLaunch, claim_name: str) -> Storage:
    """Volumes and mounts of a pod.

    Args:
        spec: the object's spec.
        launch: what the engine needs.
        claim_name: name of a cache claim that all replicas share.

    Raises:
        Refused: for further volumes or mounts that collide with ours.
    """
    claim = _claim(spec, launch)
    paths = {
        SHM: "/dev/shm",  # noqa: S108 - a place in the container, no temporary file
        TMP: "/tmp",  # noqa: S108 - a place in the container, no temporary file
        HOME: launch.home,
        CACHE: launch.cache_path,
    }
    volumes = [
        {"name": SHM, "emptyDir": {"medium": "Memory", "sizeLimit": mib(launch.shm_mib)}},
        {"name": TMP, "emptyDir": {}},
        *_cache(spec, claim, claim_name),
    ]
    if launch.home == launch.cache_path:
        del paths[HOME]
    else:
        volumes.append({"name": HOME, "emptyDir": {}})
    mounts: list[dict[str, Any]] = [
        {"name": name, "mountPath": path} for name, path in paths.items()
    ]
    if launch.model_mount:
        volumes.append(_model(spec))
        mounts.append({"name": MODEL, "mountPath": launch.model_mount, "readOnly": True})
    return Storage(
        volumes=[*volumes, *_extra_volumes(spec)],
        mounts=[*mounts, *_extra_mounts(spec, mounts)],
        claim=claim,
    )


def _claim(spec: VideoLLMDeploymentSpec, launch: EngineLaunch) -> Claim | None:
    """The cache as a claim; None if it is an emptyDir."""
    cache = spec.cache
    downloads = not launch.model_mount
    if cache.type is CacheType.PERSISTENT_VOLUME_CLAIM or (
        cache.type is CacheType.AUTO and downloads
    ):
        return Claim(
            size=mib(launch.cache_mib) if cache.size == AUTO else amount(cache.size, _SIZE),
            access_mode=cache.access_mode,
            storage_class=cache.storage_class_name,
            shared=cache.access_mode is AccessMode.READ_WRITE_MANY,
            retained=cache.retain is Retain.RETAIN,
        )
    return None


def _cache(
    spec: VideoLLMDeploymentSpec, claim: Claim | None, claim_name: str
) -> list[dict[str, Any]]:
    """The cache's volume; none where the StatefulSet makes one for each replica."""
    if claim is None:
        size = spec.cache.size
        limit = {} if size == AUTO else {"sizeLimit": amount(size, _SIZE)}
        return [{"name": CACHE, "emptyDir": limit}]
    if claim.shared:
        return [{"name": CACHE, "persistentVolumeClaim": {"claimName": claim_name}}]
    return []


def _model(spec: VideoLLMDeploymentSpec) -> dict[str, Any]:
    """The volume with the weights, for sources other than the hub."""
    claim, image = spec.model.source.persistent_volume_claim, spec.model.source.image
    if claim is not None:
        source = {"claimName": claim.claim_name, "readOnly": True}
        return {"name": MODEL, "persistentVolumeClaim": source}
    return {"name": MODEL, "image": {"reference": image.reference if image else ""}}


def _extra_volumes(spec: VideoLLMDeploymentSpec) -> list[dict[str, Any]]:
    extra = []
    for index, volume in enumerate(spec.pod_template.extra_volumes):
        if volume.name in OWN_VOLUMES:
            raise refuse(
                f"{_VOLUMES}[{index}].name",
                f"must not be '{volume.name}': that volume is the operator's own; choose another "
                "name",
            )
        extra.append(_with({"name": volume.name}, volume.model_extra, f"{_VOLUMES}[{index}]"))
    return sorted(extra, key=lambda volume: str(volume["name"]))


def _extra_mounts(
    spec: VideoLLMDeploymentSpec, own: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    extra = []
    for index, mount in enumerate(spec.pod_template.extra_volume_mounts):
        for mine in own:
            _keep_apart(f"{_MOUNTS}[{index}].mountPath", mount.mount_path, mine)
        named = {"name": mount.name, "mountPath": mount.mount_path}
        extra.append(_with(named, mount.model_extra, f"{_MOUNTS}[{index}]"))
    return sorted(extra, key=lambda mount: str(mount["mountPath"]))


def _with(named: Mapping[str, Any], more: Mapping[str, Any] | None, field: str) -> dict[str, Any]:
    """What we know of a volume or mount, and the rest as it is written in a pod."""
    return {**named, **canonical(more or {}, field), **named}


def _keep_apart(field: str, theirs: str, mine: Mapping[str, Any]) -> None:
    """Refuses a mount that would hide one of ours, or would lie inside the read-only weights."""
    path, own = _folder(theirs), _folder(mine["mountPath"])
    if own.startswith(path):
        raise refuse(
            field,
            f"must not hide '{mine['mountPath']}', which the operator mounts: choose another path",
        )
    if mine.get("readOnly") and path.startswith(own):
        raise refuse(
            field,
            f"must not lie inside '{mine['mountPath']}', where the weights are mounted read-only: "
            "choose another path",
        )


def _folder(path: str) -> str:
    """`path` without detours, with one slash at its end."""
    plain = posixpath.normpath("/" + path.lstrip("/"))
    return plain if plain == "/" else f"{plain}/"
