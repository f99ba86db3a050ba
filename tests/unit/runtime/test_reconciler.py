"""One reconcile, with the real decisions, against an API server that errs on demand."""

from __future__ import annotations

import asyncio
import copy
import logging
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.runtime.fake_api import FakeAPI
from tests.unit.runtime.jumping import dice
from videollm_operator.api import names
from videollm_operator.catalog import loader
from videollm_operator.reconcile.actions import Delete, Scale
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.report import report
from videollm_operator.reconcile.world import ChildKey, Key, Line
from videollm_operator.runtime import errors
from videollm_operator.runtime.cache import Caches
from videollm_operator.runtime.execute import Executor
from videollm_operator.runtime.kinds import DEPLOYMENT, SERVICE, STATEFUL_SET, VOLUME_CLAIM
from videollm_operator.runtime.queue import Outcome
from videollm_operator.runtime.reconciler import Mind, Reconciler
from videollm_operator.runtime.turns import Turns

KEY = Key("team", "video")
SETTLED = 5
"""Children of a deployment: service account, two services, stateful set, disruption budget."""


def deployment(**spec):
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": KEY.name, "namespace": KEY.namespace},
        "spec": {
            "model": {
                "name": "team/OneVision-7B",
                "base": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
                "source": {"persistentVolumeClaim": {"claimName": "weights"}},
            },
            "gpu": {"sku": "A100-80GB"},
            **spec,
        },
    }


class FixedClock:
    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def now(self):
        return datetime(2026, 5, 1, tzinfo=UTC)


class Operator:
    """Caches and reconciler around a fake API server; events come when a test delivers them."""

    def __init__(self, api=None, catalog=loader.builtin, limit=2):
        self.api = api or FakeAPI()
        self.caches = Caches()
        self.clock = FixedClock()
        self.woken = []
        self.executor = Executor(self.api, self.caches, self.clock)
        self.reconcile = Reconciler(
            self.api,
            self.caches,
            self.executor,
            Mind(decide, report, catalog),
            Turns(limit, self.caches.taking_up, self.woken.append),
            self.clock,
            identity="test",
            resync_seconds=600,
            rng=dice(1),
        )

    def deliver(self):
        """All watches catch up."""
        for obj in self.api.objects.values():
            if obj["kind"] == DEPLOYMENT.kind:
                self.caches.put_deployment(obj)
            elif obj["metadata"].get("labels", {}).get(names.LABEL_MANAGED_BY):
                self.caches.put_child(obj)

    async def settle(self):
        """Reconciles until nothing is written any more; returns the last outcome."""
        for _ in range(10):
            self.deliver()
            before = len(self.api.writes)
            outcome = await self.reconcile(KEY)
            if len(self.api.writes) == before:
                return outcome
        raise AssertionError("it never comes to rest")

    def status(self):
        return self.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)]["status"]

    def condition(self, kind="Ready"):
        found = [c for c in self.status()["conditions"] if c["type"] == kind]
        return found[0] if found else None

    def child(self, kind, name=KEY.name):
        return self.api.objects[kind.path(KEY.namespace, name)]


@pytest.fixture
def operator():
    made = Operator()
    made.api.put(deployment())
    made.deliver()
    return made


async def test_a_new_object_gets_its_children_and_a_status_in_one_reconcile(operator):
    outcome = await operator.reconcile(KEY)
    assert not outcome.failed
    assert len(operator.api.children()) == SETTLED
    assert operator.api.writes[-2:] == [
        ("create", "events"),
        ("patch", "videollmdeployments/status"),
    ]
    assert operator.status()["observedGeneration"] == 1


async def test_a_settled_object_costs_no_request_at_all(operator):
    await operator.settle()
    operator.api.requests.clear()
    operator.deliver()
    outcome = await operator.reconcile(KEY)
    assert operator.api.requests == []
    assert 0 < outcome.after <= 720


