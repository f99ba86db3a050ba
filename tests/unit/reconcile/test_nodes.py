from __future__ import annotations

import pytest

from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile.nodes import MEMORY_LABEL, label_keys, least_visible_mib
from videollm_operator.reconcile.world import NodeFacts

GPU = builtin().gpus["L4"]


def node(memory: str, product: str = "NVIDIA-L4") -> NodeFacts:
    return NodeFacts((("nvidia.com/gpu.product", product), (MEMORY_LABEL, memory)))


def test_the_keys_are_those_of_every_entry_and_the_memory() -> None:
    keys = label_keys(builtin())
    assert {MEMORY_LABEL, "nvidia.com/gpu.product", "k8s.amazonaws.com/accelerator"} <= keys
    assert all(
        key in keys
        for gpu in builtin().gpus.values()
        for family in gpu.node_labels
        for key in family
    )


@pytest.mark.parametrize("less", [1, 500])
def test_a_node_with_less_memory_lowers_what_is_visible_by_as_much(less: int) -> None:
    nodes = [node(str(GPU.nvml_mib)), node(str(GPU.nvml_mib - less))]
    assert least_visible_mib(GPU, nodes) == GPU.visible_mib - less


@pytest.mark.parametrize("memory", ["0", "", "-5", "24GiB", str(GPU.nvml_mib), "99999999"])
def test_a_figure_that_says_nothing_or_cannot_be_true_counts_as_the_table(memory: str) -> None:
    assert least_visible_mib(GPU, [node(memory)]) is None


def test_more_than_the_table_counts_if_every_node_reports_it() -> None:
    more = node(str(GPU.nvml_mib + 1000))
    unsaid = NodeFacts((("nvidia.com/gpu.product", "NVIDIA-L4"),))
    assert least_visible_mib(GPU, [more]) == GPU.visible_mib + 1000
    assert least_visible_mib(GPU, [more, node(str(GPU.nvml_mib + 900))]) == GPU.visible_mib + 900
    assert least_visible_mib(GPU, [more, node(str(GPU.nvml_mib))]) is None
    assert least_visible_mib(GPU, [more, unsaid]) is None


def test_a_card_with_ecc_on_is_counted_as_what_it_reports() -> None:
    ada = builtin().gpus["RTX-6000-Ada"]
    product = "NVIDIA-RTX-6000-Ada-Generation"
    assert least_visible_mib(ada, [node("46068", product)]) == ada.visible_mib - (49140 - 46068)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_slice_counts_what_is_reported_of_the_slice(mixed: bool) -> None:
    sku = "A100-80GB-MIG-3g.40gb" + ("-mixed" if mixed else "")
    gpu = builtin().gpu(sku)
    assert gpu is not None
    own = {f"{gpu.resource_name}.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb"}
    whole = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", MEMORY_LABEL: "81920"}
    labels = {**(whole if mixed else {}), **own, gpu.memory_label: "39000"}
    facts = NodeFacts(tuple(labels.items()))
    assert least_visible_mib(gpu, [facts]) == 39000
    assert label_keys(builtin()) >= labels.keys()
    card = builtin().gpus["A100-80GB"]
    assert least_visible_mib(card, [facts]) is None


def test_a_zero_does_not_hide_the_smaller_node() -> None:
    nodes = [node("0"), node(str(GPU.nvml_mib - 100))]
    assert least_visible_mib(GPU, nodes) == GPU.visible_mib - 100


def test_nodes_with_another_gpu_do_not_count() -> None:
    assert least_visible_mib(GPU, [node("1000", "NVIDIA-T4")]) is None


@pytest.mark.parametrize(
    "label",
    [
        {"nvidia.com/gpu.slices.gi": "1"},
        {"nvidia.com/gpu.sharing-strategy": "mps"},
        {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"},
    ],
)
def test_nodes_that_pods_may_not_go_to_do_not_count(label: dict[str, str]) -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4", MEMORY_LABEL: "5000"}
    assert least_visible_mib(GPU, [NodeFacts(tuple(labels.items()))]) is not None
    assert least_visible_mib(GPU, [NodeFacts(tuple({**labels, **label}.items()))]) is None
    assert label_keys(builtin()) >= label.keys()


def test_memory_never_falls_below_one() -> None:
    assert least_visible_mib(GPU, [node("1")]) == 1


def test_no_nodes_say_nothing() -> None:
    assert least_visible_mib(GPU, []) is None
