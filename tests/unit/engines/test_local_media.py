from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engines.builders import planned, refusal
from videollm_operator.api.reasons import Reason


def asked(folder: str, *mounts: str) -> dict[str, Any]:
    template = {
        "extraVolumes": [{"name": "media", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "media", "mountPath": mount} for mount in mounts],
    }
    items = [f"--allowed_local_media_path={folder}"]
    return {"engine": {"type": "VLLM", "extraArgs": items}, "podTemplate": template}


@pytest.mark.parametrize(
    ("folder", "mount"),
    [("/videos", "/videos"), ("/videos/in/", "/videos"), ("/videos", "/videos/"), ("", "/x")],
)
def test_a_folder_of_a_volume_is_taken(folder: str, mount: str) -> None:
    launch = planned(**asked(folder, "/other", mount)).launch
    assert launch is not None
    assert f"--allowed-local-media-path={folder}" in launch.args


@pytest.mark.parametrize(
    "folder", ["/", "/proc", "/videos2", "/videos/../proc", "videos", "/model"]
)
def test_a_folder_of_the_container_is_refused(folder: str) -> None:
    problem = refusal(**asked(folder, "/videos"))
    assert (problem.reason, problem.field) == (Reason.ARGUMENT_REFUSED, "spec.engine.extraArgs")
    assert f"the folder '{folder}'" in problem.message


def test_without_the_flag_no_mount_is_wanted() -> None:
    assert planned(engine={"type": "VLLM", "extraArgs": ["--seed=1"]}).launch is not None
