from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    FP8,
    INT4,
    INT4_PADDED,
    VIDEO_7B,
    VIDEO_72B,
    parallelism,
    refusal,
    request,
    sglang,
    tgi,
    vllm,
    workload,
)
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat, QuantizationSpec
from videollm_operator.sizing import SizingRequest, plan
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.refuse import largest
from videollm_operator.sizing.several import nodes, over_several_nodes
from videollm_operator.sizing.types import Layout

ALL_GPUS = tuple(CATALOG.gpus.values())


def narrow(**changes: Any) -> SizingRequest:
    """The 7B on one T4 with four requests: too little by a few GiB."""
    return request(
        VIDEO_7B,
        "T4",
        per_replica=1,
        **{"workload": workload(concurrentRequests=4), "other_gpus": ALL_GPUS, **changes},
    )


def test_the_sentence_has_the_terms_and_the_shortage() -> None:
    message = refusal(request(sku="L40", per_replica=2)).message
    assert (
        "a GPU needs 73.3 GiB (weights 68.2 GiB, KV cache 2.4 GiB, the rest with margin 2.7 GiB), "
        "but the engine may use 40.8 GiB of its 44.3 GiB, so 32.5 GiB are missing." in message
    )


def test_more_gpus_than_a_node_has_are_named() -> None:
    problem = refusal(request(sku="T4"))
    assert problem.reason is Reason.NEEDS_SEVERAL_NODES
    assert problem.field == "spec.gpu.sku"
    assert (
        "It would fit on 16 GPUs (TP8 x PP2) of 2 nodes, with pipeline stages on different ones, "
        "more than the 8 of a node" in problem.message
    )


@pytest.mark.parametrize(
    ("tensor", "pipeline", "per_node", "count"),
    [
        (8, 2, 8, 2),
        (2, 5, 8, 5),
        (2, 6, 8, 2),
        (3, 3, 8, 3),
        (1, 9, 8, 3),
        (1, 17, 8, 17),
        (4, 3, 8, 3),
        (1, 3, 1, 3),
        (8, 1, 8, 1),
    ],
)
def test_no_tensor_parallel_group_spans_nodes_and_all_nodes_hold_the_same(
    tensor: int, pipeline: int, per_node: int, count: int
) -> None:
    assert nodes(Layout(tensor, pipeline), per_node) == count


def test_what_fits_nowhere_is_said_without_a_remedy() -> None:
    asked = request(
        VIDEO_72B, "T4", workload=workload(framesPerVideo=1), budget=tgi(sampler_bytes_per_logit=99)
    )
    wide = asked.architecture.text.model_copy(update={"max_position_embeddings": 10_000_000})
    huge = replace(
        asked,
        architecture=asked.architecture.model_copy(update={"text": wide}),
        workload=workload(framesPerVideo=1, promptTokens=900_000, maxOutputTokens=1),
    )
    problem = refusal(huge)
    assert problem.reason is Reason.DOES_NOT_FIT
    assert problem.message.endswith("are missing. Use a larger GPU")


# ---------------------------------------------------------------- remedies hold


def test_fewer_requests_and_frames_are_computed() -> None:
    def changed(**fields: Any) -> SizingRequest:
        base = {"framesPerVideo": 146, "concurrentRequests": 8}
        return request(VIDEO_7B, "L4", per_replica=1, workload=workload(**{**base, **fields}))

    message = refusal(changed()).message
    frames = int(message.split("framesPerVideo: ")[1].split("`")[0])
    requests = int(message.split("concurrentRequests: ")[1].split("`")[0])
    assert plan(changed(framesPerVideo=frames)).layout.gpus == 1
    refusal(changed(framesPerVideo=frames + 1))
    assert plan(changed(concurrentRequests=requests)).layout.gpus == 1
    refusal(changed(concurrentRequests=requests + 1))


