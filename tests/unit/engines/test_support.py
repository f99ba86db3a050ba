from __future__ import annotations

import re

import pytest

from tests.unit.engines.builders import CATALOG, spec
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines import checkpoints
from videollm_operator.engines.select import AUTOMATIC, resolve
from videollm_operator.engines.support import (
    ARCHITECTURES,
    QUANTIZATIONS,
    Cell,
    Parallelism,
    cell,
    matrix,
)

CELLS = list(matrix(CATALOG))
BY_QUESTION = {
    (one.engine.type, one.engine.version, one.architecture, one.quantization, one.parallelism): one
    for one in CELLS
}
PLAIN = QUANTIZATIONS[0]


def ask(
    engine: EngineType,
    architecture: str,
    quantization: tuple[str, str] = PLAIN,
    parallelism: Parallelism = Parallelism.ONE_GPU,
) -> Cell:
    entry = CATALOG.engine(engine)
    assert entry is not None
    return BY_QUESTION[engine, entry.version, architecture, quantization, parallelism]  # type: ignore[index] # words of the enumerations


def test_the_table_has_every_cell_once() -> None:
    assert len(CELLS) == len(BY_QUESTION)
    assert len(CELLS) == 4 * len(ARCHITECTURES) * len(QUANTIZATIONS) * len(Parallelism)


def test_a_no_has_a_reason_of_its_own_and_a_way_out() -> None:
    for one in CELLS:
        if one.problem is not None:
            assert one.problem.field.startswith("spec.")
            assert ": " in one.problem.message or "." in one.problem.message
            assert one.problem.reason in {
                Reason.ENGINE_UNSUPPORTED,
                Reason.QUANTIZATION_UNSUPPORTED,
                Reason.FIELD_UNSUPPORTED,
                Reason.NEEDS_SEVERAL_NODES,
            }


def test_an_engine_that_a_message_names_as_the_way_out_takes_the_model() -> None:
    for one in CELLS:
        message = "" if one.problem is None else one.problem.message
        for name in re.findall(r"`spec.engine.type: (\w+)`", message):
            assert ask(EngineType(name), one.architecture).modality, (one.architecture, message)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_auto_takes_the_first_engine_that_has_the_class(architecture: str) -> None:
    served = [kind for kind in AUTOMATIC if ask(kind, architecture).modality]
    stands_for = next(
        (
            name
            for name, entry in CATALOG.models.items()
            if entry.architecture.class_name == architecture
        ),
        None,
    )
    if stands_for is None:
        assert not served
        return
    images = ask(served[0], architecture).modality == "images"
    asked = spec(stands_for, workload={"framesPerVideo": 1 if images else 20})
    assert resolve(asked, CATALOG).engine.type == served[0]


def test_what_is_known_of_each_engine() -> None:
    vllm, sglang, tgi = EngineType.VLLM, EngineType.SGLANG, EngineType.TGI
    assert ask(vllm, checkpoints.ONEVISION).problem is None
    assert ask(vllm, checkpoints.ONEVISION).modality == "video"
    assert ask(vllm, checkpoints.LLAVA_QWEN).modality == "video"
    assert ask(vllm, checkpoints.NEXT).modality == "images"
    assert ask(vllm, checkpoints.ONEVISION, ("INT4", "AWQ")).problem is None
    assert ask(vllm, checkpoints.ONEVISION, PLAIN, Parallelism.PIPELINE).problem is None
    assert ask(sglang, checkpoints.LLAVA_QWEN).modality == "video, as frames"
    assert ask(sglang, checkpoints.LLAVA_QWEN, PLAIN, Parallelism.TENSOR).problem is None
    assert ask(sglang, checkpoints.LLAVA_QWEN, PLAIN, Parallelism.PIPELINE).problem is not None
    assert ask(tgi, checkpoints.NEXT).modality == "images"
    assert ask(tgi, checkpoints.NEXT, ("FP8", "Online")).problem is None
    for kind in (vllm, sglang, tgi):
        assert not ask(kind, "LlavaLlamaForCausalLM").modality


def test_no_engine_spans_nodes() -> None:
    some = [one for one in CELLS if one.parallelism is Parallelism.SEVERAL_NODES]
    assert not any(one.modality for one in some)


def test_planned_is_neither_yes_nor_no() -> None:
    for one in CELLS:
        assert one.planned == (one.problem is not None and one.modality != "")


def test_a_gpu_can_change_an_answer() -> None:
    entry = CATALOG.engine(EngineType.TGI)
    assert entry is not None
    fp8 = QUANTIZATIONS[1]
    assert cell(CATALOG, entry, checkpoints.NEXT, fp8).problem is None
    assert cell(CATALOG, entry, checkpoints.NEXT, fp8, sku="A100-80GB").problem is not None


def test_a_refused_cell_is_refused_as_an_object() -> None:
    asked = spec("llava-hf/llava-onevision-qwen2-7b-ov-hf", engine={"type": "TGI"})
    with pytest.raises(Refused) as refused:
        resolve(asked, CATALOG)
    problem = ask(EngineType.TGI, checkpoints.ONEVISION).problem
    assert problem is not None
    assert refused.value.problems[0].reason == problem.reason