async def test_watches_that_lag_behind_our_own_writes_cause_no_second_write(operator):
    await operator.reconcile(KEY)
    operator.api.requests.clear()
    await operator.reconcile(KEY)  # no event has come yet
    assert operator.api.writes == []


async def test_an_object_that_is_gone_is_nothing_to_do(operator):
    assert (await operator.reconcile(Key("team", "other"))).after is None
    assert operator.api.requests == []


async def test_creating_does_not_override_and_repairing_does(operator):
    await operator.reconcile(KEY)
    assert all("force" not in request.params for request in operator.api.requests if request.write)
    service = operator.child(SERVICE)
    service["spec"]["selector"] = {"x": "y"}
    operator.api.put(service)
    operator.api.requests.clear()
    await operator.settle()
    applied = [request for request in operator.api.requests if request.write]
    assert len(applied) == 1
    assert applied[0].params["force"] == "true"
    assert operator.child(SERVICE)["spec"]["selector"] != {"x": "y"}


async def test_a_child_deleted_and_replaced_between_look_and_write_is_not_overwritten(operator):
    await operator.settle()
    service = operator.child(SERVICE)
    service["spec"]["selector"] = {"x": "y"}
    operator.api.put(service)
    operator.deliver()

    def replaced():
        path = operator.api.path_of(service)
        del operator.api.objects[path]
        operator.api.put({
            "apiVersion": "v1", "kind": "Service", "spec": {"mine": True},
            "metadata": {"name": KEY.name, "namespace": KEY.namespace},
        })  # fmt: skip

    operator.api.before_write = replaced
    outcome = await operator.reconcile(KEY)
    assert outcome.failed
    assert operator.child(SERVICE)["spec"] == {"mine": True}
    await operator.reconcile(KEY)  # the refusal has already taught the cache
    assert operator.condition()["reason"] == "NameConflict"
    assert operator.child(SERVICE)["spec"] == {"mine": True}


async def test_a_foreign_namesake_is_never_touched_and_looked_at_again(operator):
    operator.api.put({
        "apiVersion": "v1", "kind": "Service", "spec": {"mine": True},
        "metadata": {"name": KEY.name, "namespace": KEY.namespace},
    })  # fmt: skip
    outcome = await operator.reconcile(KEY)
    assert outcome.failed  # comes back, later and later: nobody tells us when it goes
    assert operator.condition()["reason"] == "NameConflict"
    assert operator.condition("Stalled")["status"] == "True"
    assert operator.child(SERVICE)["spec"] == {"mine": True}
    assert len(operator.api.children()) == SETTLED  # the others were made

    del operator.api.objects[SERVICE.path(KEY.namespace, KEY.name)]
    await operator.settle()
    assert operator.condition()["reason"] != "NameConflict"
    assert operator.condition("Stalled") is None


async def test_our_child_that_lost_its_label_is_taken_back(operator):
    await operator.settle()
    service = operator.child(SERVICE)
    del service["metadata"]["labels"]
    service = operator.api.put(service)
    operator.caches.remove_child(service)  # as the watch says, at the version of that change
    operator.api.requests.clear()
    assert (await operator.reconcile(KEY)).failed  # seen only now: to be decided upon again
    assert operator.api.writes == []
    assert not (await operator.reconcile(KEY)).failed
    assert operator.api.writes == [("patch", "services")]
    assert operator.child(SERVICE)["metadata"]["labels"][names.LABEL_MANAGED_BY]


