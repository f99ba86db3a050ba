from __future__ import annotations

import asyncio
import copy

import pytest

from videollm_operator.api import names
from videollm_operator.reconcile.world import ChildKey, Key
from videollm_operator.runtime import errors
from videollm_operator.runtime.cache import Caches
from videollm_operator.runtime.compare import Comparer, HistoryRewound
from videollm_operator.runtime.feed import Feed
from videollm_operator.runtime.kinds import (
    CHILDREN,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NODE,
    POD,
    SERVICE,
)


class Server:
    """Lists and gives objects, as the client would."""

    def __init__(self):
        self.objects = {}
        self.version = 100
        self.reads = []
        self.problem = None

    def put(self, kind, name, namespace="team", uid=None, **fields):
        self.version += 1
        metadata = {
            "name": name,
            "uid": uid or f"{kind.plural}-{name}",
            "resourceVersion": str(self.version),
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_INSTANCE: "video",
                "gpu": "A",
            },
        }
        if kind.namespaced:
            metadata["namespace"] = namespace
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}
        self.objects[kind, metadata.get("namespace", ""), name] = obj
        return copy.deepcopy(obj)

    def delete(self, kind, name, namespace="team"):
        self.version += 1
        del self.objects[kind, namespace, name]

    async def get(self, kind, namespace, name):
        self.reads.append((kind.plural, name))
        try:
            return copy.deepcopy(self.objects[kind, namespace, name])
        except KeyError:
            raise errors.NotFound("no", status=404) from None

    async def pages(self, kind, namespace="", *, selector="", metadata_only=False):
        assert metadata_only
        assert bool(selector) == (kind not in (DEPLOYMENT, NODE))
        if self.problem:
            raise self.problem
        items = [
            {"metadata": copy.deepcopy(obj["metadata"])}
            for (of, where, _), obj in self.objects.items()
            if of is kind and namespace in ("", where)
        ]
        yield items[:1], self.version
        await asyncio.sleep(0)
        yield items[1:], self.version


class Queue:
    def __init__(self):
        self.added = []

    def add(self, key, *, urgent=True):
        self.added.append((key, urgent))


class Setting:
    def __init__(self, **options):
        self.server = Server()
        self.caches = Caches(node_keys={"gpu"})
        self.queue = Queue()
        self.feed = Feed(self.caches, self.queue)
        self.repaired = []
        self.comparer = Comparer(
            self.server, self.caches, self.feed, repaired=self.repaired.append, **options
        )

    async def compare_all(self, patience):
        for kind in self.comparer.kinds:
            await self.comparer.one(kind, patience)

    def fill(self):
        server = self.server
        self.feed.deployment(DEPLOYMENT, None, server.put(DEPLOYMENT, "video", spec={}))
        self.feed.child(SERVICE, None, server.put(SERVICE, "video", spec={}))
        self.feed.child(SERVICE, None, server.put(SERVICE, "video-pods", spec={}))
        self.feed.pod(POD, None, server.put(POD, "video-0"))
        self.feed.node(NODE, None, server.put(NODE, "n1"))
        self.feed.live = True


KEY = Key("team", "video")


def test_where_nothing_was_missed_nothing_is_read(travel):
    async def main():
        it = Setting()
        it.fill()
        await it.compare_all(patience=5)
        return it.server.reads, it.repaired

    assert travel(main()) == ([], [])


def test_what_was_deleted_unseen_is_dropped_and_looked_at(travel):
    async def main():
        it = Setting()
        it.fill()
        it.queue.added.clear()
        it.server.delete(SERVICE, "video-pods")
        it.server.delete(POD, "video-0")
        await it.compare_all(patience=5)
        return it

    it = travel(main())
    world = it.caches.world(KEY)
    assert set(world.children) == {ChildKey("Service", "video")}
    assert world.pods == ()
    assert it.queue.added == [(KEY, True), (KEY, True)]
    assert sorted(it.repaired) == ["pods", "services"]


