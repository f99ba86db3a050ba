"""What the original recipe adds to a question: which frames are shown, and when they are.

For clients; the server adds nothing to a request by itself. Only the standard library.
"""

from __future__ import annotations

FRAMES = 64


def sampled(total: int, frames: int = FRAMES) -> list[int]:
    """Numbers of the frames that are shown: uniform, first and last among them.

    As numpy's `linspace(0, total - 1, frames, dtype=int)`, which vLLM and the recipe both use.

    Args:
        total: frames of the video.
        frames: frames to show; what the server samples (`--media-io-kwargs`, `num_frames`).
    """
    if frames < 2:
        return [0] * frames
    step = (total - 1) / (frames - 1)
    return [*(int(number * step) for number in range(frames - 1)), total - 1]


def time_instruction(total: int, fps: float, frames: int = FRAMES) -> str:
    """The sentence that goes before the question about a video, as in the recipe of LLaVA-Video.

    Args:
        total: frames of the video.
        fps: frames per second of the video.
        frames: frames to show, as for `sampled`.
    """
    times = ",".join(f"{number / fps:.2f}s" for number in sampled(total, frames))
    return (
        f"The video lasts for {total / fps:.2f} seconds, and {frames} frames are uniformly "
        f"sampled from it. These frames are located at {times}.Please answer the following "
        "questions related to this video."
    )
