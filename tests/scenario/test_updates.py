"""Objects that take updates up by themselves, a few at a time (decision 20)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import pods
from tests.scenario.apiserver import ServerError
from tests.scenario.objects import LARGE, spec
from tests.scenario.simulator import NAMESPACE, Cluster
from tests.scenario.test_inputs import another_image, node, tight_mib, with_gpu
from videollm_operator.api import names
from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.updates import TOLD
from videollm_operator.reconcile.world import ChildKey, Key, Line, Turn

if TYPE_CHECKING:
    from videollm_operator.catalog.catalog import Catalog

SIX = ("a", "b", "c", "d", "e", "f")
AUTOMATIC = {"updates": "Automatic"}
MARK = ("metadata", "annotations", names.ANNOTATION_TAKING_UP)


def with_image(image: str) -> Catalog:
    engines = tuple(e.model_copy(update={"image": image}) for e in builtin().engines)
    return replace(builtin(), engines=engines)


class Watched(Cluster):
    """A cluster that knows at any moment who does not serve, and who was updated in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.most_down = 0

    def reconcile(self, name: str) -> Any:
        turn = super().reconcile(name)
        if turn.decision.takes_up:
            self.order.append(name)
        return turn

    def controllers(self) -> None:
        super().controllers()
        self.most_down = max(self.most_down, len(self.down()))

    def down(self) -> set[str]:
        """Deployments of which nothing serves."""
        living = {
            pod["metadata"]["labels"][names.LABEL_INSTANCE]
            for pod in self.pods.values()
            if pods.is_ready(pod) and "deletionTimestamp" not in pod["metadata"]
        }
        return set(self.deployments) - living

    def image(self, name: str) -> str:
        """What the StatefulSet runs."""
        (container,) = self.child("StatefulSet", name)["spec"]["template"]["spec"]["containers"]
        found: str = container["image"]
        return found

    def mark(self, name: str) -> str:
        """What the StatefulSet says that it is taking up."""
        annotations = self.child("StatefulSet", name)["metadata"]["annotations"]
        found: str = annotations.get(names.ANNOTATION_TAKING_UP, "")
        return found

    def updated(self, image: str) -> set[str]:
        """Deployments that run an image."""
        return {name for name in self.deployments if self.image(name) == image}

    def update_of(self, name: str) -> str:
        """The message of `UpdateAvailable`."""
        found: str = self.condition(name, "UpdateAvailable").get("message", "")
        return found


def serving(*objects: str, **sections: Any) -> Watched:
    """Deployments that serve, all with `updates: Automatic`."""
    cluster = Watched()
    for name in objects:
        cluster.create(name, {**spec(rollout=AUTOMATIC), **sections})
    cluster.settle()
    cluster.writes.clear()
    cluster.events.clear()
    cluster.most_down = 0
    return cluster


def test_an_update_is_taken_up_by_itself_and_costs_two_writes() -> None:
    cluster = serving("a")
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.image("a") == "mirror:1"
    assert cluster.conditions("a") == {"Ready", "Sized"}
    assert cluster.mark("a") == ""
    assert [w for w in cluster.writes if w.startswith("Apply")] == ["Apply StatefulSet 'a'"] * 2
    assert [event.reason for event in cluster.events] == ["UpdateAvailable", "Serving"]
    assert cluster.reconcile("a").quiet


def test_what_is_being_taken_up_is_told_until_all_replicas_serve() -> None:
    cluster = serving("a", replicas=2)
    cluster.catalog = with_image("mirror:1")
    cluster.reconcile("a")
    assert cluster.reconcile("a").decision.takes_up
    cluster.controllers()
    cluster.reconcile("a")
    assert "image vllm/vllm-openai:v0.32.0 -> mirror:1" in cluster.mark("a")
    message = cluster.condition("a", "Ready")["message"]
    assert f"; it is taking up an update by itself: {cluster.mark('a')}" in message
    cluster.settle()
    assert cluster.mark("a") == ""


def test_of_six_never_more_than_two_are_away_and_the_first_by_name_goes_first() -> None:
    cluster = serving(*SIX)
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.order == list(SIX)
    assert cluster.most_down == 2
    assert cluster.updated("mirror:1") == set(SIX)


