from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import INT8_PADDED, request
from videollm_operator.api.v1alpha1.compute import QuantizationSpec
from videollm_operator.sizing import plan, sizing_status
from videollm_operator.sizing.report import quantization_words


def test_status_carries_every_number_of_the_plan() -> None:
    found = plan(request(quantization=INT8_PADDED))
    status = sizing_status(found, 3).model_dump(mode="json", by_alias=True)
    assert status == {
        "gpusPerReplica": 2,
        "totalGPUs": 6,
        "minimumGPUs": 2,
        "tensorParallelSize": 2,
        "pipelineParallelSize": 1,
        "dtype": "BFloat16",
        "quantization": "INT8 (GPTQ, g128, MLP 29696)",
        "maxModelLen": 15488,
        "maxNumBatchedTokens": 2048,
        "maxNumSeqs": 256,
        "tokensPerVideo": 13440,
        "kvCacheTokens": found.kv_cache_tokens,
        "maxConcurrentRequests": found.max_concurrent_requests,
        "memoryPerGPU": found.memory.model_dump(by_alias=True),
        "terms": [
            {
                "name": str(term.name),
                "mib": term.mib,
                "basis": str(term.basis),
                "boundMiB": term.bound_mib,
                "why": term.why,
            }
            for term in found.terms
        ],
        "margin": found.margin_mib,
        "decidingTerm": found.deciding_term,
        "ruleOfThumb": found.rule_of_thumb.model_dump(by_alias=True),
        "alternatives": [
            {
                "gpus": other.layout.gpus,
                "tensor": other.layout.tensor,
                "pipeline": other.layout.pipeline,
                "verdict": str(other.verdict),
                "note": other.note,
            }
            for other in found.alternatives
        ],
        "explanation": found.explanation,
    }


def test_a_tight_alternative_keeps_its_verdict() -> None:
    status = sizing_status(plan(request(sku="A100-80GB")), 0)
    assert status.total_gpus == 0
    assert [other.verdict for other in status.alternatives].count("Tight") == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "None"),
        ({"format": "FP8", "method": "Online"}, "FP8 (Online)"),
        ({"format": "INT4", "method": "AWQ"}, "INT4 (AWQ, g128)"),
        (
            {"format": "INT8", "method": "CompressedTensors", "groupSize": -1},
            "INT8 (CompressedTensors, per channel)",
        ),
        ({"format": "INT4", "method": "BitsAndBytes"}, "INT4 (BitsAndBytes)"),
        ({"format": "INT4", "method": "AWQ", "unquantizedLayers": [0]}, "INT4 (AWQ, g128, partly)"),
        (
            {"format": "INT4", "method": "GPTQ", "groupSize": 16, "visionTower": "Quantized"},
            "INT4 (GPTQ, g16, tower too)",
        ),
    ],
)
def test_quantization_in_words(fields: dict[str, Any], words: str) -> None:
    assert quantization_words(QuantizationSpec.read(fields)) == words
