"""The conversation format, rendered as Hugging Face renders it."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from videollm_vllm.tokenizer import CHAT_TEMPLATE

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
ASSISTANT = "<|im_start|>assistant\n"
TEXT = {"type": "text", "text": "What?"}
VIDEO = {"type": "video"}
IMAGE = {"type": "image"}


def render(*messages: tuple[str, Any], prompt: bool = True) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    asked = [{"role": role, "content": content} for role, content in messages]
    template = environment.from_string(CHAT_TEMPLATE)
    return str(template.render(messages=asked, add_generation_prompt=prompt))


@pytest.mark.parametrize("content", [[VIDEO, TEXT], [TEXT, VIDEO]])
def test_a_video_comes_first(content: list[Any]) -> None:
    asked = "<|im_start|>user\n<video>\nWhat?<|im_end|>\n"
    assert render(("user", content)) == SYSTEM + asked + ASSISTANT


def test_text_alone() -> None:
    asked = "<|im_start|>user\nWhat?<|im_end|>\n"
    assert render(("user", "What?")) == SYSTEM + asked + ASSISTANT
    assert render(("user", [TEXT])) == SYSTEM + asked + ASSISTANT


def test_several_stay_where_they_are() -> None:
    then = {"type": "text", "text": "Then?"}
    asked = "<|im_start|>user\nWhat?<image>\nThen?<image>\n<|im_end|>\n"
    assert render(("user", [TEXT, IMAGE, then, IMAGE])) == SYSTEM + asked + ASSISTANT


def test_a_conversation_with_its_own_system_message() -> None:
    rendered = render(
        ("system", "Be short."),
        ("user", [VIDEO, TEXT]),
        ("assistant", "A ball."),
        ("user", "More."),
        prompt=False,
    )
    assert rendered == (
        "<|im_start|>system\nBe short.<|im_end|>\n"
        "<|im_start|>user\n<video>\nWhat?<|im_end|>\n"
        "<|im_start|>assistant\nA ball.<|im_end|>\n"
        "<|im_start|>user\nMore.<|im_end|>\n"
    )