@pytest.mark.parametrize("path", ["/services", "/events"])
async def test_nothing_is_told_in_a_namespace_that_is_being_deleted(operator, path, caplog):
    caplog.set_level("INFO")
    gone = errors.NamespaceTerminating("it is being terminated", status=403)
    operator.api.fail("POST" if path == "/events" else "PATCH", path, *[gone] * 9)
    operator.deliver()
    assert await operator.reconcile(KEY) == Outcome()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_an_orphan_is_adopted_only_on_request(operator):
    await operator.settle()
    operator.api.objects = {
        path: obj for path, obj in operator.api.objects.items() if obj["kind"] != DEPLOYMENT.kind
    }
    for child in operator.api.children():
        child["metadata"].pop("ownerReferences", None)
        operator.api.put(child)
    fresh = Operator(operator.api)
    again = fresh.api.put(deployment())
    outcome = await fresh.settle()
    assert outcome.failed
    assert fresh.condition()["reason"] == "NameConflict"
    again = fresh.api.objects[fresh.api.path_of(again)]
    fresh.api.put(
        {
            **again,
            "metadata": {**again["metadata"], "annotations": {names.ANNOTATION_ADOPT: "true"}},
        }
    )
    await fresh.settle()
    assert fresh.condition()["reason"] != "NameConflict"
    uid = again["metadata"]["uid"]
    owners = [child["metadata"]["ownerReferences"][0]["uid"] for child in fresh.api.children()]
    assert owners == [uid] * SETTLED


async def test_children_the_cache_does_not_know_are_found_and_not_overwritten(operator):
    await operator.settle()
    restarted = Operator(operator.api)
    restarted.caches.put_deployment(operator.api.objects[DEPLOYMENT.path(*_place())])
    restarted.api.requests.clear()
    outcome = await restarted.reconcile(KEY)
    assert outcome.failed  # decide again, with open eyes
    assert restarted.api.writes == []
    for _ in range(SETTLED):
        await restarted.reconcile(KEY)
    assert restarted.api.writes == []


def _place():
    return KEY.namespace, KEY.name


async def test_a_field_that_the_server_drops_is_told_once_and_not_written_again(operator):
    operator.api.dropped = {"publishNotReadyAddresses"}
    await operator.settle()
    assert operator.condition()["reason"] == "FieldNotSupported"
    assert "publishNotReadyAddresses" in operator.condition()["message"]
    operator.api.requests.clear()
    for _ in range(5):
        operator.deliver()
        outcome = await operator.reconcile(KEY)
    assert operator.api.writes == []
    assert not outcome.failed
    assert operator.condition()["reason"] == "FieldNotSupported"


async def test_a_dropped_field_is_tried_again_after_an_hour(operator):
    operator.api.dropped = {"publishNotReadyAddresses"}
    await operator.settle()
    operator.api.dropped = set()
    operator.caches.expire_unsupported(operator.clock.monotonic() - 1)
    operator.api.requests.clear()
    await operator.settle()
    assert operator.condition()["reason"] == "FieldNotSupported"
    operator.caches.expire_unsupported(operator.clock.monotonic() + 1)
    await operator.settle()
    assert operator.condition()["reason"] != "FieldNotSupported"


async def test_a_child_that_the_server_refuses_is_told_and_the_others_are_made(operator):
    operator.api.fail(
        "PATCH",
        "/statefulsets/",
        *(errors.Forbidden("exceeded quota: gpus", status=403, reason="Forbidden"),) * 20,
    )
    outcome = await operator.reconcile(KEY)
    assert outcome.failed
    assert "exceeded quota: gpus" in operator.condition()["message"]
    assert len(operator.api.children()) == SETTLED - 1
    operator.api.faults.clear()
    await operator.settle()
    assert len(operator.api.children()) == SETTLED