def test_other_formats_are_named_with_their_gpus() -> None:
    message = refusal(request(sku="T4", other_gpus=ALL_GPUS)).message
    assert "`spec.quantization.format: FP8` with `method: Online` (8 GPUs, TP8)" in message
    assert (
        "a checkpoint in `INT4` padded to `intermediateSize: 29696` (6 GPUs, TP2 x PP3)" in message
    )
    assert plan(request(sku="T4", quantization=FP8, parallelism=parallelism(strategy="FewestGPUs")))
    unpadded = refusal(narrow(workload=workload(concurrentRequests=8))).message
    assert "padded" not in unpadded


def test_padding_is_the_remedy_for_an_unpadded_checkpoint() -> None:
    asked = request(
        sku="L40", quantization=INT4, budget=sglang(), other_gpus=(CATALOG.gpus["A100-80GB"],)
    )
    message = refusal(asked).message
    remedy = "a checkpoint padded to `spec.quantization.intermediateSize: 29696` (2 GPUs, TP2)"
    assert remedy in message
    assert "`spec.gpu.sku: A100-80GB` (1 GPU, TP1)" in message
    done = replace(asked, quantization=INT4_PADDED)
    assert plan(done).layout.gpus == 2


def test_padding_is_no_remedy_where_it_changes_nothing() -> None:
    fits_nowhere = workload(concurrentRequests=2000, framesPerVideo=1)
    for quantization in (
        INT4_PADDED,
        FP8,
        QuantizationSpec.read({"format": "INT4", "groupSize": -1}),
        INT4,
    ):
        asked = request(sku="T4", quantization=quantization, workload=fits_nowhere)
        assert "padded" not in refusal(asked).message
    aligned = request(VIDEO_7B, "T4", quantization=INT4, workload=fits_nowhere)
    assert "padded" not in refusal(aligned).message


def test_the_gpu_with_the_least_memory_in_all_is_named() -> None:
    message = refusal(request(sku="T4", other_gpus=ALL_GPUS)).message
    assert "`spec.gpu.sku: L4` (8 GPUs, TP8)" in message
    assert "spec.gpu.sku" not in refusal(request(sku="T4")).message


def test_a_gpu_that_cannot_do_the_format_is_not_named() -> None:
    old = CATALOG.gpus["A100-80GB"].model_copy(update={"sku": "Old", "compute_capability": "7.0"})
    asked = request(sku="T4", quantization=FP8, per_replica=1, other_gpus=(old,))
    assert "Old" not in refusal(asked).message


def test_a_fixed_count_beyond_the_node_gets_remedies_without_the_count() -> None:
    fits = refusal(request(sku="L40", per_replica=16)).message
    assert fits.endswith("are not built yet. What would fit: 4 GPUs (TP4)")
    small = refusal(request(sku="T4", per_replica=16, other_gpus=ALL_GPUS)).message
    assert "`spec.quantization.format: FP8` with `method: Online` (8 GPUs, TP8)" in small
    assert "`spec.gpu.sku: L4` (8 GPUs, TP8)" in small


def test_a_format_that_the_gpu_lacks_is_not_named() -> None:
    old = CATALOG.gpus["T4"].model_copy(update={"sku": "V100", "compute_capability": "7.0"})
    message = refusal(request(VIDEO_7B, "T4", gpu=old, per_replica=1)).message
    assert "FP8" not in message
    assert "a checkpoint in `INT4` (1 GPU, TP1)" in message


def test_offload_is_the_last_resort() -> None:
    single = CATALOG.gpus["T4"].model_copy(update={"gpus_per_node": 1})
    asked = request(gpu=single, sku="T4", quantization=INT4)
    message = refusal(asked).message
    least = int(message.split("cpuGiBPerGPU: ")[1].split("`")[0])
    assert "(slow)" in message
    assert plan(replace(asked, cpu_offload_gib_per_gpu=least)).layout.gpus == 1
    refusal(replace(asked, cpu_offload_gib_per_gpu=least - 1))


def test_a_remedy_that_is_closer_comes_instead_of_offload() -> None:
    assert "cpuGiBPerGPU" not in refusal(request(sku="L40", per_replica=2)).message


