"""Serves the original LLaVA-Video checkpoints with vLLM, in the token layout of their training.

vLLM calls `register` in each of its processes (entry point group `vllm.general_plugins`).
"""

ARCHITECTURE = "LlavaQwenForCausalLM"
"""What `config.json` of the original checkpoints calls the model."""


def register() -> None:
    """Tell vLLM which class serves the architecture.

    By name: the class is imported only where the model is built. Importing it here would start
    CUDA in processes that must not have it yet.
    """
    from vllm import ModelRegistry

    ModelRegistry.register_model(ARCHITECTURE, "videollm_vllm.model:LlavaQwenForCausalLM")
