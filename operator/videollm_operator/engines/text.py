"""How refusals are worded, and how a user's text is kept from meaning anything to Kubernetes."""

from __future__ import annotations

import difflib
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def literal(text: str) -> str:
    """`text` such that Kubernetes hands exactly it to the container.

    Kubernetes expands `$(NAME)` in arguments and in values of variables, and reads `$$` as `$`
    (third_party/forked/golang/expansion). Without this a served name could print a token.
    """
    return text.replace("$", "$$")


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words as a person lists them: `a`, `a or b`, `a, b or c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def quoted(words: Sequence[str], last: str = "or") -> str:
    """`listed`, each word in quotes and cut to a readable length."""
    return listed([f"'{short(word)}'" for word in words], last)


MOST_SUGGESTIONS = 3

LEAST_ALIKE = 0.6
"""difflib's own cutoff: about two letters of five may differ."""

SHORTEST_PART = 3
"""Letters from which a part of a name says which one is meant."""


def did_you_mean(
    word: str, known: Iterable[str], also: Mapping[str, str] = MappingProxyType({})
) -> str:
    """A question with the closest known words, to put after a sentence; empty if none is close.

    A word is close to what it begins, to what holds it or all its parts (`llava-72b` is
    `lmms-lab/LLaVA-Video-72B-Qwen2`), and, where there is none of these, to what is spelt much
    like it. Case, punctuation and the owner of a hub id do not count.

    Args:
        word: what was written.
        known: what it may be.
        also: other spellings that people use, to the known word that each means.
    """
    spellings = [*((name, name) for name in known), *also.items()]
    ranked = sorted(
        (rank, -alike, index, name)
        for index, (spelling, name) in enumerate(spellings)
        for rank, alike in (_closeness(word, spelling),)
        if rank < _FAR
    )
    named = [rank for rank, _, _, _ in ranked if rank < _ALIKE]
    close = [name for rank, _, _, name in ranked if rank < _ALIKE or not named]
    close = list(dict.fromkeys(close))[:MOST_SUGGESTIONS]
    return f" Did you mean {quoted(close)}?" if close else ""


_ALIKE, _FAR = 3, 4


def _closeness(word: str, spelling: str) -> tuple[int, float]:
    """0 same, 1 beginning, 2 part or all parts, then alike, and how much, and far."""
    wanted = _plain(word)
    if not wanted:
        return _FAR, 0.0
    forms = {_plain(spelling), _plain(spelling.rpartition("/")[2])}
    alike = max(difflib.SequenceMatcher(None, wanted, form).ratio() for form in forms)
    if wanted in forms:
        return 0, 0.0
    if any(form.startswith(wanted) for form in forms):
        return 1, 0.0
    parts = [part for part in re.split(r"[^a-z0-9]+", word.lower()) if part]
    whole = len(wanted) >= SHORTEST_PART and any(wanted in form for form in forms)
    if whole or (len(parts) > 1 and any(all(p in form for p in parts) for form in forms)):
        return 2, 0.0
    return (_ALIKE, alike) if alike >= LEAST_ALIKE else (_FAR, 0.0)


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def short(text: str, limit: int = 60) -> str:
    """`text` on one line and not longer than `limit`, for a message."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 3]}..."
