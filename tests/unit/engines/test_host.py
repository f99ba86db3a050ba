from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.engines.builders import ONEVISION_7B, ONEVISION_72B, launched, planned
from videollm_operator.engines import host

if TYPE_CHECKING:
    from videollm_operator.engines.base import EngineLaunch

CLAIM = {"persistentVolumeClaim": {"claimName": "weights"}}
LOCAL_72B = {"name": "org/x", "base": ONEVISION_72B, "source": CLAIM}
GIB = 1024


def test_shared_memory_grows_with_the_workers() -> None:
    shm = {
        tensor: launched(ONEVISION_7B, parallelism={"strategy": "Manual", "tensor": tensor}).shm_mib
        for tensor in (1, 2, 4)
    }
    assert shm == {1: 1 * GIB, 2: 2 * GIB, 4: 3 * GIB}


def test_host_memory_is_the_sum_of_its_terms() -> None:
    result = planned(ONEVISION_7B)
    assert result.launch is not None
    weights = result.plan.weights_mib
    assert result.plan.layout.gpus == 1
    frames = 64 * 1920 * 1080 * 3 / 2**20
    expected = (4 + 4 + 8 + 1) * GIB + frames + min(weights, 5 * GIB)
    assert expected <= result.launch.memory_mib < expected + GIB


def test_offloaded_weights_lie_in_host_memory() -> None:
    without = launched(ONEVISION_7B).memory_mib
    assert launched(ONEVISION_7B, offload={"cpuGiBPerGPU": 4}).memory_mib == without + 4 * GIB


def test_a_small_model_maps_no_more_than_its_weights() -> None:
    small = launched("llava-hf/llava-onevision-qwen2-0.5b-ov-hf")
    assert small.memory_mib < launched(ONEVISION_7B).memory_mib


def test_every_worker_gets_cpus() -> None:
    assert launched(ONEVISION_7B).cpu == 4
    assert launched(ONEVISION_72B).cpu == 2 + 2 * 4


def on_disk(**rest: Any) -> EngineLaunch:
    return launched(ONEVISION_72B, **rest)


def test_the_cache_holds_the_weights_where_they_are_downloaded() -> None:
    weights = planned(ONEVISION_72B).plan.weights_mib
    launch = on_disk()
    assert launch.cache_mib > 1.1 * weights
    assert launch.cache_mib % GIB == 0
    assert launch.ephemeral_mib == host.SCRATCH_MIB
    assert launched(LOCAL_72B).cache_mib == host.SCRATCH_MIB


def test_a_cache_on_the_node_counts_as_its_disk() -> None:
    launch = on_disk(cache={"type": "EmptyDir"})
    assert launch.ephemeral_mib == host.SCRATCH_MIB + launch.cache_mib
    local = launched(LOCAL_72B)
    assert local.ephemeral_mib == host.SCRATCH_MIB + local.cache_mib


def test_a_volume_for_compiled_kernels_is_not_the_nodes_disk() -> None:
    launch = launched(LOCAL_72B, cache={"type": "PersistentVolumeClaim"})
    assert launch.ephemeral_mib == host.SCRATCH_MIB


def test_a_download_takes_longer_than_a_volume() -> None:
    weights = planned(ONEVISION_72B).plan.weights_mib
    local, hub = launched(LOCAL_72B).load_seconds, launched(ONEVISION_72B).load_seconds
    assert local == pytest.approx(300 + weights / 100, abs=10)
    assert hub == pytest.approx(300 + weights / 100 + weights / 50, abs=10)


@pytest.mark.parametrize(
    ("tokens", "grace"), [(1, 10 + 31 + 5), (1024, 10 + 30 + 205 + 5), (20000, 1800)]
)
def test_a_pod_may_finish_its_longest_answer(tokens: int, grace: int) -> None:
    launch = launched(ONEVISION_7B, workload={"framesPerVideo": 8, "maxOutputTokens": tokens})
    assert launch.termination_grace_seconds == grace
    assert launch.pre_stop_seconds == 10


def test_offloaded_weights_slow_every_token() -> None:
    slow = launched(ONEVISION_7B, offload={"cpuGiBPerGPU": 8})
    assert slow.termination_grace_seconds == 10 + 30 + 1229 + 5


def test_what_an_engine_fetches_by_itself_counts_wherever_the_weights_lie() -> None:
    model = {"name": "lmms-lab/LLaVA-Video-7B-Qwen2", "source": CLAIM}
    launch = launched(model, engine={"type": "SGLang"})
    assert launch.cache_mib >= host.SCRATCH_MIB + 3400
    assert launch.ephemeral_mib == host.SCRATCH_MIB + launch.cache_mib
