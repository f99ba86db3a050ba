"""`--allowed-local-media-path` of vLLM: a folder whose files any client may have read.

The parser does not look at it. A folder that is missing ends the engine at its start; one of the
image's own, `/` or `/proc` say, would let a request read what lies there, an API key included. So
it must lie on a volume that the object mounts for it.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.engines.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec

FLAG = "--allowed-local-media-path"


def problems(spec: VideoLLMDeploymentSpec, args: Sequence[str]) -> tuple[Problem, ...]:
    """What is wrong with the folder that the checked extra arguments name, if they name one.

    Args:
        spec: the object, for its mounts.
        args: its extra arguments as they are rendered, values joined by `=`.
    """
    folders = [word.partition("=")[2] for word in args if word.startswith(f"{FLAG}=")]
    mounts = [mount.mount_path for mount in spec.pod_template.extra_volume_mounts]
    return tuple(
        Problem(
            Reason.ARGUMENT_REFUSED,
            f"`spec.engine.extraArgs` gives {FLAG} the folder '{short(folder)}', which no volume "
            "of yours is mounted at: requests could read the container's own files, or the folder "
            "would be missing. Mount one in `spec.podTemplate.extraVolumes` and "
            "`extraVolumeMounts`, and name it",
            "spec.engine.extraArgs",
        )
        for folder in folders
        if folder and not any(_within(folder, mount) for mount in mounts)
    )


def _within(folder: str, mount: str) -> bool:
    """Whether a folder is a mount, or below it."""
    inner, outer = (f"{posixpath.normpath(path)}/".replace("//", "/") for path in (folder, mount))
    return inner.startswith(outer)
