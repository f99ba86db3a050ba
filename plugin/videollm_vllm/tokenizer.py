"""The original's tokenizer with two more tokens: one stands for an image, one for a video."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from videollm_vllm.checkpoint import PrepareError, read_json

if TYPE_CHECKING:
    from pathlib import Path

JSON = dict[str, Any]
IMAGE, VIDEO = "<image>", "<video>"

CHAT_TEMPLATE = """\
{%- macro placeholder(part) -%}
{%- if part['type'] in ('image', 'image_url', 'input_image') -%}<image>
{% elif part['type'] in ('video', 'video_url') -%}<video>
{% endif -%}
{%- endmacro -%}
{%- macro text_of(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- set media = content | rejectattr('type', 'equalto', 'text') | list -%}
{%- if media | length == 1 -%}{{ placeholder(media[0]) }}{%- endif -%}
{%- for part in content -%}
{%- if part['type'] == 'text' -%}{{ part['text'] }}
{%- elif media | length > 1 -%}{{ placeholder(part) }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- if messages[0]['role'] != 'system' -%}
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}{{ text_of(message['content']) }}{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""
"""The conversation `qwen_1_5` of the LLaVA-NeXT repository.

As in its training data a single video or image comes before the text, wherever the request has it;
several stay where the request has them.
"""


def tokenizer_files(folder: Path, vocabulary: int) -> tuple[dict[str, JSON], int, int]:
    """`tokenizer.json` and `tokenizer_config.json`; ids of the image and of the video token.

    Args:
        folder: of the original checkpoint.
        vocabulary: rows of its embedding, which the new ids must not exceed.
    """
    tokenizer = _tokenizer(folder)
    config = read_json(folder / "tokenizer_config.json")
    ids = {token["content"]: int(token["id"]) for token in tokenizer["added_tokens"]}
    free = 1 + max([*tokenizer["model"]["vocab"].values(), *ids.values()])
    for content in (IMAGE, VIDEO):
        if content not in ids:
            ids[content], free = free, free + 1
            tokenizer["added_tokens"].append({"id": ids[content], **_token(content)})
        if ids[content] >= vocabulary:
            raise PrepareError(
                f"the token {content} would be number {ids[content]}, the embedding ends at "
                f"{vocabulary - 1}; the tokenizer is not of this checkpoint"
            )
        if "added_tokens_decoder" in config:
            config["added_tokens_decoder"][str(ids[content])] = _token(content)
    config.pop("chat_template", None)  # the one that is written beside it holds
    config["processor_class"] = "LlavaOnevisionProcessor"
    files = {"tokenizer.json": tokenizer, "tokenizer_config.json": config}
    return files, ids[IMAGE], ids[VIDEO]


def _token(content: str) -> JSON:
    return {
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _tokenizer(folder: Path) -> JSON:
    """`tokenizer.json`; where there is none it is made from `vocab.json` and `merges.txt`."""
    if (folder / "tokenizer.json").is_file():
        return read_json(folder / "tokenizer.json")
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise PrepareError(
            f"{folder} has no tokenizer.json, nor vocab.json with merges.txt to make one from"
        )
    from transformers import Qwen2Tokenizer  # seconds, so only where it is needed

    made = Qwen2Tokenizer.from_pretrained(str(folder))
    return dict(json.loads(made.backend_tokenizer.to_str()))
