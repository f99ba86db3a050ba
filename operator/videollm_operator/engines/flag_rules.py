"""What the engines ask of their arguments beyond what their flag tables say.

vLLM: entrypoints/openai/cli_args.py (`validate_parsed_serve_args`), config/*.py (bounds of the
fields). SGLang: srt/server_args.py (`check_server_args`). The `engines` lane shows each to be so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VLLM_NEEDS: Mapping[str, str] = {
    "--enable-auto-tool-choice": "--tool-call-parser",
    "--enable-log-outputs": "--enable-log-requests",
    "--collect-detailed-traces": "--otlp-traces-endpoint",
    "--numa-bind-nodes": "--numa-bind",
    "--numa-bind-cpus": "--numa-bind",
    "--mm-shm-cache-max-object-size-mb": "--mm-processor-cache-type",
}
SGLANG_NEEDS: Mapping[str, str] = {
    "--export-metrics-to-file": "--export-metrics-to-file-dir",
    "--load-publish-endpoint": "--kv-events-config",
    "--sidecar-args": "--sidecar",
}
"""Flag -> the flag without which the engine ends at its start."""

VLLM_TEXTS = frozenset({"--reasoning-effort-map"})
"""Flags whose JSON is an object of strings."""

VLLM_LEAST: Mapping[str, float] = {
    "--sse-keep-alive-interval": 0,
    "--long-prefill-token-threshold": 0,
    "--max-num-queued-reqs": 0,
    "--max-parallel-loading-workers": 1,
    "--mm-processor-cache-gb": 0,
    "--prefill-schedule-interval": 1,
    "--prefix-cache-retention-interval": 0,
    "--prefix-match-unit": 1,
}
SGLANG_LEAST: Mapping[str, float] = {
    "--media-url-max-file-size-mb": 0,
    "--mm-io-worker-num": 0,
    "--mm-preprocess-cache-size-mb": 0,
    "--mm-processor-worker-num": 0,
    "--prefill-decode-interval": 0,
    "--prefill-decode-interval-min-bs": 0,
    "--sampling-mask-max-tokens": 1,
    "--schedule-conservativeness": 0,
}
"""Flag -> its least value."""
