from __future__ import annotations

import asyncio
import itertools

import kopf
from yarl import URL

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
    assert settings.watching.inactivity_timeout == 70  # docs/promises.md: two minutes
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


def watched(lists):
    return Watches(None, None, None, dice(1), namespaces=(), nodes=True, listed_anew=lists.append)


SERVED = "/api/v1/namespaces/team/pods"
ALSO_SERVED = "/api/v1/namespaces/other/pods"


def test_a_watch_that_is_not_begun_anew_in_time_is_stuck_whatever_others_of_its_kind_do(travel):
    async def main():
        watches = watched([])
        for path in (SERVED, ALSO_SERVED, "/api/v1/nodes"):
            watches.noted("GET", f"{path}?watch=true")
        await asyncio.sleep(SILENT_SECONDS - 1)
        for path in (ALSO_SERVED, "/api/v1/nodes"):
            watches.noted("GET", f"{path}?watch=true")
        watches.noted("GET", SERVED)
        well = watches.silent()
        await asyncio.sleep(2)
        return well, watches.silent()

    assert travel(main()) == ("", f"the watch of {SERVED} is stuck")


def test_only_what_is_listed_again_is_told_even_if_it_is_empty():
    lists = []
    watches = watched(lists)
    for path in (SERVED, ALSO_SERVED, "/api/v1/nodes"):
        watches.noted("GET", f"{path}?limit=50")
        watches.noted("GET", f"{path}?limit=50&continue=abc")
    assert lists == []
    watches.noted("GET", f"{ALSO_SERVED}?limit=50")
    watches.noted("GET", f"{ALSO_SERVED}?limit=50&continue=abc")
    assert lists == ["pods"]


async def test_what_is_refused_is_no_list_and_no_watch():
    class Response:
        status = 200

    async def handler(_request):
        return Response

    class Request:
        method = "GET"
        url = URL(f"https://host{SERVED}?limit=50")

    lists = []
    watches = watched(lists)
    for Response.status in (200, 503, 403):
        assert await watches.note(Request, handler) is Response
    assert lists == []
    Response.status = 200
    await watches.note(Request, handler)
    assert lists == ["pods"]
