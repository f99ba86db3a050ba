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

NETWORK_BUFFERS_MIB = 256
"""More of it with several nodes: what NCCL keeps on the GPU for the network between pipeline
stages. The first request takes it, after vLLM has measured. [source] NCCL, main branch of 2026:
`src/transport/net.cc` (`sharedNetBuffersInit`) has one pool to send and one to receive, each of at
most 64 channels x 16 steps x 128 KiB, on the GPU where the network card reaches it (GPUDirect RDMA)
and in host memory elsewhere. It binds only on cards below 22 GiB at 0.92."""

# Bounds: how much larger than predicted a term may be ---------------------------------------------

WEIGHTS_BOUND_PERMILLE = 5
"""Twice the worst error of loaded weights above 3 GiB. [measured] 0 to 2.9 per mille in eleven
logs of 5 to 68 GiB (docs/accuracy.md)."""

WEIGHTS_BOUND_MIB = 32
"""What does not grow with the weights: rotary tables, rounding of small tensors. [measured] 10 and
12 MiB of two models below 3 GiB."""

CHECKPOINT_BOUND_PERMILLE = 20
"""Weights of a checkpoint that is quantized already, of which only format and groups are known.
[estimate] GPTQ and AWQ differ in what lies beside the weights (zero points are 0.8 % of INT4 in
groups of 128), and tools in the layers that they leave alone."""

PEAK_BOUND_PERMILLE = 125
"""Decoder and encoder. [measured] 5 % above the formula (Qwen2.5-1.5B on a T4) and 12 %
(Mistral-Small-3.2-24B on an H100), the two logs in which they decide."""

SAMPLER_BOUND_BYTES_PER_LOGIT = 4
"""One more copy in 32 bit: filtering by top-k or top-p may return a new tensor, which the start-up
measurement of vLLM 0.32 does not see. [source] `v1/worker/gpu/sample/sampler.py` (`sample`)."""

GRAPHS_BOUND_MIB = 1454
"""[measured] up to 2.44 GiB in start-up logs of vLLM 0.18 to 0.29, where 1 GiB is predicted."""

BUFFERS_BOUND_MIB = 51
"""[estimate] a quarter of the small buffers. [measured] no log needs as much as they are predicted
to be (docs/accuracy.md)."""

RUNTIME_BOUND_MIB_SINGLE = BUFFERS_BOUND_MIB
RUNTIME_BOUND_MIB_MULTI = BUFFERS_BOUND_MIB + 154
"""NCCL takes 50 MiB more with four or eight GPUs than with two, for which there are logs [measured,
aiconfigurator's system files]; twice that again for links other than NVLink [estimate]."""

# Fixed terms, MiB per GPU ------------------------------------------------------------------------

GRAPHS_MIB = 1024
"""CUDA graphs, charged inside the budget since vLLM 0.21. [measured] -0.9 to 2.4 GiB, mostly 0.25
to 1.5; [estimate] 1 GiB with all batch sizes captured."""

GRAPHS_SHARED_MIB = 256
"""Part of it that is there with one batch size already: workspaces of libraries, tensors of the
largest batch. [estimate]; the rest grows with the number of batch sizes, as vLLM estimates too."""

GRAPHS_LARGEST_BATCH = 512
"""Graphs are captured for batches of 1, 2, 4, then every 8 up to 256, then every 16 up to twice the
sequences of a step, and no further than this. [source] vLLM 0.32 `config/vllm.py`
(`_set_cudagraph_sizes`)."""

SMALL_BUFFERS_MIB = 205
"""0.2 GiB: RoPE tables, workspaces, block tables, allocator rounding. [estimate] on the safe side:
in fourteen logs loaded weights exceed computed ones by up to 79 MiB (docs/accuracy.md)."""

RUNTIME_MIB_SINGLE = 154 + SMALL_BUFFERS_MIB
"""One GPU: 0.15 GiB outside torch after start-up. [measured] 0.13 to 0.14 GiB, vLLM 0.11 on an
H100."""

RUNTIME_MIB_MULTI = 563 + SMALL_BUFFERS_MIB
"""Several GPUs: 0.55 GiB, NCCL's buffers. [measured] 0.54 to 0.55 GiB, vLLM 0.11 on H100."""

ATTENTION_WORKSPACE_MIB = 394
"""Workspace of FlashInfer, where that computes attention: on compute capability 10.x, where vLLM
prefers it, and below 8.0, for which FlashAttention is not made. It is taken with the first request
that needs it, so vLLM's start-up measurement may not see it. [source] vLLM, main branch of 2026:
`platforms/cuda.py` (`_get_backend_priorities`), `envs.py`
(`VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE`)."""

ATTENTION_WORKSPACE_BOUND_MIB = 394
"""On 10.x each of its two kernels may have one. [source] the same,
`v1/attention/backends/flashinfer.py` (`_get_trtllm_gen_workspace_buffer`)."""

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
"""FP8 arithmetic; below it FP8 only saves memory. [source] vLLM 0.32
`compressed_tensors_w8a8_fp8.py`, `utils/marlin_utils_fp8.py`."""

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

BITSANDBYTES_ONLINE_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Bits of a weight that bitsandbytes makes while loading: NF4 whose scales, one for 64 weights, are
in 8 bit, with one float32 for 256 of them. [source] vllm-bnb-plugin 0.0.3 `bitsandbytes_loader.py`
(`compress_statistics=True`)."""

# Rule of thumb -----------------------------------------------------------------------------------

RULE_OF_THUMB_PERCENT = 125
"""Weights plus a quarter, the middle of the usual "20 to 30 % more"."""
