from __future__ import annotations

import asyncio
import itertools

import kopf

from tests.unit.runtime.jumping import dice
from videollm_operator.api import names
from videollm_operator.kopfapp import watching
from videollm_operator.kopfapp.supervise import SILENT_SECONDS, Watches


def test_pauses_between_attempts_grow_to_a_limit_and_never_end():
    pauses = list(itertools.islice(watching.Backoffs(dice(1)), 1000))
    assert 0.2 < pauses[0] <= 0.5
    assert max(pauses) <= 8
    assert min(pauses[10:]) >= 4
    again = watching.Backoffs(dice(1))
    assert next(iter(again)) <= 0.5
    assert next(iter(again)) <= 0.5  # each request begins anew


def test_kopf_is_set_to_write_nothing_and_to_ask_for_our_children_only():
    settings = watching.settings(dice(1))
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    pods = kopf.Resource(group="", version="v1", plural="pods")
    nodes = kopf.Resource(group="", version="v1", plural="nodes")
    assert settings.watching.label_selectors.collect(pods) == [names.CHILD_SELECTOR]
    assert settings.watching.label_selectors.collect(nodes) == []
    assert isinstance(settings.watching.server_timeout, int)  # "300.0" would be refused


async def test_kopf_keeps_nothing_about_objects():
    memories = watching.Forgetful()
    body = {"metadata": {"uid": "u"}}
    first = await memories.recall(body)
    second = await memories.recall(body)
    assert first is not second
    assert list(memories.iter_all_memories()) == []


def test_the_storages_store_nothing():
    essence = kopf.BodyEssence({"spec": 1})
    progress, base = watching.NoProgress(), watching.NoDiffBase()
    body, patch, key = kopf.Body({}), kopf.Patch(), kopf.HandlerId("x")
    record = kopf.ProgressRecord()
    progress.store(key=key, record=record, body=body, patch=patch)
    progress.touch(body=body, patch=patch, value="x")
    progress.purge(key=key, body=body, patch=patch)
    base.store(body=body, patch=patch, essence=essence)
    assert not patch
    assert progress.fetch(key=key, body=body) is None
    assert progress.clear(essence=essence) is essence
    assert base.fetch(body=body) is None
    assert base.build(body=body) == {}


class Told:
    def __init__(self):
        self.requests = []
        self.lists = []

    def request(self, *what):
        self.requests.append(what)


def test_a_watch_that_is_not_begun_anew_in_time_is_stuck(travel):
    async def main():
        told = Told()
        watches = Watches(
            None, None, told, dice(1), namespaces=(), nodes=True, listed=told.lists.append
        )
        watches.request("watch", "pods", "200", 0.1)
        watches.request("watch", "nodes", "200", 0.1)
        await asyncio.sleep(SILENT_SECONDS - 1)
        watches.request("watch", "nodes", "200", 0.1)
        watches.request("watch", "pods", "403", 0.1)
        well = watches.silent()
        await asyncio.sleep(2)
        return well, watches.silent(), len(told.requests)

    assert travel(main()) == ("", "the watch of pods is stuck", 4)


def test_lists_are_told_even_if_they_are_empty():
    told = Told()
    watches = Watches(
        None, None, told, dice(1), namespaces=(), nodes=True, listed=told.lists.append
    )
    watches.request("list", "nodes", "200", 0.1)
    watches.request("list", "pods", "503", 0.1)
    assert told.lists == ["nodes"]
