"""Every number of sizing that is not computed: what it means, and where it comes from.

Marks: [source] read in the engine's source; [measured] published start-up logs; [estimate] chosen
on the safe side until a measurement replaces it. `engines` builds its budgets from these.
"""

from __future__ import annotations

MIB = 1024 * 1024
GIB = 1024 * MIB

# Budget ------------------------------------------------------------------------------------------

VLLM_GPU_MEMORY_UTILIZATION = 0.92
"""Share of visible memory that vLLM requests. [source] vLLM 0.32 `config/cache.py`; 0.90 up to
0.19."""

OUTSIDE_MIB_SINGLE = 922
"""CUDA context, which lies outside the budget: vLLM takes its share of what is visible but starts
only if so much is still free. [measured] 0.5 to 0.91 GiB in four start-up logs of one GPU."""

OUTSIDE_MIB_MULTI = 1536
"""The same with several GPUs, where NCCL lies outside too. [estimate] 0.9 GiB and 0.4 GiB of NCCL
(358 to 411 MB, aiconfigurator), rounded up. It binds only on cards below 19 GiB at 0.92: two logs
with 2.3 and 3.3 GiB are of cards where 0.92 leaves 22 and 7.6 GiB."""

MARGIN_LEAST_MIB = 1024
MARGIN_SHARE_PERCENT = 3
"""Safety margin inside the budget: the larger of 1 GiB and 3 % of visible memory. [estimate] Covers
what is soft: CUDA graphs (measured 0.2 to 2.4 GiB around an estimate of 1), allocator rounding, and
weights that load up to 0.9 % larger than computed [measured, tests/unit/sizing/test_weights.py]."""

# Fixed terms, MiB per GPU ------------------------------------------------------------------------

GRAPHS_MIB = 1024
"""CUDA graphs, charged inside the budget since vLLM 0.21. [measured] -0.9 to 2.4 GiB, mostly 0.25
to 1.5; [estimate] 1 GiB."""

SMALL_BUFFERS_MIB = 205
"""0.2 GiB: RoPE tables, workspaces, block tables, allocator rounding. [measured] loaded weights
exceed computed ones by 0.1 to 0.25 GiB per rank."""

RUNTIME_MIB_SINGLE = 154 + SMALL_BUFFERS_MIB
"""One GPU: 0.15 GiB outside torch after start-up. [measured] 0.13 to 0.14 GiB, vLLM 0.11 on an
H100."""

RUNTIME_MIB_MULTI = 563 + SMALL_BUFFERS_MIB
"""Several GPUs: 0.55 GiB, NCCL's buffers. [measured] 0.54 to 0.55 GiB, vLLM 0.11 on H100."""

# Sampler, bytes per (sequence x vocabulary entry), last pipeline stage only ----------------------

VLLM_SAMPLER_BYTES_PER_LOGIT = 6
"""Logits in 16 bit and their copy in 32 bit. [source] vLLM 0.32 `v1/worker/gpu/sample/sampler.py`
(`apply_sampling_params`)."""

VLLM_SAMPLER_STATE_BYTES_PER_LOGIT = 4.125
"""Counts of generated tokens (int32) and a bit per prompt token, kept for every sequence slot.
[source] vLLM 0.32 `v1/worker/gpu/sample/penalties.py` (`output_bin_counts`, `prompt_bin_mask`)."""

VLLM_OLD_SAMPLER_BYTES_PER_LOGIT = 39
"""vLLM before its second model runner, with the native sampler: sort values, indices and softmax of
every logit.
[measured] 1.42 GiB for 256 x 152064, 4.76 GiB for 1024 x 128256."""

OTHER_SAMPLER_BYTES_PER_LOGIT = 16
"""SGLang and TGI: logits and probabilities in 32 bit, and one sorted copy. [estimate]"""

# Encoder -----------------------------------------------------------------------------------------

CHUNK_FRAMES = 8
"""Frames that the project's vLLM plugin encodes, projects and pools at a time."""

PROJECTOR_TENSORS = 2
"""Tensors of the projector that live at the same time (input and output of its second layer), each
patches x hidden size. [source] vLLM 0.32 `llava_onevision.py`
(`LlavaOnevisionMultiModalProjector`)."""

# Engine steps ------------------------------------------------------------------------------------

BATCHED_TOKENS = 2048
"""Tokens of one engine step where no item needs more: vLLM's own default for most cards. [source]
vLLM 0.32 `engine/arg_utils.py` (`get_batch_defaults`)."""

SEQUENCES = (256, 128, 64, 32)
"""Sequences of one engine step, tried in this order: 256 is vLLM's default for most cards; fewer
only where they make the layout fit."""

KV_BLOCK_TOKENS = 16
"""Tokens of one KV block. [source] vLLM 0.32 `config/cache.py`."""

NULL_BLOCKS = 1
"""Blocks that vLLM holds back. [source] vLLM 0.32 `v1/core/block_pool.py` (`null_block`)."""

CONTEXT_STEP = 16
"""The derived context length is rounded up to a multiple of this."""

VOCABULARY_STEP = 64
"""Embedding and head are padded to a multiple of this many rows. [source] vLLM 0.32
`vocab_parallel_embedding.py` (`DEFAULT_VOCAB_PADDING_SIZE`)."""

# Number formats ----------------------------------------------------------------------------------

BFLOAT16_CAPABILITY = (8, 0)
"""[source] vLLM 0.32 refuses bfloat16 below it (`platforms/cuda.py`)."""

FP8_CAPABILITY = (7, 5)
"""FP8 weights; below 8.9 they are unpacked on the fly (Marlin), which saves memory, not time.
[source] vLLM 0.32 `quantization/fp8.py` and `online/base.py` (`get_min_capability`)."""

FP8_NATIVE_CAPABILITY = (8, 9)
"""FP8 arithmetic. [source] vLLM 0.32 `compressed_tensors_w8a8_fp8.py`."""

INTEGER_CAPABILITY = {"GPTQ": (6, 0), "AWQ": (7, 5), "CompressedTensors": (7, 5)}
"""INT8 and INT4 checkpoints by method. [source] vLLM 0.32 `auto_gptq.py`, `auto_awq.py`,
`compressed_tensors_wNa16.py`, `compressed_tensors_w8a8_int8.py` (`get_min_capability`)."""

INTEGER_GROUPS = (32, 64, 128)
"""Group sizes of INT8 and INT4 checkpoints that the fast kernels take, besides whole channels.
[source] vLLM 0.32 `quantization/utils/marlin_utils.py` (`MARLIN_SUPPORTED_GROUP_SIZES`)."""

FP8_BLOCKS = (128,)
"""Side of the square blocks of FP8 checkpoints, besides whole channels. [source] vLLM 0.32
`quantization/utils/quant_utils.py` (`kFp8Static128BlockSym`)."""

SCALE_BITS = 16
"""A group's scale in INT8 and INT4 checkpoints; its zero point has as many bits as a weight."""

WIDE_SCALE_BITS = 32
"""A scale per output channel or FP8 block is kept in float32. [source] vLLM 0.32
`quantization/utils/w8a8_utils.py`, `model_executor/parameter.py`."""

BITSANDBYTES_BLOCK = 64
"""Weights that share a float32 scale in a bitsandbytes 4-bit checkpoint without double quant."""

# Rule of thumb -----------------------------------------------------------------------------------

RULE_OF_THUMB_PERCENT = 125
"""Weights plus a quarter, the middle of the usual "20 to 30 % more"."""
