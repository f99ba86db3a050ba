"""The layout in force, as it is kept on the StatefulSet (design principle 9).

A plan depends on more than the spec: catalogue, engine default, rendering, memory that nodes
report. When a spec is accepted, everything that followed from it is recorded in an annotation of
the StatefulSet: the rendered children, the plan, and the inputs. While the spec stays the same,
the record decides, not today's inputs; so an operator upgrade or a catalogue edit restarts
nothing. When a later spec is refused, the record is the last good one and stays in force.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.reconcile.projection import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec

FORMAT = 1
"""Version of the annotation's layout; a record of another version is not read."""

_NOT_LAYOUT: dict[str, Any] = {
    "replicas": True,
    "paused": True,
    "rollout": {"progress_deadline_seconds": True, "updates": True},
}


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
    sizing: Mapping[str, Any]
    """`status.sizing` of the plan, for one replica."""
    engine: Mapping[str, Any]
    port: int
    load_seconds: int
    manifests: tuple[Mapping[str, Any], ...]
    """All children, without replicas; owner references name the kind, the uid is put in anew."""

    def encode(self) -> str:
        """The annotation's text."""
        return canonical(
            {
                "format": FORMAT,
                "specDigest": self.spec_digest,
                "inputs": {
                    "operator": self.inputs.operator,
                    "catalog": self.inputs.catalog,
                    "visibleMiB": self.inputs.visible_mib,
                    "engine": self.inputs.engine,
                    "image": self.inputs.image,
                },
                "sizing": self.sizing,
                "engine": self.engine,
                "port": self.port,
                "loadSeconds": self.load_seconds,
                "manifests": list(self.manifests),
            }
        )


def decode(deflated: bytes) -> Record | None:
    """Reads a record as `observe` keeps it; None if there is none that this version can read.

    An edited or foreign annotation counts as none: the next accepted spec writes a new one.
    """
    if not deflated:
        return None
    try:
        raw = json.loads(zlib.decompress(deflated))
        if raw["format"] != FORMAT:
            return None
        inputs = raw["inputs"]
        return Record(
            spec_digest=str(raw["specDigest"]),
            inputs=Inputs(
                operator=str(inputs["operator"]),
                catalog=str(inputs["catalog"]),
                visible_mib=int(inputs["visibleMiB"]),
                engine=str(inputs["engine"]),
                image=str(inputs["image"]),
            ),
            sizing=dict(raw["sizing"]),
            engine=dict(raw["engine"]),
            port=int(raw["port"]),
            load_seconds=int(raw["loadSeconds"]),
            manifests=tuple(dict(manifest) for manifest in raw["manifests"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


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
    return tuple(
        _complete(manifest, record, deployment.metadata.uid, replicas)
        for manifest in record.manifests
    )


def _complete(
    manifest: Mapping[str, Any], record: Record, uid: str, replicas: int
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
    }
    return {
        **manifest,
        "metadata": metadata,
        "spec": {**manifest["spec"], "replicas": replicas},
    }
