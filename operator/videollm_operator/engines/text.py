"""How refusals are worded, and how a user's text is kept from meaning anything to Kubernetes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question with the closest known words, to put after a sentence; empty if none is close."""
    by_lower = {name.lower(): name for name in known}
    begins = [name for name in by_lower if word and name.startswith(word.lower())]
    alike = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.6)
    close = list(dict.fromkeys([*begins, *alike]))[:3]
    return f" Did you mean {quoted([by_lower[name] for name in close])}?" if close else ""


def short(text: str, limit: int = 60) -> str:
    """`text` on one line and not longer than `limit`, for a message."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 3]}..."
