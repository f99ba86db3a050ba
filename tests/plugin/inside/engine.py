"""The same requests, answered by vLLM itself with the plugin, on the CPU and in one process.

    python engine.py MODEL REQUESTS ANSWERS [MUTATION]

MODEL is the folder that `prepare` made. Requests that have newlines and pooling in common go to
one engine, which gets them by `--hf-overrides`; requests of one batch are sent at once. Answers are
as `reference.py` gives them. MUTATION breaks the plugin on purpose: "drop" leaves the newlines of
grids out, "zero" puts nothing where they belong.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
from pathlib import Path

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

import numpy as np
import torch
from PIL import Image
from vllm import LLM, SamplingParams
from vllm.distributed import cleanup_dist_env_and_memory

NEW_TOKENS = 12
_CACHE_BYTES = 32 << 20


def watch(mutation):
    """Keep what the model makes of videos and images; break it if wanted. Returns the list."""
    from videollm_vllm.layout import Layout
    from videollm_vllm.model import LlavaQwenForCausalLM as Model

    seen = []
    original = Model.embed_multimodal

    def embed(self, **inputs):
        embeddings = original(self, **inputs)
        seen.extend(item.detach().clone() for item in embeddings)
        return embeddings

    Model.embed_multimodal = embed
    if mutation == "drop":
        Layout.video_tokens = lambda self, frames: frames * self.rows * self.rows
        Model._lay_out = lambda self, frames: frames.flatten(0, 2)
    elif mutation == "zero":
        end_lines = Model._end_lines

        def without(self, lines):
            kept = self.image_newline
            self.image_newline = torch.nn.Parameter(torch.zeros_like(kept), requires_grad=False)
            laid = end_lines(self, lines)
            self.image_newline = kept
            return laid

        Model._end_lines = without
    return seen


def prompt(tokenizer, request):
    kinds = [{"type": kind} for kind, _ in request["media"]]
    text = {"type": "text", "text": request["question"]}
    content = [text, *kinds] if len(kinds) == 1 else [*kinds, text]
    message = {"role": "user", "content": content}
    text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    data = {}
    for kind, path in request["media"]:
        item = np.load(path)
        data.setdefault(kind, []).append(Image.fromarray(item) if kind == "image" else item)
    return {"prompt": text, "multi_modal_data": data}


def make_room_for_stages():
    """Give each later stage the tensors that it receives.

    vLLM's GPU worker does so in the first run by which it sizes its cache. Its CPU worker leaves
    that run out for models that are not compiled, and fails at the first request.
    """
    from vllm.distributed import get_pp_group
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    original = CPUModelRunner.initialize_kv_cache

    def initialize(self, *arguments, **more):
        original(self, *arguments, **more)
        if not get_pp_group().is_first_rank:
            self.intermediate_tensors = self.model.make_empty_intermediate_tensors(
                batch_size=self.max_num_tokens, dtype=self.model_config.dtype, device=self.device
            )

    CPUModelRunner.initialize_kv_cache = initialize


def layout(item):
    """Newlines and pooling of a named request."""
    return item[1]["newlines"], item[1]["pooling"]


def main():
    model, requests, answers = map(Path, sys.argv[1:4])
    tensor = int(os.environ.get("TENSOR_PARALLEL", "1"))
    pipeline = int(os.environ.get("PIPELINE_PARALLEL", "1"))
    seen = watch(sys.argv[4] if len(sys.argv) > 4 else "")
    requests = json.loads(requests.read_text())
    found, embeddings = {}, {}
    for (newlines, pooling), group in itertools.groupby(
        sorted(requests.items(), key=layout), layout
    ):
        llm = LLM(
            model=str(model),
            dtype="float32",
            enforce_eager=True,
            max_model_len=2048,
            max_num_batched_tokens=2048,
            max_num_seqs=4,
            kv_cache_memory_bytes=_CACHE_BYTES,
            limit_mm_per_prompt={"image": 2, "video": 2},
            hf_overrides={"mm_newline_position": newlines, "mm_spatial_pool_mode": pooling},
            tensor_parallel_size=tensor,
            pipeline_parallel_size=pipeline,
            max_logprobs=-1,
            seed=0,
        )
        settings = SamplingParams(temperature=0, max_tokens=NEW_TOKENS, logprobs=-1)
        batches = {}
        for name, request in group:
            batches.setdefault(request.get("batch", name), {})[name] = request
        for batch in batches.values():
            seen.clear()
            prompts = [prompt(llm.get_tokenizer(), request) for request in batch.values()]
            outputs = llm.generate(prompts, settings, use_tqdm=False)
            for name, output in zip(batch, outputs, strict=True):
                first = output.outputs[0].logprobs[0]
                found[name] = {
                    "prompt_tokens": len(output.prompt_token_ids),
                    "tokens": list(output.outputs[0].token_ids),
                    "first": [first[token].logprob for token in range(len(first))],
                }
            flat = iter(seen)
            for name, request in batch.items():
                for number in range(len(request["media"]) if tensor == pipeline == 1 else 0):
                    embeddings[f"{name}/{number}"] = next(flat).numpy()
        del llm
        gc.collect()
        cleanup_dist_env_and_memory()
    np.savez(answers.with_suffix(".npz"), **embeddings)
    answers.write_text(json.dumps(found))


if "PIPELINE_PARALLEL" in os.environ:  # here, so that it holds in the workers too
    make_room_for_stages()
if __name__ == "__main__":
    main()
