from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest

from tests.scenario.objects import LARGE, NAME, SMALL
from tests.scenario.simulator import Cluster
from videollm_operator.api import names
from videollm_operator.api.validation import parse
from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.projection import canonical, digest
from videollm_operator.reconcile.record import (
    Inputs,
    OtherFormat,
    Record,
    children_in_force,
    decode,
    spec_digest,
)
from videollm_operator.reconcile.world import World

INPUTS = Inputs(operator="1", catalog="c", visible_mib=80000, engine="VLLM 1", image="i:1")


def digest_of(**sections: Any) -> str:
    cluster = Cluster()
    cluster.create(NAME, {**SMALL, **sections})
    return spec_digest(parse(cluster.deployments[NAME]).spec)


@pytest.fixture(scope="module")
def record() -> Record:
    cluster = Cluster()
    cluster.create(NAME, LARGE)
    found = decide(World(cluster.deployments[NAME]), builtin()).record
    assert found is not None
    return found


def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert decode(zlib.compress(record.encode().encode())) == record


def test_no_annotation_is_no_record() -> None:
    assert decode(b"") is None


def test_one_changed_letter_makes_a_record_unbelievable(record: Record) -> None:
    text = record.encode().replace("my-org", "my-0rg", 1)
    assert decode(zlib.compress(text.encode())) is None


def test_a_record_of_another_format_still_tells_its_spec() -> None:
    body = {"format": 2, "later": [1], "specDigest": "abc"}
    text = canonical({**body, "checksum": digest(body)})
    assert decode(zlib.compress(text.encode())) == OtherFormat(2, "abc")


def test_the_sizing_of_a_record_follows_the_replicas(record: Record) -> None:
    assert record.sizing.total_gpus == 4
    assert record.sizing_of(3).total_gpus == 12
    assert record.sizing_of(0).gpus_per_replica == 4


@pytest.mark.parametrize(
    "sections",
    [
        {"replicas": 7},
        {"paused": True},
        {"rollout": {"progressDeadlineSeconds": 600}},
        {"rollout": {}},
        {"engine": {"type": "Auto"}},
        {"dtype": "Auto"},
    ],
    ids=str,
)
def test_what_makes_no_layout_is_not_in_the_fingerprint(sections: dict[str, Any]) -> None:
    assert digest_of(**sections) == digest_of()


@pytest.mark.parametrize(
    "sections",
    [
        {"rollout": {"restartToken": "now"}},
        {"dtype": "Float16"},
        {"podTemplate": {"labels": {"team": "video"}}},
        {"network": {"port": 9000}},
    ],
    ids=str,
)
def test_what_makes_a_layout_is_in_the_fingerprint(sections: dict[str, Any]) -> None:
    assert digest_of(**sections) != digest_of()


def test_recorded_children_get_owner_replicas_and_record_of_today(record: Record) -> None:
    cluster = Cluster()
    cluster.create(NAME, LARGE)
    deployment = parse(cluster.deployments[NAME])
    children = {m["kind"]: m for m in children_in_force(record, deployment, 5)}
    uid = deployment.metadata.uid
    assert all(m["metadata"]["ownerReferences"][0]["uid"] == uid for m in children.values())
    stateful_set = children["StatefulSet"]
    assert stateful_set["spec"]["replicas"] == 5
    text = stateful_set["metadata"]["annotations"][names.ANNOTATION_RECORD]
    assert decode(zlib.compress(text.encode())) == record
    assert all("replicas" not in m.get("spec", {}) for m in record.manifests)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"operator": "2"}, "operator 1 -> 2"),
        ({"engine": "VLLM 2", "image": "i:2"}, "engine VLLM 1 -> VLLM 2, image i:1 -> i:2"),
        ({"visible_mib": 40000}, "memory per GPU 80000 MiB -> 40000 MiB"),
        ({"catalog": "d"}, "the catalogue's entries for this model, GPU or engine"),
        ({"catalog": "d", "image": "i:2"}, "image i:1 -> i:2"),
    ],
)
def test_differences_are_said_for_people(changes: dict[str, Any], words: str) -> None:
    assert INPUTS.differences(replace(INPUTS, **changes)) == words