@pytest.mark.parametrize(
    "fault",
    [
        errors.Unreachable("connection reset"),
        errors.TooSlow("no answer in time"),
        errors.Unavailable("try later", status=503),
        errors.TooManyRequests("slow down", status=429, retry_after=9.0),
        errors.Unauthorized("who?", status=401),
        errors.NotLeader("not now"),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("where", ["/serviceaccounts/", "/statefulsets/", "/status", "/services/"])
async def test_what_only_time_mends_is_done_again_and_leads_to_the_same_end(
    operator, fault, where, caplog
):
    undisturbed = Operator()
    undisturbed.api.put(deployment())
    await undisturbed.settle()

    operator.api.fail("PATCH", where, fault)
    with caplog.at_level(logging.DEBUG):
        outcome = await operator.reconcile(KEY)
    assert outcome.failed
    assert outcome.after == fault.retry_after
    assert "Traceback" not in caplog.text
    await operator.settle()
    assert operator.status()["conditions"] == undisturbed.status()["conditions"]
    assert contents(operator) == contents(undisturbed)


@pytest.mark.parametrize(
    "fault",
    [
        errors.TooSlow("no answer in time"),
        errors.Unavailable("try later", status=503),
        errors.TooManyRequests("slow down", status=429, retry_after=9.0),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_child_without_an_answer_keeps_neither_the_others_nor_the_status_waiting(
    operator, fault
):
    operator.api.fail("PATCH", "/services/video-pods", *[fault] * 20)
    await operator.reconcile(KEY)
    assert "status" not in operator.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)]
    outcome = await operator.reconcile(KEY)
    assert outcome.failed
    assert outcome.after == fault.retry_after
    assert len(operator.api.children()) == SETTLED - 1
    ready = operator.condition()
    assert (ready["status"], ready["reason"]) == ("False", "ChildRefused")
    assert (
        f"Service 'video-pods' cannot be written at present, and is tried again: {fault}"
        in (ready["message"])
    )
    statuses = operator.api.writes.count(("patch", "videollmdeployments/status"))
    assert (await operator.reconcile(KEY)).failed
    assert operator.api.writes.count(("patch", "videollmdeployments/status")) == statuses
    operator.api.faults.clear()
    assert not (await operator.settle()).failed
    assert len(operator.api.children()) == SETTLED
    assert operator.condition()["reason"] == "Creating"


async def test_a_cache_claim_that_lost_its_label_is_put_right(caplog):
    operator = Operator()
    cache = {"accessMode": "ReadWriteMany", "retain": "Retain", "size": "100Gi"}
    model = {**deployment()["spec"]["model"], "source": {"huggingFace": {}}}
    operator.api.put(deployment(cache=cache, model=model))
    await operator.settle()
    claim = operator.child(VOLUME_CLAIM, "video-cache")
    claim["metadata"]["labels"][names.LABEL_INSTANCE] = "another"
    operator.api.put(claim)
    await operator.settle()
    claim = operator.child(VOLUME_CLAIM, "video-cache")
    assert claim["metadata"]["labels"][names.LABEL_INSTANCE] == KEY.name


async def test_a_copy_of_another_cache_claim_is_a_stranger(operator):
    cache = {"accessMode": "ReadWriteMany", "retain": "Delete", "size": "100Gi"}
    model = {**deployment()["spec"]["model"], "source": {"huggingFace": {}}}
    operator.api.put(deployment(cache=cache, model=model))
    copy = {
        "apiVersion": "v1",
        "kind": VOLUME_CLAIM.kind,
        "metadata": {
            "name": "video-cache",
            "namespace": KEY.namespace,
            "labels": names.child_labels("another"),
        },
        "spec": {},
    }
    operator.api.put(copy)
    await operator.settle()
    assert operator.condition("Stalled")["reason"] == "NameConflict"
    assert operator.child(VOLUME_CLAIM, "video-cache")["spec"] == {}
    made = {child["kind"] for child in operator.api.children()}
    assert STATEFUL_SET.kind not in made  # its pods would write to the stranger's volume
    assert SERVICE.kind in made


def contents(operator):
    return {
        path: {k: v for k, v in obj.items() if k != "metadata"}
        for path, obj in operator.api.objects.items()
    }


async def test_a_status_that_was_overtaken_is_read_again_and_written_anew(operator):
    await operator.settle()
    changed = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    changed["spec"]["replicas"] = 2
    changed["metadata"]["generation"] = 2
    operator.caches.put_deployment(operator.api.put(changed))
    operator.api.before_write = lambda: None

    def touch():
        again = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
        again["metadata"]["annotations"] = {"somebody": "else"}
        operator.api.put(again)

    async def write_late(request, *, seconds=None, send=operator.api.send):
        if request.path.endswith("/status"):
            touch()
            operator.api.send = send
        return await send(request)

    operator.api.send = write_late
    outcome = await operator.reconcile(KEY)
    assert outcome.failed
    await operator.reconcile(KEY)  # no event has come, but the conflict made us look
    assert operator.status()["observedGeneration"] == 2


async def test_an_older_state_than_the_servers_is_not_carried_out(operator):
    before = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    changed = copy.deepcopy(before)
    changed["spec"]["replicas"] = 3
    changed["metadata"]["generation"] = 2
    operator.api.put(changed)
    await operator.settle()

    behind = Operator(operator.api)  # begins with a list that is not up to date
    behind.deliver()
    behind.caches.deployments = Caches().deployments
    behind.caches.put_deployment(before)
    operator.api.requests.clear()
    for _ in range(3):
        await behind.reconcile(KEY)
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 3
    assert operator.api.writes == []


async def test_children_are_not_made_again_for_an_object_of_whose_end_nobody_told_us(operator):
    await operator.settle()
    operator.api.objects.clear()
    for facts in operator.caches.world(KEY).children:
        operator.caches.child_is_gone(KEY.namespace, facts)
    operator.api.requests.clear()
    outcome = await operator.reconcile(KEY)
    assert (outcome.after, outcome.failed) == (None, False)
    assert operator.api.writes == []
    assert operator.caches.world(KEY) is None


async def test_an_object_deleted_under_our_hands_is_dropped_quietly(operator, caplog):
    path = DEPLOYMENT.path(*_place())

    async def vanish(request, *, seconds=None, send=operator.api.send):
        if request.path.endswith("/status"):
            operator.api.objects.pop(path)
            operator.api.send = send
        return await send(request)

    operator.api.send = vanish
    outcome = await operator.reconcile(KEY)
    assert outcome.after is None
    assert not outcome.failed
    assert operator.caches.world(KEY) is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_status_describes_the_generation_that_was_decided_upon(operator):
    async def overtaken(request, *, seconds=None, send=operator.api.send):
        if "/statefulsets/" in request.path and request.write:
            newer = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
            newer["metadata"]["generation"] = 2
            newer["spec"]["replicas"] = 7
            operator.caches.put_deployment(operator.api.put(newer))
            operator.api.send = send
        return await send(request)

    operator.api.send = overtaken
    outcome = await operator.reconcile(KEY)
    assert outcome.failed  # refused by the resource version: nothing false was told
    assert "status" not in operator.api.objects[DEPLOYMENT.path(*_place())]
    await operator.settle()
    assert operator.status()["observedGeneration"] == 2
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 7


async def test_an_event_that_is_refused_spoils_nothing(operator, caplog):
    operator.api.fail("POST", "/events", errors.Forbidden("no events here", status=403))
    outcome = await operator.reconcile(KEY)
    assert not outcome.failed
    assert "an Event was not posted" in caplog.text


async def test_news_is_told_once_though_the_process_dies_before_the_status_says_it(operator):
    operator.api.fail("PATCH", "/status", errors.NotLeader("killed"))
    await operator.reconcile(KEY)
    first = dict(operator.api.posted)
    assert [event["reason"] for event in first.values()] == ["Sized"]
    successor = Operator(operator.api)
    await successor.settle()
    assert operator.api.posted == first
    assert successor.status()["observedGeneration"] == 1


async def test_a_process_that_lost_the_lease_tells_nothing_more(operator):
    operator.api.fail("POST", "/events", errors.NotLeader("lost"))
    outcome = await operator.reconcile(KEY)
    assert outcome.failed
    assert "status" not in operator.api.objects[DEPLOYMENT.path(*_place())]


async def test_an_object_being_deleted_is_left_to_the_garbage_collector(operator):
    await operator.settle()
    going = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    going["metadata"]["deletionTimestamp"] = "2026-05-01T00:00:00Z"
    operator.api.put(going)
    del operator.api.objects[SERVICE.path(*_place())]
    operator.caches.child_is_gone(KEY.namespace, ChildKey("Service", KEY.name))
    operator.deliver()
    operator.api.requests.clear()
    await operator.reconcile(KEY)
    assert operator.api.writes == []


async def test_replicas_are_honoured_when_the_spec_is_refused(operator):
    await operator.settle()
    broken = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    broken["metadata"]["generation"] = 2
    broken["spec"]["gpu"] = {"sku": "NoSuchGPU"}
    broken["spec"]["replicas"] = 0
    operator.api.put(broken)
    await operator.settle()
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 0
    assert operator.condition("Stalled")["status"] == "True"


async def test_an_object_that_cannot_be_read_is_scaled_all_the_same(operator):
    await operator.settle()
    broken = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    broken["metadata"]["generation"] = 2
    broken["spec"] = {"gpu": 7, "replicas": 0}
    operator.api.put(broken)
    operator.api.requests.clear()
    await operator.settle()
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 0
    assert operator.condition()["reason"] == "InvalidSpec"


async def test_replicas_are_honoured_when_the_server_refuses_the_stateful_set(operator):
    await operator.settle()
    changed = copy.deepcopy(operator.api.objects[DEPLOYMENT.path(*_place())])
    changed["metadata"]["generation"] = 2
    changed["spec"] |= {"replicas": 0, "workload": {"framesPerVideo": 16}}
    operator.api.put(changed)
    before = operator.child(STATEFUL_SET)["spec"]["template"]
    denied = errors.Forbidden("denied by a policy", status=403, reason="Forbidden")
    operator.api.fail("PATCH", f"/statefulsets/{KEY.name}", denied)
    operator.caches.put_deployment(operator.api.objects[DEPLOYMENT.path(*_place())])
    assert (await operator.reconcile(KEY)).failed
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 0
    assert operator.child(STATEFUL_SET)["spec"]["template"] == before
    assert operator.condition()["reason"] == "ChildRefused"


async def test_scaling_touches_nothing_but_the_replicas(operator):
    await operator.settle()
    before = operator.child(STATEFUL_SET)
    action = Scale(ChildKey("StatefulSet", KEY.name), before["metadata"]["uid"], 3)
    operator.api.requests.clear()
    world = operator.caches.world(KEY)
    assert (await operator.executor.carry_out(action, world.deployment)).problem is None
    assert operator.api.writes == [("patch", "statefulsets/scale")]
    assert operator.child(STATEFUL_SET)["spec"] == {**before["spec"], "replicas": 3}
    facts = operator.caches.world(KEY).children[action.key]
    assert facts.workload.replicas == 3  # known before any event


async def test_a_stateful_set_replaced_meanwhile_is_not_scaled(operator):
    await operator.settle()
    action = Scale(ChildKey("StatefulSet", KEY.name), "another", 3)
    world = operator.caches.world(KEY)
    with pytest.raises(errors.Conflict):
        await operator.executor.carry_out(action, world.deployment)
    assert operator.child(STATEFUL_SET)["spec"]["replicas"] == 1


async def test_deleting_what_is_gone_already_is_no_trouble(operator):
    await operator.settle()
    action = Delete(ChildKey("Service", "gone"), "some-uid")
    world = operator.caches.world(KEY)
    assert (await operator.executor.carry_out(action, world.deployment)).problem is None


async def test_our_child_that_is_being_deleted_is_waited_for(operator):
    await operator.settle()
    service = operator.child(SERVICE)
    del service["metadata"]["labels"]
    service["metadata"]["deletionTimestamp"] = "2026-05-01T00:00:00Z"
    operator.api.put(service)
    operator.caches.child_is_gone(KEY.namespace, ChildKey("Service", KEY.name))
    operator.api.requests.clear()
    assert (await operator.reconcile(KEY)).failed
    assert operator.api.writes == []


async def test_a_child_that_is_not_wanted_any_more_is_deleted_by_uid(operator):
    await operator.settle()
    account = operator.api.objects["/api/v1/namespaces/team/serviceaccounts/video"]
    metadata = {**account["metadata"], "name": "left-over", "uid": "left-over-uid"}
    operator.api.put({**copy.deepcopy(account), "metadata": metadata})
    operator.api.requests.clear()
    await operator.settle()
    assert operator.api.writes == [("delete", "serviceaccounts")]
    assert len(operator.api.children()) == SETTLED


# Updates that objects take up by themselves

OTHER = Key("team", "other")
BEFORE = "vllm/vllm-openai:v0.32.0"


def automatic(key):
    obj = deployment(rollout={"updates": "Automatic"}, replicas=0)
    obj["metadata"]["name"] = key.name
    return obj


def with_image(image):
    engines = tuple(e.model_copy(update={"image": image}) for e in loader.builtin().engines)
    return replace(loader.builtin(), engines=engines)


class Updating(Operator):
    """Two settled deployments, and one place; then the catalogue changes."""

    def __init__(self):
        self.catalog = loader.builtin()
        super().__init__(catalog=lambda: self.catalog, limit=1)

    async def begin(self):
        for key in (KEY, OTHER):
            self.api.put(automatic(key))
            self.deliver()
            await self.reconcile(key)
            self.observed(key)
        self.catalog = with_image("mirror:1")

    def observed(self, key):
        """The StatefulSet controller has done its work; at 0 replicas that is all it takes."""
        obj = self.api.objects[STATEFUL_SET.path(key.namespace, key.name)]
        obj["status"] = {"observedGeneration": obj["metadata"]["generation"]}
        self.api.put(obj)
        self.deliver()

    def image(self, key):
        obj = self.api.objects[STATEFUL_SET.path(key.namespace, key.name)]
        return obj["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture
async def updating():
    made = Updating()
    await made.begin()
    return made


async def test_two_workers_do_not_give_the_same_place_away(updating):
    for key in (OTHER, KEY):
        await updating.reconcile(key)
    await asyncio.gather(updating.reconcile(OTHER), updating.reconcile(KEY))
    assert [updating.image(key) == "mirror:1" for key in (OTHER, KEY)] == [True, False]
    assert updating.caches.taking_up() == {OTHER}
    updating.woken.clear()
    updating.observed(OTHER)
    assert updating.caches.taking_up() == set()
    await updating.reconcile(OTHER)
    assert updating.woken == [KEY]
    await updating.reconcile(KEY)
    assert updating.image(KEY) == "mirror:1"


async def test_an_operator_that_is_told_of_an_older_stateful_set_plans_no_layout_anew():
    before = Updating()
    before.api.put(deployment())
    await before.settle()
    old = copy.deepcopy(before.child(STATEFUL_SET))
    changed = deployment(workload={"framesPerVideo": 16})
    present = before.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)]
    before.api.put({**present, "spec": changed["spec"]})
    await before.settle()
    assert before.child(STATEFUL_SET)["spec"] != old["spec"]

    after = Operator(api=before.api, catalog=lambda: with_image("mirror:1"))
    after.caches.put_deployment(before.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)])
    for child in before.api.children():
        after.caches.put_child(old if child["kind"] == STATEFUL_SET.kind else child)
    after.api.requests.clear()
    await after.reconcile(KEY)
    assert ("patch", "statefulsets") not in after.api.writes
    assert after.condition("UpdateAvailable")["status"] == "True"


