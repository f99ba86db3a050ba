"""Tokenizer files of the right kind, with the special tokens where `config.json` says they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.engines.models import Text

_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": True,
}


def special_tokens(kind: str, text: Text) -> dict[str, int]:
    """Special tokens and their ids, as the conversions to the HF format number them."""
    if text.model_type == "qwen2":
        return {
            "<|endoftext|>": 151_643,
            "<|im_start|>": 151_644,
            "<|im_end|>": 151_645,
            "<image>": 151_646,
            "<video>": 151_647,
        }
    first = 64_000 if text.vocab_size > 64_000 else 32_000
    special = {"<unk>": 0, "<s>": 1, "</s>": 2, "<image>": first}
    if kind == "llava_next_video":
        special |= {"<video>": first, "<image>": first + 1}
    return special


def tokenizer(special: dict[str, int]) -> dict[str, Any]:
    """`tokenizer.json`: byte-level BPE without merges, so that every byte is a token."""
    free = (number for number in range(1000) if number not in special.values())
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, number in special.items()
        ],
        "normalizer": None,
        "pre_tokenizer": _BYTE_LEVEL,
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "vocab": {letter: next(free) for letter in letters} | special,
            "merges": [],
        },
    }


def tokenizer_config(special: dict[str, int], text: Text) -> dict[str, Any]:
    """`tokenizer_config.json`."""
    qwen = text.model_type == "qwen2"
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>" if qwen else "</s>",
        "pad_token": "<|endoftext|>" if qwen else "<unk>",
        "model_max_length": text.max_position_embeddings,
        "additionalspecial_tokens": [t for t in special if t in ("<image>", "<video>")],
    }