@pytest.mark.parametrize("limit", [1, 30])
def test_the_limit_is_the_operators_to_set(limit: int) -> None:
    cluster = serving(*SIX)
    cluster.max_concurrent_updates = limit
    cluster.restart_operator()
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.most_down == min(limit, 6)
    assert cluster.updated("mirror:1") == set(SIX)


def test_a_limit_of_none_stops_all_and_says_so() -> None:
    cluster = serving("a")
    cluster.max_concurrent_updates = 0
    cluster.restart_operator()
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == set()
    assert "`--max-concurrent-updates` 0: set a new `spec.rollout" in cluster.update_of("a")
    cluster.pod_fails("a-0", "CrashLoopBackOff")
    cluster.settle()
    assert cluster.updated("mirror:1") == set()


@pytest.mark.parametrize("often", [7, 13])
def test_an_operator_that_is_always_restarted_takes_no_more_at_once(often: int) -> None:
    cluster = serving(*SIX)
    cluster.catalog = with_image("mirror:1")
    for turn in range(30):
        for at, name in enumerate(SIX):
            cluster.reconcile(name)
            if (turn * len(SIX) + at) % often == 0:
                cluster.restart_operator()
        cluster.controllers()
        cluster.ended()
        cluster.controllers()
        cluster.pods_step()
    assert cluster.most_down == 2
    assert cluster.updated("mirror:1") == set(SIX)


@pytest.mark.parametrize("failure", ["ImagePullBackOff", "Unschedulable"])
def test_an_update_that_fails_stops_and_those_that_wait_say_for_whom(failure: str) -> None:
    cluster = serving(*SIX)
    cluster.catalog = with_image("broken:1")
    cluster.failure = failure
    cluster.settle()
    cluster.passes(hours=5)
    cluster.settle()
    assert cluster.down() == cluster.updated("broken:1") == {"a", "b"}
    assert cluster.conditions("a") >= {"Stalled"}
    assert cluster.told("f") == "True Serving"
    assert cluster.update_of("d").endswith(
        "image vllm/vllm-openai:v0.32.0 -> broken:1; taken up by itself when its turn comes: at "
        "most 2 objects at the same time, now video/a, video/b; 1 wait before it"
    )
    cluster.restart_operator()
    cluster.settle()
    assert cluster.down() == {"a", "b"}


@pytest.mark.parametrize("mended", ["fixed:1", "vllm/vllm-openai:v0.32.0"])
def test_those_that_fail_take_the_next_update_up_at_once(mended: str) -> None:
    cluster = serving(*SIX)
    cluster.catalog = with_image("broken:1")
    cluster.failure = "CrashLoopBackOff"
    cluster.settle()
    cluster.catalog, cluster.failure = with_image(mended), ""
    cluster.settle()
    assert cluster.updated(mended) == set(SIX)
    assert cluster.most_down == 2
    assert all(cluster.conditions(name) == {"Ready", "Sized"} for name in SIX)


RELEASES: dict[str, dict[str, Any]] = {
    "on request": {"rollout": {"updates": "OnRequest"}},
    "a new token": {"rollout": {**AUTOMATIC, "restartToken": "now"}},
    "scaled to 0": {"replicas": 0},
}


@pytest.mark.parametrize("edit", [*RELEASES.values(), {}], ids=[*RELEASES, "deleted"])
def test_a_person_can_give_the_place_of_a_failing_object_to_the_next(edit: dict[str, Any]) -> None:
    cluster = serving("a", "b", "c")
    cluster.max_concurrent_updates = 1
    cluster.restart_operator()
    cluster.catalog = with_image("broken:1")
    cluster.failure = "ImagePullBackOff"
    cluster.settle()
    assert cluster.updated("broken:1") == {"a"}
    if edit:
        cluster.edit("a", **edit)
    else:
        cluster.delete("a")
    cluster.settle()
    assert cluster.updated("broken:1") - {"a"} == {"b"}


def test_an_object_that_is_being_deleted_holds_no_place() -> None:
    cluster = serving("a", "b")
    cluster.max_concurrent_updates = 1
    cluster.restart_operator()
    cluster.catalog = with_image("broken:1")
    cluster.failure = "ImagePullBackOff"
    cluster.settle()
    cluster.delete("a", how="foreground")
    assert cluster.taking_up() == set()


