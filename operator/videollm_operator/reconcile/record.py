"""The layout in force, as it is kept on the StatefulSet (design principle 9).

A plan depends on more than the spec: catalogue, engine default, rendering, memory that nodes
report. When a spec is accepted, everything that followed from it is recorded in an annotation of
the StatefulSet: the rendered children, the plan, and the inputs. While the spec stays the same,
the record decides, not today's inputs; so an operator upgrade or a catalogue edit restarts
nothing. When a later spec is refused, the record is the last good one and stays in force.

The annotation lies where others can edit it. A checksum tells an edited record from a true one,
and only children that a deployment of this name has are ever taken from a record.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.api.v1alpha1.compute import ParallelismSpec, ParallelismStrategy
from videollm_operator.api.v1alpha1.status import EngineStatus, SizingStatus
from videollm_operator.reconcile.projection import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec

FORMAT = 1
"""Version of the annotation's layout; every version has `format`, `specDigest` and `checksum`."""

MAX_PORT = 65535
MAX_LOAD_SECONDS = 7 * 24 * 3600
"""More than any engine takes; a larger number is no time."""

_NOT_LAYOUT: dict[str, Any] = {
    "replicas": True,
    "paused": True,
    "rollout": {"progress_deadline_seconds": True, "updates": True},
}

_KINDS = frozenset(
    {"ServiceAccount", "Service", "PersistentVolumeClaim", "StatefulSet", "PodDisruptionBudget"}
)
"""What this version writes. Others in a record are a later version's, and left as they are."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a plan was made from besides the spec; shown when today's differ."""

    operator: str
    catalog: str
    """Fingerprint of the catalogue."""
    visible_mib: int
    engine: str
    image: str

    def differences(self, today: Inputs) -> str:
        """What changed since, for people; empty if nothing did."""
        pairs = (
            ("operator", self.operator, today.operator),
            ("engine", self.engine, today.engine),
            ("image", self.image, today.image),
            ("memory per GPU", f"{self.visible_mib} MiB", f"{today.visible_mib} MiB"),
        )
        changed = [f"{what} {old} -> {new}" for what, old, new in pairs if old != new]
        if not changed and self.catalog != today.catalog:
            changed = ["the catalogue's entries for this model, GPU or engine"]
        return ", ".join(changed)


@dataclass(frozen=True, slots=True)
class Record:
    """What is in force."""

    spec_digest: str
    inputs: Inputs
    sizing: SizingStatus
    """`status.sizing` of the plan, for one replica."""
    engine: EngineStatus
    port: int
    load_seconds: int
    manifests: tuple[Mapping[str, Any], ...]
    """All children, without replicas; owner references name the kind, the uid is put in anew."""

    def encode(self) -> str:
        """The annotation's text."""
        body = {
            "format": FORMAT,
            "specDigest": self.spec_digest,
            "inputs": {
                "operator": self.inputs.operator,
                "catalog": self.inputs.catalog,
                "visibleMiB": self.inputs.visible_mib,
                "engine": self.inputs.engine,
                "image": self.inputs.image,
            },
            "sizing": self.sizing.model_dump(mode="json", by_alias=True),
            "engine": self.engine.model_dump(mode="json", by_alias=True),
            "port": self.port,
            "loadSeconds": self.load_seconds,
            "manifests": list(self.manifests),
        }
        return canonical({**body, "checksum": digest(body)})

    @property
    def parallelism(self) -> ParallelismSpec:
        """The layout as a user would ask for it."""
        return ParallelismSpec(
            strategy=ParallelismStrategy.MANUAL,
            tensor=self.sizing.tensor_parallel_size,
            pipeline=self.sizing.pipeline_parallel_size,
        )

    def sizing_of(self, replicas: int) -> SizingStatus:
        """`status.sizing` for so many replicas."""
        return for_replicas(self.sizing, replicas)


def for_replicas(sizing: SizingStatus, replicas: int) -> SizingStatus:
    """The same plan for so many replicas."""
    return sizing.model_copy(update={"total_gpus": sizing.gpus_per_replica * replicas})


@dataclass(frozen=True, slots=True)
class OtherFormat:
    """A record that another version of the operator wrote, and that this one cannot read."""

    format: int
    spec_digest: str


