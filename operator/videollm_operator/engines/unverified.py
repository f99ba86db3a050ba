"""Engine versions and images that no table describes: used like their nearest neighbour, and told.

A new release of an engine must not wait for one of the operator. Most of it is as before: its plan,
flags and probes are those of the nearest version below that the catalogue has (of the oldest, if
none is below). What cannot be known that way is said in the condition `EngineUnverified`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.engines.text import listed

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.engine import EngineType
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import EngineEntry


def nearest(catalog: Catalog, kind: EngineType, version: str) -> EngineEntry | None:
    """The entry that stands in for a version; None if the catalogue has no version at all."""
    known = sorted(
        (entry for entry in catalog.engines if entry.type == kind), key=lambda one: one.version_key
    )
    wanted = tuple(int(part) for part in version.split("."))
    below = [entry for entry in known if entry.version_key <= wanted]
    return next(iter([*reversed(below), *known]), None)


def standing_in(catalog: Catalog, kind: EngineType, version: str) -> EngineEntry | None:
    """An entry for a version that the catalogue lacks: its neighbour's, with its own image."""
    neighbour = nearest(catalog, kind, version)
    if neighbour is None:
        return None
    image = neighbour.image.replace(neighbour.version, version)
    return neighbour.model_copy(update={"version": version, "image": image, "default": False})


def unverified(spec: VideoLLMDeploymentSpec, kind: EngineType, catalog: Catalog) -> Problem | None:
    """What is not known of the engine that a spec asks for, or None.

    Args:
        spec: the object.
        kind: the engine that it gets.
        catalog: the versions and images that are known.
    """
    version, image = spec.engine.version, spec.engine.image
    entry = catalog.engine(kind, version)
    neighbour = nearest(catalog, kind, version) if version else None
    if entry is None and neighbour is not None:
        others = [each.version for each in catalog.engines if each.type == kind]
        return Problem(
            Reason.ENGINE_VERSION_UNKNOWN,
            f"{kind} {version} is in no table: it is planned and run like {neighbour.version}, and "
            "what is different in it is found only when it starts. Set `spec.engine.version` to "
            f"{listed(others)}, or add {version} to the catalogue",
            "spec.engine.version",
        )
    if entry is None or version or not image or _name(image) == _name(entry.image):
        return None
    return Problem(
        Reason.ENGINE_IMAGE_UNKNOWN,
        f"nothing says which version of {kind} is in `spec.engine.image` '{image}': it is planned "
        f"and run like {entry.version}. Say the version in `spec.engine.version`",
        "spec.engine.image",
    )


def _name(image: str) -> str:
    """Name and tag, in whatever registry the image lies, with or without its digest."""
    return image.partition("@")[0].rpartition("/")[2]