def test_the_mark_can_be_taken_off_by_hand_and_added_without_harm() -> None:
    cluster = serving("a", "b")
    cluster.max_concurrent_updates = 1
    cluster.restart_operator()
    key = ChildKey("StatefulSet", "a")
    cluster.hand_edit(key, MARK, "mine")
    assert cluster.taking_up() == set()  # it serves
    assert cluster.reconcile("a").quiet
    cluster.hand_edit(key, MARK, None)
    cluster.catalog = with_image("broken:1")
    cluster.failure = "ImagePullBackOff"
    cluster.settle()
    cluster.hand_edit(key, MARK, None)
    cluster.settle()
    assert cluster.updated("broken:1") == {"a", "b"}


NEVER: dict[str, tuple[int, str]] = {
    "more GPUs": (40000, "instead of 2; not taken up by itself, because it takes more GPUs: set a"),
    "refused": (8000, "by what is known today this object would be refused"),
}


@pytest.mark.parametrize(("mib", "said"), NEVER.values(), ids=list(NEVER))
def test_what_is_never_taken_up_by_itself(mib: int, said: str) -> None:
    cluster = serving("a", **LARGE)
    cluster.nodes = frozenset({node("A100-80GB", mib)})
    cluster.settle()
    assert cluster.writes == ["status a"]
    assert said in cluster.update_of("a")


def test_a_layout_without_its_margin_is_never_taken_up_by_itself() -> None:
    chosen = {**spec(), **LARGE, "parallelism": {"strategy": "Manual", "tensor": 4}}
    cluster = serving("a", **chosen)
    cluster.nodes = frozenset({node("A100-80GB", tight_mib("A100-80GB", chosen))})
    cluster.catalog = another_image(builtin())
    cluster.settle()
    assert cluster.writes == ["status a"]
    assert "because today's layout fits only without its safety margin of" in cluster.update_of("a")


def test_fewer_gpus_are_taken_up_by_itself() -> None:
    cluster = Watched()
    cluster.nodes = frozenset({node("A100-80GB", 40000)})
    cluster.create("a", {**LARGE, "rollout": AUTOMATIC})
    cluster.settle()
    assert cluster.status("a")["sizing"]["gpusPerReplica"] == 8
    cluster.nodes = frozenset()
    cluster.settle()
    assert cluster.status("a")["sizing"]["gpusPerReplica"] == 4


def test_a_paused_object_takes_nothing_up_but_says_so() -> None:
    cluster = serving("a", paused=True)
    cluster.edit("a", paused=None)
    cluster.settle()
    cluster.edit("a", paused=True)
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == set()
    assert cluster.told("a") == "True Serving"
    assert cluster.update_of("a").endswith("taken up by itself once `spec.paused` is false")
    cluster.edit("a", paused=None)
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a"}


def test_one_that_serves_only_in_part_is_left_alone_until_it_serves() -> None:
    cluster = serving("a", replicas=2)
    cluster.pod_fails("a-1", "CrashLoopBackOff")
    cluster.failure = "CrashLoopBackOff"
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == set()
    assert "; taken up by itself once all replicas serve; or set a new" in cluster.update_of("a")
    cluster.failure = ""
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a"}


def test_one_that_still_loads_is_left_alone() -> None:
    cluster = Watched()
    cluster.create("a", spec(rollout=AUTOMATIC))
    cluster.reconcile("a")
    cluster.controllers()
    cluster.catalog = with_image("mirror:1")
    for _ in range(3):
        assert not cluster.reconcile("a").decision.takes_up


def test_one_that_fails_goes_after_all_that_serve_and_holds_no_place() -> None:
    cluster = serving("b", "c")
    cluster.failure = "ImagePullBackOff"
    cluster.create("a", spec(rollout=AUTOMATIC))
    cluster.settle()
    assert cluster.down() == {"a"}
    cluster.catalog = with_image("broken:1")
    cluster.settle()
    assert cluster.updated("broken:1") == {"b", "c"}
    assert cluster.update_of("a").endswith(
        "taken up by itself once no object that serves takes it up or waits for that"
    )
    cluster.catalog, cluster.failure = with_image("fixed:1"), ""
    cluster.pods["a-0"]["status"]["containerStatuses"] = []
    cluster.pod_fails("a-0", "CrashLoopBackOff")
    cluster.settle()
    assert cluster.updated("fixed:1") == {"a", "b", "c"}
    assert cluster.order[-1] == "a"