async def test_a_stateful_set_that_lost_its_labels_is_put_right_by_one_write(operator):
    await operator.settle()
    obj = operator.child(STATEFUL_SET)
    labels = obj["metadata"].pop("labels")
    operator.api.put(obj)
    operator.caches.remove_child(operator.child(STATEFUL_SET))  # the selector does not match it
    operator.api.requests.clear()
    for _ in range(3):
        await operator.reconcile(KEY)
    assert operator.child(STATEFUL_SET)["metadata"]["labels"] == labels
    assert operator.api.writes.count(("patch", "statefulsets")) == 1


async def test_a_stateful_set_that_was_replaced_meanwhile_is_not_taken_for_the_one_that_was_known(
    operator,
):
    await operator.settle()
    operator.api.put(
        {
            **deployment(workload={"framesPerVideo": 16}),
            "metadata": dict(
                operator.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)]["metadata"],
                generation=2,
            ),
        }
    )
    operator.caches.put_deployment(operator.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)])
    obj = operator.child(STATEFUL_SET)
    stranger = {**obj, "metadata": {"name": KEY.name, "namespace": KEY.namespace}}
    operator.api.objects.pop(STATEFUL_SET.path(KEY.namespace, KEY.name))
    operator.api.put(stranger)
    for _ in range(3):
        await operator.reconcile(KEY)
    assert operator.child(STATEFUL_SET)["spec"] == obj["spec"]
    assert operator.condition("Stalled")["reason"] == "NameConflict"


