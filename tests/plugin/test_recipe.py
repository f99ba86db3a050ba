"""The time instruction, as the recipe of LLaVA-Video words it."""

from __future__ import annotations

import numpy as np
import pytest
from videollm_vllm.recipe import sampled, time_instruction


@pytest.mark.parametrize("total", [1, 2, 40, 64, 301, 9000])
@pytest.mark.parametrize("frames", [1, 2, 8, 32, 64])
def test_frames_are_those_that_numpy_takes(total: int, frames: int) -> None:
    assert sampled(total, frames) == np.linspace(0, total - 1, frames, dtype=int).tolist()


def test_the_sentence() -> None:
    assert time_instruction(31, 10.0, frames=4) == (
        "The video lasts for 3.10 seconds, and 4 frames are uniformly sampled from it. These "
        "frames are located at 0.00s,1.00s,2.00s,3.00s.Please answer the following questions "
        "related to this video."
    )