@pytest.mark.parametrize(
    ("limit", "most", "found"), [(5, 10, 5), (10, 10, 10), (0, 10, 0), (3, 0, 0)]
)
def test_the_largest_value_that_fits(limit: int, most: int, found: int) -> None:
    assert largest(lambda value: value <= limit, most) == found


# ---------------------------------------------------------------- what no layout can change


def test_contradicting_numbers_name_the_field() -> None:
    architecture = request().architecture
    counts = architecture.parameters.model_copy(update={"layers": 7_021_478_707})
    wrong = architecture.model_copy(update={"parameters": counts})
    problem = refusal(request(architecture=wrong))
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.field == "spec.model.architecture.parameters.layers"
    assert "`spec.model.architecture.parameters.layers` is 7021478707" in problem.message


def test_offload_needs_an_engine_that_has_it() -> None:
    asked = request(VIDEO_7B, budget=vllm(supports_cpu_offload=False), cpu_offload_gib_per_gpu=4)
    problem = refusal(asked)
    assert problem.reason is Reason.FIELD_UNSUPPORTED
    assert problem.field == "spec.offload.cpuGiBPerGPU"


def test_a_refusal_is_one_line() -> None:
    with pytest.raises(Refused) as refused:
        plan(request(sku="T4", other_gpus=ALL_GPUS))
    assert all("\n" not in problem.message for problem in refused.value.problems)


def test_a_format_that_the_engine_lacks_is_not_named() -> None:
    only_plain = frozenset({QuantizationFormat.NONE})
    message = refusal(request(sku="L4", budget=sglang(formats=only_plain))).message
    assert "FP8" not in message
    assert "INT4" not in message
    assert "INT4" in refusal(request(sku="L4", budget=sglang())).message


def test_fp8_is_not_named_for_an_engine_that_needs_the_gpu_to_compute_in_it() -> None:
    def said(sku: str) -> str:
        wanted = workload(concurrentRequests=30, framesPerVideo=1)
        budget = vllm(native_fp8_only=True)
        return refusal(
            request(VIDEO_7B, sku, per_replica=1, workload=wanted, budget=budget)
        ).message

    assert "FP8" not in said("A10")
    assert "FP8" in said("L4")


def test_no_format_is_named_beside_float32() -> None:
    message = refusal(narrow(dtype=DType.FLOAT32)).message
    assert "FP8" not in message
    assert "INT4" not in message


def test_no_fewer_frames_are_named_than_the_engine_serves() -> None:
    def said(fewest: int, videos: int = 1) -> str:
        wanted = workload(
            concurrentRequests=8, framesPerVideo=140 // videos, videosPerRequest=videos
        )
        budget = vllm(fewest_frames=fewest)
        return refusal(
            request(VIDEO_7B, "L4", per_replica=1, workload=wanted, budget=budget)
        ).message

    most = int(said(1).split("framesPerVideo: ")[1].split("`")[0])
    assert f"framesPerVideo: {most}" in said(most)
    assert "framesPerVideo" not in said(most + 1)
    each = int(said(1, 2).split("framesPerVideo: ")[1].split("`")[0])
    assert f"framesPerVideo: {each}" in said(2 * each, 2)
    assert "framesPerVideo" not in said(2 * each + 1, 2)


def test_the_layout_over_several_nodes_is_one_that_was_asked_for() -> None:
    def found(**changes: Any) -> Layout | None:
        fit = over_several_nodes(demand(request(sku="T4", **changes)))
        return fit.layout if fit else None

    assert found() == Layout(8, 2)
    assert found(per_replica=32) == Layout(8, 4)
    assert found(per_replica=23) == Layout(1, 23)
    assert found(per_replica=9) is None
    assert found(parallelism=parallelism(strategy="Manual", tensor=4, pipeline=8)) == Layout(4, 8)
    assert found(parallelism=parallelism(strategy="Manual", tensor=8)) is None
    gpu = CATALOG.gpu("A100-80GB-MIG-1g.10gb")
    assert gpu is not None
    assert found(gpu=gpu, visible_mib=gpu.visible_mib) is None
