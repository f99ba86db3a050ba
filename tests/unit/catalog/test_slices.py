from __future__ import annotations

import pytest

from videollm_operator.catalog.entries import GPUEntry
from videollm_operator.catalog.loader import builtin, extended

CATALOG = builtin()


def test_a_slice_is_a_gpu_of_its_own_for_each_strategy() -> None:
    alike = CATALOG.gpu("A100-80GB-MIG-3g.40gb")
    assert alike is not None
    assert (alike.resource_name, alike.nominal_gb, alike.visible_mib) == (
        "nvidia.com/gpu",
        40,
        40192,
    )
    assert (alike.gpus_per_node, alike.video_decoders, alike.is_slice) == (1, 2, True)
    assert alike.compute_capability == "8.0"
    assert alike.matches({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"})
    gke = {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}
    assert alike.matches({**gke, "cloud.google.com/gke-gpu-partition-size": "3g.40gb"})
    assert not alike.matches(gke)

    mixed = CATALOG.gpu("A100-80GB-MIG-3g.40gb-mixed")
    assert mixed is not None
    assert mixed.resource_name == "nvidia.com/mig-3g.40gb"
    assert mixed.memory_label == "nvidia.com/mig-3g.40gb.memory"
    product = {"nvidia.com/mig-3g.40gb.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}
    assert mixed.matches(product)
    assert not alike.matches(product)


def test_labels_that_cannot_tell_a_slice_make_none() -> None:
    for gpu in CATALOG.slices.values():
        assert not any("karpenter" in key for key in gpu.label_keys)


def test_every_slice_keeps_the_rules_of_an_entry() -> None:
    assert len(CATALOG.slices) > 80
    for gpu in CATALOG.slices.values():
        assert GPUEntry.read(gpu.model_dump(mode="json", by_alias=True)) == gpu
        (parent,) = [
            each for each in CATALOG.gpus.values() if gpu.sku.startswith(f"{each.sku}-MIG-")
        ]
        assert gpu.visible_mib <= parent.visible_mib
        assert all(len(v) <= 63 for labels in gpu.node_labels for vs in labels.values() for v in vs)


def test_media_extensions_are_spelt_with_a_dot_or_without() -> None:
    gpu = CATALOG.gpu("A100-80GB-MIG-1g.10gb.me")
    assert gpu is not None
    assert gpu.video_decoders == 1
    for spelling in ("1g.10gb.me", "1g.10gbme"):
        assert gpu.matches({"nvidia.com/gpu.product": f"NVIDIA-A100-80GB-PCIe-MIG-{spelling}"})


def test_whole_gpus_come_first_and_an_entry_of_a_slices_name_wins() -> None:
    assert CATALOG.all_gpus[: len(CATALOG.gpus)] == tuple(CATALOG.gpus.values())
    own = """
gpus:
  - sku: A100-80GB-MIG-3g.40gb
    product: ours
    nominalGB: 40
    nvmlMiB: 39000
    visibleMiB: 39000
    computeCapability: "8.0"
    gpusPerNode: 1
    nodeLabels:
      - team/slice: [half]
"""
    catalog = extended(CATALOG, own, "ours")
    found = catalog.gpu("A100-80GB-MIG-3g.40gb")
    assert catalog.problems == ()
    assert found is not None
    assert found.product == "ours"
    assert "A100-80GB-MIG-3g.40gb" not in catalog.slices


def entry(changes: str) -> str:
    return f"""
gpus:
  - sku: Ours
    product: ours
    nominalGB: 40
    nvmlMiB: 40000
    visibleMiB: 39000
    computeCapability: "8.0"
{changes}
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            "    gpusPerNode: 2\n    nodeLabels: [{nvidia.com/gpu.product: [X-MIG-3g.40gb]}]",
            "`gpusPerNode` must be 1 for a MIG slice",
        ),
        (
            "    gpusPerNode: 2\n    nodeLabels: [{a: [b]}]\n    resourceName: nvidia.com/mig-a",
            "`gpusPerNode` must be 1 for a MIG slice",
        ),
        (
            "    gpusPerNode: 8\n    nodeLabels: [{nvidia.com/gpu.product: [X-SHARED]}]",
            "must not describe a shared GPU",
        ),
        (
            "    gpusPerNode: 8\n    nodeLabels: [{a: [b]}]\n    resourceName: x.com/gpu.shared",
            "must not describe a shared GPU",
        ),
        (
            "    gpusPerNode: 8\n    nodeLabels: [{a: [b]}]\n    migProfiles: [{profile: half}]",
            "must be a profile such as '3g.40gb'",
        ),
    ],
)
def test_what_no_plan_could_hold_is_refused(changes: str, said: str) -> None:
    catalog = extended(CATALOG, entry(changes), "ours.yaml")
    assert catalog.gpu("Ours") is None
    assert said in str(catalog.problems[0])


def test_a_gpu_that_only_a_cloud_labels_has_slices_only_where_the_cloud_says_so() -> None:
    text = entry(
        "    gpusPerNode: 8\n    nodeLabels: [{karpenter.k8s.aws/instance-gpu-name: [x]}]\n"
        "    migProfiles: [{profile: 3g.20gb, memoryMiB: 20000, videoDecoders: 0}]"
    )
    catalog = extended(CATALOG, text, "ours.yaml")
    assert catalog.problems == ()
    assert not [sku for sku in catalog.slices if sku.startswith("Ours")]
