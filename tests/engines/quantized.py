"""What `config.json` of a quantized checkpoint says, per way to quantize one.

The vision tower and the projector are left out everywhere, as in the checkpoints people publish:
their sizes are no multiples of the usual groups.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

_NOT_QUANTIZED = ["vision_tower", "multi_modal_projector", "lm_head"]


class Quantized(StrEnum):
    """How the checkpoint in the folder says that it is quantized."""

    NONE = "none"
    COMPRESSED_TENSORS_INT4 = "compressed-tensors-int4"
    COMPRESSED_TENSORS_INT8 = "compressed-tensors-int8"
    COMPRESSED_TENSORS_FP8 = "compressed-tensors-fp8"
    AWQ = "awq"
    GPTQ_INT4 = "gptq-int4"
    GPTQ_INT8 = "gptq-int8"
    FP8 = "fp8"
    BITSANDBYTES_INT4 = "bitsandbytes-int4"
    BITSANDBYTES_INT8 = "bitsandbytes-int8"


def quantization_config(quantized: Quantized, group_size: int) -> dict[str, Any] | None:
    """The entry of `config.json`; None for a checkpoint that is not quantized.

    `group_size` is weights per scale of a group-wise format, -1 one scale per channel.
    """
    bits = 8 if quantized.value.endswith(("int8", "fp8")) else 4
    if quantized is Quantized.NONE:
        return None
    if quantized is Quantized.AWQ:
        return {
            "quant_method": "awq",
            "bits": bits,
            "group_size": group_size,
            "version": "gemm",
            "zero_point": True,
            "modules_to_not_convert": _NOT_QUANTIZED,
        }
    if quantized in (Quantized.GPTQ_INT4, Quantized.GPTQ_INT8):
        return {
            "quant_method": "gptq",
            "bits": bits,
            "group_size": group_size,
            "desc_act": False,
            "sym": True,
            "lm_head": False,
            "modules_to_not_convert": _NOT_QUANTIZED,
        }
    if quantized in (Quantized.BITSANDBYTES_INT4, Quantized.BITSANDBYTES_INT8):
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": bits == 4,
            "load_in_8bit": bits == 8,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_skip_modules": _NOT_QUANTIZED,
        }
    if quantized is Quantized.FP8:
        return {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "ignored_layers": _NOT_QUANTIZED,
        }
    fp8 = quantized is Quantized.COMPRESSED_TENSORS_FP8
    weights = {
        "num_bits": bits,
        "type": "float" if fp8 else "int",
        "symmetric": True,
        "dynamic": False,
        "strategy": "channel" if fp8 or group_size == -1 else "group",
        "group_size": None if fp8 or group_size == -1 else group_size,
    }
    activations = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "dynamic": True,
        "strategy": "token",
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized" if fp8 else "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": weights,
                "input_activations": activations if fp8 else None,
                "output_activations": None,
            }
        },
        "ignore": ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"],
        "kv_cache_scheme": None,
    }
