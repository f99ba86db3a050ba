from __future__ import annotations

import asyncio
import itertools

import pytest
from yarl import URL

from tests.unit.runtime.jumping import dice
from videollm_operator.kopfapp.pace import Pace

PODS = "https://h/api/v1/pods?limit=50"
PODS_WATCH = "https://h/api/v1/pods?watch=true"
NODES_WATCH = "https://h/api/v1/nodes?watch=true"


class Session:
    closed = False


class Request:
    method = "GET"
    session = Session()

    def __init__(self, url):
        self.url = URL(url)


async def asked(pace, url, *, lives=0.0):
    """When a request is sent; it ends `lives` seconds later."""

    async def send(_):
        return asyncio.get_running_loop().time()

    at = await pace(Request(url), send)
    await asyncio.sleep(lives)
    return at


async def times(pace, url, count, *, lives=0.0):
    began = asyncio.get_running_loop().time()
    return [await asked(pace, url, lives=lives) - began for _ in range(count)]


def test_what_ends_at_once_begins_anew_later_and_later(travel):
    at = travel(times(Pace(dice(1)), PODS_WATCH, 20))
    pauses = [later - sooner for sooner, later in itertools.pairwise(at)]
    assert at[0] == 0
    assert 0.2 <= pauses[0] <= 0.5
    assert all(4 <= pause <= 8 for pause in pauses[5:])


def test_what_lasts_begins_anew_at_once(travel):
    at = travel(times(Pace(dice(1)), PODS_WATCH, 10, lives=9))
    assert at == [9 * number for number in range(10)]


def test_after_a_long_life_it_is_as_if_nothing_had_been(travel):
    async def main():
        pace = Pace(dice(1))
        await times(pace, PODS_WATCH, 10)
        await asked(pace, PODS_WATCH, lives=31)
        return await times(pace, PODS_WATCH, 2)

    at = travel(main())
    assert at[0] == 0
    assert at[1] <= 0.5


def test_each_list_and_each_watch_has_its_own_pace_and_pages_have_none(travel):
    async def main():
        pace = Pace(dice(1))
        await times(pace, PODS_WATCH, 10)
        lists = await times(pace, PODS, 1)
        pages = await times(pace, PODS + "&continue=x", 10)
        return lists, pages, await times(pace, NODES_WATCH, 1)

    assert travel(main()) == ([0], [0] * 10, [0])


def test_a_session_that_was_closed_meanwhile_is_not_used(travel):
    async def main():
        pace = Pace(dice(1))
        await asked(pace, PODS_WATCH)
        late = Request(PODS_WATCH)
        late.session = Session()
        late.session.closed = True
        with pytest.raises(RuntimeError, match="Session is closed"):
            await pace(late, asked)

    travel(main())
