from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    ONEVISION_05B,
    VIDEO_7B,
    parallelism,
    refusal,
    request,
    sglang,
    tgi,
)
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing import SizingRequest, plan
from videollm_operator.sizing.hardware import notes
from videollm_operator.sizing.types import Layout

ONE, TWO = Layout(1, 1), Layout(2, 1)


def on(sku: str, model: str = ONEVISION_05B) -> SizingRequest:
    """A request on a card or slice."""
    gpu = CATALOG.gpu(sku)
    assert gpu is not None
    return request(model, gpu=gpu, visible_mib=gpu.visible_mib)


def test_a_whole_card_as_in_the_table_needs_no_note() -> None:
    assert notes(on("A100-80GB"), TWO) == ()
    assert notes(on("L40"), ONE) == ()


def test_memory_that_differs_is_told_with_both_figures() -> None:
    asked = replace(on("RTX-6000-Ada"), visible_mib=48404 - (49140 - 46068))
    (said,) = notes(asked, ONE)
    assert said == (
        "Nodes with RTX-6000-Ada report 46 068 MiB of memory instead of the table's 49 140 MiB, "
        "and that counts: CUDA shows 45 332 MiB of it."
    )
    assert plan(asked).explanation.endswith(said)


def test_a_slice_says_what_it_is_and_lacks() -> None:
    slice_, decoders = notes(on("A100-80GB-MIG-1g.10gb"), ONE)
    assert "is a MIG slice, and a replica takes one" in slice_
    assert (
        "no video decoder (NVDEC), and needs none: the engine decodes videos on the CPU" in decoders
    )
    assert len(notes(on("A100-80GB-MIG-1g.10gb.me"), ONE)) == 1
    assert len(notes(on("H100-80GB-MIG-1g.10gb"), ONE)) == 1


def test_who_decodes_depends_on_the_engine() -> None:
    asked = on("A100-80GB-MIG-1g.10gb")
    assert "clients decode the video" in notes(replace(asked, budget=sglang()), ONE)[1]
    assert len(notes(replace(asked, budget=tgi()), ONE)) == 1


def test_tensor_parallelism_over_pcie_is_noted() -> None:
    (said,) = notes(on("L40"), TWO)
    assert "no NVLink" in said
    assert notes(on("L40"), Layout(1, 2)) == ()
    assert notes(on("B200"), TWO) == ()


def test_a_slice_holds_a_model_by_its_own_memory() -> None:
    small, large = on("A100-80GB-MIG-1g.10gb", VIDEO_7B), on("A100-80GB-MIG-3g.40gb", VIDEO_7B)
    assert refusal(small).reason is Reason.DOES_NOT_FIT
    assert "several nodes" not in refusal(small).message
    found = plan(large)
    assert (found.layout, found.memory.visible) == (ONE, 40192)


@pytest.mark.parametrize("mixed", ["", "-mixed"])
def test_no_replica_takes_two_slices(mixed: str) -> None:
    asked = on(f"A100-80GB-MIG-3g.40gb{mixed}")
    for fixed in (
        replace(asked, per_replica=2),
        replace(asked, parallelism=parallelism(strategy="Manual", tensor=2)),
        replace(asked, parallelism=parallelism(strategy="Manual", tensor=1, pipeline=2)),
    ):
        problem = refusal(fixed)
        assert problem.reason is Reason.LAYOUT_ILLEGAL
        assert "CUDA shows a process one slice only, and NCCL connects none" in problem.message