def decode(deflated: bytes) -> Record | OtherFormat | None:
    """Reads a record as `observe` keeps it; None if there is none, or it was edited.

    An edited annotation counts as none: what would be written today takes its place.
    """
    if not deflated:
        return None
    try:
        body = json.loads(zlib.decompress(deflated))
        if body.pop("checksum") != digest(body):
            return None
        if body["format"] != FORMAT:
            return OtherFormat(int(body["format"]), str(body["specDigest"]))
        return _read(body)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _read(body: Mapping[str, Any]) -> Record:
    """A record from the annotation's JSON.

    Raises:
        KeyError, TypeError, ValueError: if that is not what `encode` writes.
    """
    inputs = body["inputs"]
    record = Record(
        spec_digest=str(body["specDigest"]),
        inputs=Inputs(
            operator=str(inputs["operator"]),
            catalog=str(inputs["catalog"]),
            visible_mib=int(inputs["visibleMiB"]),
            engine=str(inputs["engine"]),
            image=str(inputs["image"]),
        ),
        sizing=SizingStatus.model_validate(body["sizing"]),
        engine=EngineStatus.model_validate(body["engine"]),
        port=int(body["port"]),
        load_seconds=int(body["loadSeconds"]),
        manifests=tuple(_manifest(manifest) for manifest in body["manifests"]),
    )
    record.parallelism  # noqa: B018 - raises for sizes that no layout has
    if not (0 < record.port <= MAX_PORT and 0 <= record.load_seconds <= MAX_LOAD_SECONDS):
        raise ValueError("this is no port, or no time")
    return record


def _manifest(raw: Any) -> Mapping[str, Any]:
    """A recorded child, if it has the parts that are relied upon.

    Raises:
        KeyError, TypeError: if it does not.
    """
    metadata = raw["metadata"]
    words = (raw["kind"], metadata["name"], metadata["namespace"])
    maps = (raw, metadata, raw.get("spec", {}), metadata.get("annotations", {}))
    owners = metadata.get("ownerReferences", [])
    if (
        not all(isinstance(word, str) for word in words)
        or not all(isinstance(part, dict) for part in (*maps, *owners))
        or (raw["kind"] == "StatefulSet" and "spec" not in raw)
    ):
        raise TypeError("this is no manifest")
    return dict(raw)


def spec_digest(spec: VideoLLMDeploymentSpec) -> str:
    """Fingerprint of everything in a spec that makes a layout: not replicas, not paused.

    Defaults are left out, so that a field added by a later version changes no fingerprint.
    """
    said = spec.model_dump(mode="json", by_alias=True, exclude=_NOT_LAYOUT, exclude_defaults=True)
    # A section that only holds what makes no layout is as good as none.
    return digest({section: value for section, value in said.items() if value != {}})


def neutral(manifests: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    """Rendered children as they are recorded: without replicas."""
    return tuple(_without_replicas(manifest) for manifest in manifests)


def _without_replicas(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    if manifest["kind"] != "StatefulSet":
        return manifest
    spec = {key: value for key, value in manifest["spec"].items() if key != "replicas"}
    return {**manifest, "spec": spec}


def children_in_force(
    record: Record, deployment: VideoLLMDeployment, replicas: int
) -> tuple[Mapping[str, Any], ...]:
    """The children as they must be now: recorded content, current owner, replicas and record."""
    metadata = deployment.metadata
    return in_force(
        record,
        {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        replicas,
    )


def in_force(
    record: Record, owner: Mapping[str, Any], replicas: int, taking_up: str = ""
) -> tuple[Mapping[str, Any], ...]:
    """`children_in_force`, also for a deployment that cannot be read.

    Args:
        record: what is in force.
        owner: the deployment's metadata.
        replicas: how many.
        taking_up: what is being taken up by itself; see `reconcile.updates`.
    """
    return tuple(
        _complete(manifest, record, owner.get("uid", ""), replicas, taking_up)
        for manifest in record.manifests
        if _is_ours(manifest, owner)
    )


def _is_ours(manifest: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Whether a deployment of this name has such a child; a forged record may name any object."""
    metadata = manifest["metadata"]
    return (
        manifest["kind"] in _KINDS
        and metadata["name"] in names.child_names(owner["name"])
        and metadata["namespace"] == owner.get("namespace", metadata["namespace"])
    )


def _complete(
    manifest: Mapping[str, Any], record: Record, uid: str, replicas: int, taking_up: str
) -> Mapping[str, Any]:
    metadata = dict(manifest["metadata"])
    if "ownerReferences" in metadata:
        metadata["ownerReferences"] = [
            {**reference, "uid": uid} for reference in metadata["ownerReferences"]
        ]
    if manifest["kind"] != "StatefulSet":
        return {**manifest, "metadata": metadata}
    metadata["annotations"] = {
        **metadata.get("annotations", {}),
        names.ANNOTATION_RECORD: record.encode(),
        **({names.ANNOTATION_TAKING_UP: taking_up} if taking_up else {}),
    }
    return {
        **manifest,
        "metadata": metadata,
        "spec": {**manifest["spec"], "replicas": replicas},
    }