def test_one_that_fails_for_its_own_reasons_blocks_nobody() -> None:
    cluster = Watched()
    for name in ("a", "b"):
        cluster.create(name, spec(rollout=AUTOMATIC))
    cluster.failure = "Unschedulable"
    cluster.settle()
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a", "b"}
    assert cluster.taking_up() == set()


def test_an_object_whose_children_are_somebody_elses_takes_nothing_up() -> None:
    cluster = serving("a")
    cluster.hand_delete(ChildKey("Service", "a"))
    cluster.stranger("Service", "a", labels={names.LABEL_MANAGED_BY: names.MANAGED_BY})
    cluster.hand_edit(
        ChildKey("Service", "a"),
        ("metadata", "ownerReferences"),
        [{"uid": "theirs", "kind": "Other", "name": "x", "controller": True}],
    )
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.told("a") == "False NameConflict"
    assert cluster.updated("mirror:1") == set()


def test_an_update_that_the_server_refuses_keeps_its_place() -> None:
    cluster = serving("a", "b")
    cluster.max_concurrent_updates = 1
    cluster.restart_operator()
    cluster.refusing = {"StatefulSet": ServerError(403, "Forbidden", "policy: no such image")}
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    tried = {write for write in cluster.writes if write.startswith("Apply")}
    assert tried == {"Apply StatefulSet 'a'"}
    assert cluster.told("a") == "False ChildRefused"
    assert "now video/a" in cluster.update_of("b")
    cluster.refusing = {}
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a", "b"}


def test_one_at_zero_replicas_takes_its_turn_too() -> None:
    cluster = serving("a", "b", replicas=0)
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a", "b"}
    assert (cluster.mark("a"), cluster.mark("b")) == ("", "")


def test_an_object_that_grows_after_its_update_takes_no_place() -> None:
    cluster = serving("a")
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    cluster.failure = "Unschedulable"
    cluster.edit("a", replicas=2)
    cluster.settle()
    assert cluster.taking_up() == set()


def test_an_object_that_becomes_automatic_takes_up_what_waits() -> None:
    cluster = serving("a", rollout={})
    cluster.catalog = with_image("mirror:1")
    cluster.settle()
    assert cluster.updated("mirror:1") == set()
    cluster.edit("a", rollout=AUTOMATIC)
    cluster.settle()
    assert cluster.updated("mirror:1") == {"a"}


def test_a_refused_change_of_the_spec_ends_neither_the_update_nor_its_mark() -> None:
    cluster = serving("a")
    cluster.catalog = with_image("mirror:1")
    cluster.reconcile("a")
    cluster.reconcile("a")
    cluster.edit("a", workload={"framesPerVideo": 0})
    assert cluster.reconcile("a").deeds == []
    assert cluster.taking_up() == {Key(NAMESPACE, "a")}
    cluster.edit("a", rollout="Automatic")
    assert cluster.taking_up() == set()  # the object cannot be read, so nobody wants it


def test_an_unused_entry_makes_nobody_wait() -> None:
    cluster = serving("a")
    cluster.catalog = with_gpu(builtin(), "L4", visible_mib=20000)
    cluster.settle()
    assert cluster.writes == []


def told(turn: Turn) -> str:
    """What an object says that waits and sees this."""
    cluster = serving("m")
    cluster.catalog = with_image("mirror:1")
    return decide(replace(cluster.world("m"), turn=turn), cluster.catalog).update


def test_many_that_wait_are_told_what_does_not_change_at_every_step() -> None:
    keys = tuple(Key(NAMESPACE, f"k{number}") for number in range(8))
    assert told(Turn(1, keys[:1], Line.SERVING, 0)).endswith(
        "at most 1 object at the same time, now video/k0"
    )
    assert told(Turn(8, keys, Line.SERVING, TOLD - 1)).endswith(
        "now video/k0, video/k1, video/k2, video/k3, video/k4 and 3 more; 19 wait before it"
    )
    assert told(Turn(8, keys, Line.SERVING, TOLD)).endswith(
        "at most 8 objects at the same time, and many wait before it"
    )


def test_one_whose_line_has_changed_waits_in_the_other_first() -> None:
    assert told(Turn(2, (), Line.FAILING, 0)) != ""
    assert told(Turn(2, (), Line.SERVING, 0)) == ""
