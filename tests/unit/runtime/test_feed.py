from __future__ import annotations

import pytest

from tests.unit.runtime.test_cache import child, deployment, node, pod
from tests.unit.runtime.test_compare import Queue
from videollm_operator.reconcile.world import Key
from videollm_operator.runtime.cache import Caches
from videollm_operator.runtime.feed import Feed
from videollm_operator.runtime.kinds import DEPLOYMENT, NODE, POD, SERVICE

KEY = Key("team", "video")


@pytest.fixture
def feed():
    return Feed(Caches(node_keys={"gpu"}), Queue())


def added(feed):
    queue = feed._queue
    found, queue.added = queue.added, []
    return found


def test_before_everything_was_listed_events_are_routine_and_after_that_urgent(feed):
    feed.deployment(DEPLOYMENT, None, deployment())
    assert added(feed) == [(KEY, False)]
    feed.live = True
    feed.deployment(DEPLOYMENT, "MODIFIED", deployment(rv=2, spec={"replicas": 2}))
    assert added(feed) == [(KEY, True)]


def test_events_about_what_belongs_to_a_deployment_concern_it(feed):
    feed.deployment(DEPLOYMENT, None, deployment())
    feed.live = True
    added(feed)
    feed.child(SERVICE, "ADDED", child())
    feed.child(SERVICE, "MODIFIED", child(rv=2))  # a heartbeat
    feed.child(SERVICE, "DELETED", child(rv=3))
    feed.pod(POD, "ADDED", pod())
    feed.pod(POD, "DELETED", pod(rv=2))
    assert added(feed) == [(KEY, True)] * 4


def test_items_of_lists_get_their_kind(feed):
    feed.deployment(DEPLOYMENT, None, deployment())
    item = child()
    del item["kind"]
    feed.child(SERVICE, None, item)
    assert len(feed._caches.world(KEY).children) == 1


def test_a_new_kind_of_node_concerns_everybody_but_another_node_does_not(feed):
    feed.deployment(DEPLOYMENT, None, deployment())
    feed.live = True
    added(feed)
    feed.node(NODE, "ADDED", node("n1", gpu="A"))
    assert added(feed) == [(KEY, False)]
    feed.node(NODE, "ADDED", node("n2", gpu="A"))
    feed.node(NODE, "MODIFIED", node("n2", rv=2, gpu="A"))
    feed.node(NODE, "DELETED", node("n2", rv=3))
    assert added(feed) == []
    feed.node(NODE, "DELETED", node("n1", rv=4))
    assert added(feed) == [(KEY, False)]


def test_a_deployment_that_went_is_looked_at_once_more(feed):
    feed.deployment(DEPLOYMENT, None, deployment())
    added(feed)
    feed.deployment(DEPLOYMENT, "DELETED", deployment(rv=2))
    assert added(feed) == [(KEY, False)]
    assert feed._caches.world(KEY) is None


def test_an_odd_object_is_told_and_costs_us_nothing_else(feed, caplog):
    feed.deployment(DEPLOYMENT, None, deployment())
    added(feed)
    odd = pod("odd")
    odd["status"] = {"conditions": [{}]}
    feed.pod(POD, "ADDED", odd)
    feed.pod(POD, "ADDED", pod())
    assert added(feed) == [(KEY, False)]
    assert "Pod 'odd' could not be taken in; this is a bug" in caplog.text
