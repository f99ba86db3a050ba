import pytest

from tests.unit.render import builders
from tests.unit.render.builders import launch, of_kind, pod_of
from videollm_operator.api.problem import Refused
from videollm_operator.render.manifests import render
from videollm_operator.render.volumes import storage

LOCAL = {"name": "org/model", "source": {"persistentVolumeClaim": {"claimName": "weights"}}}
IMAGE = {"name": "org/model", "source": {"image": {"reference": "registry/weights@sha256:0"}}}


def stored(run=None, **spec):
    found = storage(builders.deployment(**spec).spec, run or launch(), "llava-cache")
    volumes = {volume.pop("name"): volume for volume in found.volumes}
    mounts = {mount.pop("mountPath"): mount for mount in found.mounts}
    return volumes, mounts, found.claim


def local(**changes):
    return launch(model_mount="/models", **changes)


def test_scratch_is_writable_although_the_root_is_not():
    volumes, mounts, _ = stored()

    assert volumes["shm"] == {"emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    assert volumes["tmp"] == volumes["home"] == {"emptyDir": {}}
    assert {path: mount["name"] for path, mount in mounts.items()} == {
        "/dev/shm": "shm",
        "/tmp": "tmp",
        "/home/vllm": "home",
        "/home/vllm/.cache": "cache",
    }


def test_downloads_go_to_a_claim_of_each_replica():
    volumes, _, claim = stored()

    assert "cache" not in volumes
    assert claim is not None
    assert (claim.size, claim.access_mode, claim.shared) == ("160Gi", "ReadWriteOnce", False)


def test_weights_at_hand_need_no_claim_but_an_empty_dir():
    volumes, mounts, claim = stored(local(), model=LOCAL)

    assert claim is None
    assert volumes["cache"] == {"emptyDir": {}}
    assert volumes["model"] == {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}
    assert mounts["/models"] == {"name": "model", "readOnly": True}


def test_weights_in_an_image_are_mounted_read_only():
    volumes, mounts, _ = stored(local(), model=IMAGE)

    assert volumes["model"] == {"image": {"reference": "registry/weights@sha256:0"}}
    assert mounts["/models"]["readOnly"] is True


def test_a_cache_may_be_asked_for_all_the_same():
    _, _, claim = stored(
        local(), model=LOCAL, cache={"type": "PersistentVolumeClaim", "size": "2048Mi"}
    )

    assert claim is not None
    assert claim.size == "2Gi"


def test_downloads_may_go_to_the_nodes_disk():
    volumes, _, claim = stored(cache={"type": "EmptyDir", "size": "204800Mi"})

    assert claim is None
    assert volumes["cache"] == {"emptyDir": {"sizeLimit": "200Gi"}}


def test_one_claim_for_all_replicas_where_many_can_write():
    volumes, _, claim = stored(
        cache={"accessMode": "ReadWriteMany", "storageClassName": "nfs", "retain": "Retain"}
    )

    assert volumes["cache"] == {"persistentVolumeClaim": {"claimName": "llava-cache"}}
    assert claim is not None
    assert (claim.shared, claim.storage_class, claim.retained) == (True, "nfs", True)


def test_a_home_that_is_the_cache_is_one_volume():
    volumes, mounts, _ = stored(launch(home="/data", cache_path="/data"))

    assert "home" not in volumes
    assert mounts["/data"] == {"name": "cache"}


def test_further_volumes_come_last_in_one_order():
    extra = [
        {"name": "scripts", "configMap": {"name": "scripts", "optional": None}},
        {"name": "data", "nfs": {"server": "nas", "path": "/", "readOnly": False}},
    ]
    mounts = [
        {"name": "scripts", "mountPath": "/scripts", "subPath": ""},
        {"name": "data", "mountPath": "/data", "readOnly": True},
    ]

    found = storage(
        builders.deployment(podTemplate={"extraVolumes": extra, "extraVolumeMounts": mounts}).spec,
        launch(),
        "",
    )
    turned = storage(
        builders.deployment(
            podTemplate={"extraVolumes": extra[::-1], "extraVolumeMounts": mounts[::-1]}
        ).spec,
        launch(),
        "",
    )

    assert found.volumes[-2:] == [
        {"name": "data", "nfs": {"server": "nas", "path": "/"}},
        {"name": "scripts", "configMap": {"name": "scripts"}},
    ]
    assert found.mounts[-2:] == [
        {"name": "data", "mountPath": "/data", "readOnly": True},
        {"name": "scripts", "mountPath": "/scripts"},
    ]
    assert found == turned


@pytest.mark.parametrize("name", ["shm", "tmp", "home", "cache", "model"])
def test_our_volumes_names_are_refused(name):
    with pytest.raises(Refused) as refused:
        stored(podTemplate={"extraVolumes": [{"name": "a"}, {"name": name, "emptyDir": {}}]})

    (problem,) = refused.value.problems
    assert problem.field == "spec.podTemplate.extraVolumes[1].name"
    assert f"must not be '{name}'" in problem.message


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("/", "/dev/shm"),
        ("/dev", "/dev/shm"),
        ("/dev/shm", "/dev/shm"),
        ("/dev/shm/", "/dev/shm"),
        ("//tmp", "/tmp"),
        ("/opt/../tmp/.", "/tmp"),
        ("/home", "/home/vllm"),
        ("/home/vllm/.cache", "/home/vllm/.cache"),
        ("/models", "/models"),
    ],
)
def test_a_mount_that_would_hide_ours_is_refused(path, hidden):
    with pytest.raises(Refused) as refused:
        stored(local(), model=LOCAL, podTemplate=mounted(path))

    (problem,) = refused.value.problems
    assert problem.field == "spec.podTemplate.extraVolumeMounts[0].mountPath"
    assert problem.message == (
        f"`{problem.field}` must not hide '{hidden}', which the operator mounts: choose another "
        "path"
    )


def test_a_mount_inside_the_read_only_weights_is_refused():
    with pytest.raises(Refused, match="must not lie inside '/models'"):
        stored(local(), model=LOCAL, podTemplate=mounted("/models/adapters"))


@pytest.mark.parametrize("path", ["/data", "/tmp/videos", "/home/vllm/.config", "/device", "/tmpx"])
def test_other_mounts_are_allowed(path):
    _, mounts, _ = stored(podTemplate=mounted(path))

    assert mounts[path] == {"name": "extra"}


def mounted(path):
    return {
        "extraVolumes": [{"name": "extra", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": path}],
    }


def test_a_claim_of_each_replica_is_a_template_of_the_stateful_set():
    made = render(
        builders.deployment(cache={"storageClassName": "fast", "retain": "Retain"}),
        builders.planned(),
    )

    spec = of_kind(made, "StatefulSet")["spec"]
    assert spec["volumeClaimTemplates"] == [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "cache"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "160Gi"}},
                "storageClassName": "fast",
            },
        }
    ]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert "cache" not in [volume["name"] for volume in pod_of(made)["volumes"]]


@pytest.mark.parametrize(("retain", "owned"), [("Delete", True), ("Retain", False)])
def test_a_shared_claim_is_owned_unless_it_is_to_outlive_the_deployment(retain, owned):
    made = render(
        builders.deployment(cache={"accessMode": "ReadWriteMany", "retain": retain}),
        builders.planned(),
    )

    claim = of_kind(made, "PersistentVolumeClaim")
    assert ("ownerReferences" in claim["metadata"]) is owned
    assert claim["metadata"]["name"] == "llava-cache"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "160Gi"}},
    }
    workload = of_kind(made, "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in workload
    assert "persistentVolumeClaimRetentionPolicy" not in workload
