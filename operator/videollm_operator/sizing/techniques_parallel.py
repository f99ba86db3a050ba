"""Every way to spread a model over GPUs, and what each does for this model on this GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.sizing.choose import by_strategy
from videollm_operator.sizing.techniques_base import answer, flag, refused, with_flag
from videollm_operator.sizing.text import count, gib
from videollm_operator.sizing.types import Layout, Technique, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand


def parallel(base: Demand) -> tuple[Technique, ...]:
    """Tensor, pipeline, data, expert and context parallelism, in this order."""
    return (_tensor(base), _pipeline(base), _data(base), _expert(base), _context(base))


def _tensor(base: Demand) -> Technique:
    name, request = "Tensor parallelism", base.request
    how = with_flag(
        "spec.parallelism.strategy: TensorFirst",
        flag(request, "--tensor-parallel-size", "--tp-size", "--num-shard"),
    )
    sizes = [size for size in base.legal_tensor if size <= request.gpu.gpus_per_node]
    if len(sizes) == 1:
        return refused(name, how, f"a node with {request.gpu.sku} has one GPU")
    fit = by_strategy(base, ParallelismStrategy.TENSOR_FIRST)
    each = ", ".join(f"TP{size} {gib(base.fit(Layout(size, 1)).weights)}" for size in sizes)
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=None,
        gpus=fit.layout.gpus if fit and fit.layout.pipeline == 1 else None,
        how=how,
        note=f"splits weights and KV cache over the GPUs of a node; weights per GPU: {each}",
    )


def _pipeline(base: Demand) -> Technique:
    name, how = "Pipeline parallelism", "spec.parallelism.strategy: FewestGPUs"
    if not base.request.budget.supports_pipeline:
        engine = base.request.budget.type
        return refused(name, how, f"{engine} has none for {base.request.architecture.class_name}")
    how = with_flag(how, flag(base.request, "--pipeline-parallel-size"))
    fits = [
        layout
        for layout in base.in_node
        if layout.pipeline > 1 and base.fit(layout).verdict is Verdict.FITS
    ]
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=None,
        gpus=fits[0].gpus if fits else None,
        how=how,
        note="splits by layers, so any number of GPUs works; stages wait for each other, and each "
        "holds the whole vision tower",
    )


def _data(base: Demand) -> Technique:
    """Copies of the whole model: what `spec.replicas` is."""
    chosen = answer(base)
    how = with_flag("spec.replicas", flag(base.request, "--data-parallel-size", "--dp-size"))
    note = "every replica holds all weights, so no GPU needs less; it adds throughput"
    if chosen is None:
        return refused("Data parallelism", how, f"{note}; and not even one replica fits in a node")
    return Technique(
        name="Data parallelism",
        offered=True,
        weights_gib=None,
        saves_gib=None,
        gpus=chosen.layout.gpus,
        how=how,
        note=f"{note}: {count(chosen.layout.gpus, 'GPU')} more for each replica, which the "
        "operator places as pods of their own",
    )


def _expert(base: Demand) -> Technique:
    """VLLM 0.32 `config/model.py` refuses it for a model without experts."""
    model = base.request.architecture.class_name
    return refused(
        "Expert parallelism",
        flag(base.request, "--enable-expert-parallel", "--ep-size"),
        f"splits the experts of a mixture; {model} has none, and engines refuse it for such models",
    )


def _context(base: Demand) -> Technique:
    """Splits the KV cache by tokens, where tensor parallelism has to copy heads.

    vLLM 0.33 `config/model.py` (`verify_with_parallel_config`): for grouped heads only where the
    tensor-parallel size exceeds their number.
    """
    name = "Sequence (context) parallelism"
    how = flag(base.request, "--decode-context-parallel-size", "--dcp-size")
    heads = base.request.architecture.text.key_value_heads
    chosen = answer(base)
    tensor = chosen.layout.tensor if chosen else max(each.tensor for each in base.in_node)
    if tensor <= heads:
        return refused(
            name,
            how,
            f"saves nothing: tensor parallelism of {tensor} splits the {heads} key/value heads "
            "already, and vLLM allows it only where heads are copied. A prompt is prefilled in "
            "steps, so activations do not grow with the context",
        )
    fit = base.fit(Layout(tensor, chosen.layout.pipeline if chosen else 1))
    copies = tensor // heads
    return refused(
        name,
        how,
        f"would save {gib(fit.kv_cache - fit.kv_cache / copies)} per GPU: TP{tensor} keeps "
        f"{count(copies, 'copy').replace('copys', 'copies')} of each of {heads} key/value heads. "
        "The plan does not count it yet",
    )
