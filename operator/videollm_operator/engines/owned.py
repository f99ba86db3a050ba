"""Flags that the plan owns, engine by engine: what to change in the object instead.

Every flag that a launch sets is here, and so is every flag that would make the plan's arithmetic
wrong (other KV format, adapters, speculation), open what is closed (unlimited media) or bypass
the checks (arguments from a file). The values end the sentence "... which the plan sets: remove
it and ...".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODEL = "set `spec.model` instead"
_SERVED = "set `spec.model.servedName` instead"
_PORT = "set `spec.network.port` instead"
_DTYPE = "set `spec.dtype` instead"
_QUANTIZATION = "set `spec.quantization` instead"
_PARALLEL = "set `spec.parallelism` and `spec.gpu` instead"
_REPLICAS = "set `spec.replicas` instead"
_LENGTH = "set `spec.workload.maxModelLen` instead"
_WORKLOAD = "set `spec.workload` instead"
_MEMORY = "set `spec.gpu` or `spec.workload` instead: it follows from the plan's budget"
_OFFLOAD = "set `spec.offload.cpuGiBPerGPU` instead"
_DOMAINS = "set `spec.network.allowedMediaDomains` instead"
_KEY = "set `spec.network.apiKeySecretRef` instead"
_TOKEN = "set `spec.model.source.huggingFace.tokenSecretRef` instead"  # noqa: S105 - a field name
_CACHE = "set `spec.cache` instead"
_GRACE = "set `spec.workload.maxOutputTokens` instead: the grace period follows from it"
_HTTP = "end TLS in front of the Service: the probes speak plain HTTP"
_LISTEN = "leave it: probes and Service need the engine on the pod's address"
_FILE = "list the arguments themselves, so that they can be checked"
_NODES = "leave it: a replica across nodes is not built yet"
_KV = "leave it: the plan counts the KV cache in the model's own format"
_UNPLANNED = "leave it: the plan does not count its GPU memory"
_MEDIA = "leave it: requests beyond `spec.workload` would not fit"
_CONFIG = "leave it: the plan's numbers are those of the checkpoint's own configuration"
_TELEMETRY = "leave it to the operator, which switches telemetry off"
_METRICS = "leave it: the operator reads the engine's metrics"


def _table(groups: Mapping[str, str]) -> Mapping[str, str]:
    """Remedy -> "flag flag ..." turned into flag -> remedy."""
    return {flag: remedy for remedy, flags in groups.items() for flag in flags.split()}


VLLM = _table(
    {
        _MODEL: "--model --revision",
        _SERVED: "--served-model-name",
        _PORT: "--port --grpc --grpc-port",
        _LISTEN: "--host --uds --root-path",
        _DTYPE: "--dtype",
        _QUANTIZATION: "--quantization --quantization-config --allow-deprecated-quantization",
        _PARALLEL: "--tensor-parallel-size --pipeline-parallel-size "
        "--distributed-executor-backend --device-ids --enable-expert-parallel "
        "--decode-context-parallel-size --prefill-context-parallel-size",
        _REPLICAS: "--data-parallel-* --api-server-count --enable-elastic-ep "
        "--elastic-ep-max-dp-size --enable-scale-out",
        _NODES: "--nnodes --node-rank --master-addr --master-port --headless",
        _LENGTH: "--max-model-len",
        _WORKLOAD: "--max-num-seqs --max-num-active-seqs --max-num-batched-tokens "
        "--max-num-scheduled-tokens --enable-chunked-prefill --limit-mm-per-prompt "
        "--media-io-kwargs --language-model-only --mm-encoder-only --tokens-only",
        _MEMORY: "--gpu-memory-utilization --kv-cache-memory-bytes --num-gpu-blocks-override",
        _KV: "--kv-cache-dtype --kv-cache-dtype-skip-layers --block-size",
        _OFFLOAD: "--cpu-offload-* --offload-* --kv-offloading-*",
        _DOMAINS: "--allowed-media-domains",
        _KEY: "--api-key",
        _TOKEN: "--hf-token",
        _CACHE: "--download-dir",
        _GRACE: "--shutdown-timeout",
        _HTTP: "--ssl-* --enable-ssl-refresh",
        _FILE: "--config",
        _UNPLANNED: "--enable-lora --lora-* --max-loras --max-lora-rank --default-mm-loras "
        "--speculative-config --spec-* --kv-transfer-config --ec-transfer-config "
        "--compilation-config --cudagraph-capture-sizes --max-cudagraph-capture-size "
        "--optimization-level --mm-encoder-tp-mode --mm-ipc-gpu-memory-gb --mm-processor-device "
        "--enable-dbo --ubatch-size --worker-cls --worker-extension-cls --scheduler-cls",
        _MEDIA: "--trust-request-mm-kwargs --skip-mm-profiling --mm-processor-kwargs "
        "--enable-mm-embeds --enable-prompt-embeds --disable-chunked-mm-input --mm-tensor-ipc",
        _CONFIG: "--hf-overrides --hf-config-path --model-impl --model-class-overrides "
        "--load-format --runner --convert --config-format --skip-tokenizer-init "
        "--video-pruning-*",
    }
)

SGLANG = _table(
    {
        _MODEL: "--model-path --revision",
        _SERVED: "--served-model-name",
        _PORT: "--port --nccl-port --grpc-mode --grpc-port --smg-*",
        _LISTEN: "--host --fastapi-root-path",
        _DTYPE: "--dtype",
        _QUANTIZATION: "--quantization --quantization-param-path --quantize-and-serve "
        "--modelopt-* --rl-quant-profile",
        _PARALLEL: "--tp-size --pp-size --ep-size --max-ep-size --attn-* --moe-* --dcp-* "
        "--dwdp-size --enable-dp-attention "
        "--enable-dp-attention-local-control-broadcast --enable-dp-lm-head "
        "--base-gpu-id --gpu-id-step --device --use-ray",
        _REPLICAS: "--dp-size --load-balance-method --tokenizer-worker-num "
        "--detokenizer-worker-num --elastic-ep-*",
        _NODES: "--nnodes --node-rank --dist-init-addr",
        _LENGTH: "--context-length",
        _WORKLOAD: "--max-running-requests --chunked-prefill-size --max-prefill-tokens "
        "--max-total-tokens --limit-mm-data-per-request --prefill-max-requests "
        "--enable-mixed-chunk --enable-dynamic-chunking",
        _MEMORY: "--mem-fraction-static",
        _KV: "--kv-cache-dtype --page-size",
        _OFFLOAD: "--cpu-offload-gb --offload-* --ple-offload-* --enable-hierarchical-cache "
        "--hicache-*",
        _DOMAINS: "--allowed-media-domains",
        _KEY: "--api-key --admin-api-key",
        _CACHE: "--download-dir",
        _HTTP: "--ssl-* --enable-ssl-refresh --enable-http2",
        _FILE: "--config",
        _UNPLANNED: "--enable-lora --enable-lora-* --lora-* --max-loras-per-batch "
        "--max-loaded-loras --max-lora-* --speculative-* --decoupled-spec-* --disaggregation-* "
        "--cuda-graph-* --enable-torch-compile --torch-compile-max-bs "
        "--enable-two-batch-overlap --enable-pdmux --enable-symm-mem --dllm-*",
        _MEDIA: "--mm-process-config --mm-enable-dp-encoder --language-only "
        "--language-model-only --encoder-*",
        _CONFIG: "--json-model-override-args --model-impl --load-format --is-embedding "
        "--chat-template --hf-chat-template-name --skip-tokenizer-init",
        _METRICS: "--enable-metrics",
    }
)

TGI = _table(
    {
        _MODEL: "--model-id --revision",
        _PORT: "--port --prometheus-port --master-port",
        _LISTEN: "--hostname",
        _DTYPE: "--dtype",
        _QUANTIZATION: "--quantize",
        _PARALLEL: "--sharded --num-shard",
        _NODES: "--master-addr",
        _LENGTH: "--max-total-tokens --max-input-tokens --max-input-length",
        _WORKLOAD: "--max-batch-prefill-tokens --max-batch-total-tokens "
        "--max-concurrent-requests --payload-limit --max-batch-size",
        _MEMORY: "--cuda-memory-fraction",
        _KV: "--kv-cache-dtype",
        _KEY: "--api-key",
        _CACHE: "--huggingface-hub-cache --weights-cache-override",
        _GRACE: "--graceful-termination-timeout",
        _UNPLANNED: "--lora-adapters --speculate --cuda-graphs",
        _CONFIG: "--rope-scaling --rope-factor",
        _TELEMETRY: "--usage-stats",
        "leave it: logs are JSON already": "--json-output",
        "leave it: it prints and ends, and nothing would serve": "--env",
    }
)


def remedy(name: str, owned: Mapping[str, str]) -> str:
    """What to do instead of this flag; empty if the plan does not own it.

    A key that ends in `*` owns all flags that begin with it.
    """
    if name in owned:
        return owned[name]
    return next(
        (
            text
            for key, text in owned.items()
            if key.endswith("*") and name.startswith(key.removesuffix("*"))
        ),
        "",
    )