def test_a_deployment_and_a_node_deleted_unseen_are_dropped_too(travel):
    async def main():
        it = Setting()
        it.fill()
        it.server.delete(DEPLOYMENT, "video")
        it.server.delete(NODE, "n1", "")
        await it.compare_all(patience=5)
        return it.caches.known(), len(it.caches.nodes)

    assert travel(main()) == ([], 0)


def test_a_change_that_no_event_told_is_read(travel):
    async def main():
        it = Setting()
        it.fill()
        it.server.put(SERVICE, "video", spec={"new": True})
        it.server.put(POD, "video-1")
        await it.compare_all(patience=5)
        return it

    it = travel(main())
    assert sorted(it.server.reads) == [("pods", "video-1"), ("services", "video")]
    assert [pod.name for pod in it.caches.world(KEY).pods] == ["video-0", "video-1"]
    assert sorted(it.repaired) == ["pods", "services"]


def test_an_event_on_its_way_is_waited_for(travel):
    async def main():
        it = Setting()
        it.fill()
        late = it.server.put(POD, "video-1")
        asyncio.get_running_loop().call_later(1, it.feed.pod, POD, "ADDED", late)
        began = asyncio.get_running_loop().time()
        await it.comparer.one(POD, patience=5)
        return it.server.reads, asyncio.get_running_loop().time() - began

    reads, took = travel(main())
    assert reads == []
    assert took == pytest.approx(1, abs=0.3)


def test_what_was_made_after_the_list_stays(travel):
    async def main():
        it = Setting()
        it.fill()
        made = it.server.put(POD, "video-1")
        it.server.objects.pop((POD, "team", "video-1"))
        it.server.version -= 1  # the list is as of before it
        it.caches.pods.newest = it.server.version
        it.feed.pod(POD, "ADDED", made)
        it.caches.pods.newest = it.server.version
        await it.comparer.one(POD, patience=0)
        return [pod.name for pod in it.caches.world(KEY).pods]

    assert travel(main()) == ["video-0", "video-1"]


def test_what_goes_between_list_and_read_is_no_trouble(travel):
    async def main():
        it = Setting()
        it.fill()
        it.server.put(POD, "video-1")
        get = it.server.get

        async def vanish(kind, namespace, name):
            it.server.objects.pop((kind, namespace, name), None)
            return await get(kind, namespace, name)

        it.server.get = vanish
        await it.comparer.one(POD, patience=0)
        return it.repaired

    assert travel(main()) == []


def test_children_of_one_kind_are_not_mistaken_for_another(travel):
    async def main():
        it = Setting()
        it.fill()
        await it.comparer.one(DISRUPTION_BUDGET, patience=0)
        return len(it.caches.children)

    assert travel(main()) == 2


def test_only_the_namespaces_that_are_served_are_compared(travel):
    async def main():
        it = Setting(namespaces=("team", "other"))
        it.fill()
        it.feed.pod(POD, "ADDED", it.server.put(POD, "gone", "other"))
        it.feed.pod(POD, "ADDED", it.server.put(POD, "stays", "other"))
        it.server.delete(POD, "gone", "other")
        await it.compare_all(patience=0)
        return sorted(name for (_, name), _ in it.caches.pods.items())

    assert travel(main()) == ["stays", "video-0"]


def test_without_the_right_to_read_nodes_they_are_left_alone(travel):
    async def main():
        return Setting(nodes=False).comparer.kinds

    assert travel(main()) == (DEPLOYMENT, *CHILDREN, POD)


def test_a_cluster_restored_from_a_backup_is_noticed(travel):
    async def main():
        it = Setting()
        it.fill()
        it.server.version = 50
        await it.comparer.one(POD, patience=0)

    with pytest.raises(HistoryRewound, match="was the cluster restored from a backup"):
        travel(main())


def test_a_list_that_cannot_be_had_drops_nothing(travel):
    async def main():
        it = Setting()
        it.fill()
        it.server.problem = errors.Unavailable("later", status=503)
        with pytest.raises(errors.Unavailable):
            await it.compare_all(patience=5)
        return len(it.caches.children), len(it.caches.pods), len(it.caches.nodes)

    assert travel(main()) == (2, 1, 1)
