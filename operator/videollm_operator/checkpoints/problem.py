"""The one error of this package: what is wrong with a checkpoint, in a sentence."""

from __future__ import annotations


class CheckpointProblem(Exception):  # noqa: N818 - a finding in someone's files, not an error of ours
    """A model folder or repository cannot be described. The text is one sentence for people."""
