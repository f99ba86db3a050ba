from __future__ import annotations

import pytest

from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile.inventory import Use, card, none_usable, offers
from videollm_operator.reconcile.world import NodeFacts

CATALOG = builtin()
A100 = "NVIDIA-A100-SXM4-80GB"
GKE = {"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}


def gfd(product: str = A100, **more: str) -> dict[str, str]:
    """Labels of GPU Feature Discovery; `gpu__memory` is `nvidia.com/gpu.memory`."""
    return {
        "nvidia.com/gpu.product": product,
        **{
            f"nvidia.com/{key.replace('__', '.').replace('_', '-')}": value
            for key, value in more.items()
        },
    }


def mixed(profile: str = "3g.40gb", memory: str = "40192") -> dict[str, str]:
    """Labels of a profile under strategy `mixed`."""
    key = f"nvidia.com/mig-{profile}"
    return {f"{key}.product": f"{A100}-MIG-{profile}", f"{key}.memory": memory}


def test_a_whole_card_is_offered_with_what_it_reports() -> None:
    (offer,) = offers(gfd(gpu__memory="81251"), CATALOG)
    assert (offer.sku, offer.use, offer.resource) == ("A100-80GB", Use.WHOLE, "nvidia.com/gpu")
    assert (offer.reported_mib, offer.table_mib) == (81251, 81920)
    assert offers(gfd(), CATALOG)[0].reported_mib is None


def test_slices_are_offered_under_the_name_of_their_strategy() -> None:
    alike = gfd(f"{A100}-MIG-3g.40gb", gpu__slices__gi="3", gpu__memory="40192")
    assert [each.sku for each in offers(alike, CATALOG)] == ["A100-80GB-MIG-3g.40gb"]
    assert offers(alike, CATALOG)[0].use is Use.SLICE
    both = offers(gfd() | mixed() | mixed("1g.10gb", "9728"), CATALOG)
    assert [each.sku for each in both] == [
        "A100-80GB",
        "A100-80GB-MIG-1g.10gb-mixed",
        "A100-80GB-MIG-3g.40gb-mixed",
    ]
    gke = {**GKE, "cloud.google.com/gke-gpu-partition-size": "3g.40gb"}
    assert [each.sku for each in offers(gke, CATALOG)] == ["A100-80GB-MIG-3g.40gb"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            gfd(f"{A100}-SHARED", gpu__sharing_strategy="time-slicing", gpu__replicas="4"),
            "shared by time slicing among 4 pods: every pod sees the whole card's memory",
        ),
        (gfd(f"{A100}-SHARED"), "shared: every pod"),
        (gfd(gpu__sharing_strategy="mps"), "shared by MPS: every pod"),
        ({**GKE, "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"}, "by time slicing:"),
        (gfd(f"{A100}-MIG-3g.40gb-SHARED", gpu__sharing_strategy="mps"), "shared by MPS"),
        (gfd(f"{A100}-MIG-INVALID", gpu__memory="0"), "not all alike"),
        (gfd(f"{A100}-MIG-5g.60gb", gpu__slices__gi="5"), "slices of '5g.60gb'"),
        ({**GKE, "cloud.google.com/gke-gpu-partition-size": "5g.60gb"}, "slices of '5g.60gb'"),
        ({**GKE, "nvidia.com/gpu.slices.gi": "1"}, "cut in MIG slices that its labels do not name"),
    ],
)
def test_what_no_replica_may_use_is_refused_with_the_reason(
    labels: dict[str, str], said: str
) -> None:
    (offer,) = offers(labels, CATALOG)
    assert (offer.sku, offer.use, offer.resource) == ("A100-80GB", Use.REFUSED, "")
    assert said in offer.note


def test_a_card_that_is_not_known_is_named_and_no_card_is_nothing() -> None:
    (offer,) = offers(gfd("NVIDIA-GeForce-RTX-4090"), CATALOG)
    assert (offer.use, offer.sku) == (Use.UNKNOWN, "")
    assert "'NVIDIA-GeForce-RTX-4090' is not in the catalogue" in offer.note
    assert offers({"kubernetes.io/arch": "amd64"}, CATALOG) == ()
    assert card({}, CATALOG) is None


def why(sku: str, *nodes: dict[str, str]) -> str:
    gpu = CATALOG.gpu(sku)
    assert gpu is not None
    facts = [NodeFacts(tuple(sorted(labels.items()))) for labels in nodes]
    return none_usable(gpu, facts, CATALOG)


def test_it_is_said_why_none_of_the_nodes_with_the_card_will_do() -> None:
    shared = gfd(f"{A100}-SHARED", gpu__sharing_strategy="mps")
    cut = gfd(f"{A100}-MIG-3g.40gb", gpu__slices__gi="3")
    assert why("A100-80GB", shared, cut) == (
        "Nodes with A100-80GB are there, but none offers A100-80GB: offered as `spec.gpu.sku: "
        "A100-80GB-MIG-3g.40gb`; shared by MPS: every pod sees the whole card's memory, and the "
        "engine takes nearly all of it"
    )
    assert "`spec.gpu.sku: A100-80GB`" in why("A100-80GB-MIG-3g.40gb", gfd())
    assert "3g.40gb-mixed`" in why("A100-80GB-MIG-3g.40gb", gfd() | mixed())


def test_nothing_is_said_where_a_node_will_do_or_none_has_the_card() -> None:
    shared = gfd(f"{A100}-SHARED")
    assert why("A100-80GB", shared, gfd()) == ""
    assert why("A100-80GB", gfd("NVIDIA-L4")) == ""
    assert why("L4", shared) == ""
    assert why("L4") == ""