async def test_a_place_that_goes_while_an_object_is_read_anew_is_seen_by_the_second_decision(
    updating,
):
    for key in (OTHER, KEY):
        await updating.reconcile(key)
    send, met, turns = updating.api.send, [], []

    async def slow(request, **how):
        if request.method == "GET" and not met:
            met.append(request)
            await updating.reconcile(OTHER)  # another worker is faster
            obj = updating.api.objects[DEPLOYMENT.path(KEY.namespace, KEY.name)]
            updating.api.put({**obj, "metadata": {**obj["metadata"], "annotations": {"x": "y"}}})
        return await send(request, **how)

    def noting(world, catalog):
        if world.deployment["metadata"]["name"] == KEY.name:
            turns.append(world.turn)
        return decide(world, catalog)

    updating.caches.remove_child(updating.api.objects.pop(SERVICE.path(KEY.namespace, KEY.name)))
    updating.api.send = slow
    updating.reconcile._mind = replace(updating.reconcile._mind, decide=noting)
    await updating.reconcile(KEY)
    assert [turn.taking for turn in turns] == [(), (OTHER,)]
    assert turns[0].line is turns[1].line is Line.SERVING
    assert (updating.image(OTHER), updating.image(KEY)) == ("mirror:1", BEFORE)


@pytest.mark.parametrize("status", [403, 500])
async def test_a_write_that_is_refused_or_lost_keeps_its_place(updating, status):
    for key in (OTHER, KEY):
        await updating.reconcile(key)
    updating.api.fail("PATCH", "statefulsets", errors.error_of(status, {"message": "no"}))
    assert (await updating.reconcile(OTHER)).failed
    assert updating.caches.taking_up() == set()  # nothing was written
    await updating.reconcile(KEY)
    assert (updating.image(OTHER), updating.image(KEY)) == (BEFORE, BEFORE)
    await updating.reconcile(OTHER)
    assert (updating.image(OTHER), updating.image(KEY)) == ("mirror:1", BEFORE)


async def test_the_place_of_a_deployment_that_is_deleted_is_free(updating):
    for key in (OTHER, KEY, OTHER):
        await updating.reconcile(key)
    updating.caches.deployment_is_gone(OTHER)
    updating.woken.clear()
    await updating.reconcile(OTHER)
    assert updating.woken == [KEY]
    assert updating.caches.taking_up() == set()
