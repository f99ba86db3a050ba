"""Tokens are renewed without a break, and one that came too late ends nothing.

The tokens are bound to Secrets: with its Secret a token dies at once, as others do by their age.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from devcluster.files import write_private
from devcluster.waiting import wait_until
from hack import local_operator
from tests.cluster.proxy import Proxy
from tests.cluster.world import Namespace, vld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.target import Target
    from hack.local_operator import LocalOperator

pytestmark = pytest.mark.cluster

KINDS = ("token inside the kubeconfig", "token file")
LATE_S = 6.0
MOST_REQUESTS_A_SECOND = 12
"""Nine watches that are refused, each again later and later, and the work of one object."""


class Tokens:
    """Short-lived tokens of the operator's account."""

    def __init__(self, cluster: Target) -> None:
        self._cluster = cluster
        self._bound: dict[str, str] = {}

    def new(self) -> str:
        secret = f"bound-{uuid.uuid4().hex[:8]}"
        where = ("-n", local_operator.NAMESPACE)
        self._cluster.kubectl("create", "secret", "generic", secret, *where)
        token = self._cluster.kubectl(
            "create", "token", local_operator.ACCOUNT, *where, "--duration=600s",
            "--bound-object-kind=Secret", f"--bound-object-name={secret}",
        ).strip()  # fmt: skip
        self._bound[token] = secret
        return token

    def end(self, token: str) -> None:
        """Makes it invalid; the API server remembers a valid one for some seconds."""
        secret = self._bound.pop(token)
        self._cluster.kubectl("delete", "secret", secret, "-n", local_operator.NAMESPACE)
        assert wait_until(lambda: not self._accepted(token), 60, 0.5)

    def _accepted(self, token: str) -> bool:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        answer = self._cluster.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review))
        return json.loads(answer)["status"].get("authenticated") is True

    def end_all(self) -> None:
        for token in list(self._bound):
            self.end(token)


@dataclass
class Holder:
    """One operator, and where its token is."""

    kind: str
    space: Namespace
    proxy: Proxy
    folder: Path
    operator: LocalOperator | None = None

    def give(self, token: str) -> None:
        """Replaces its token, as whoever renews it would: in one step."""
        user = {"token": token}
        if self.kind == "token file":
            self._put("token", token)
            user = {"tokenFile": "token"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": self.proxy.server}}],
            "users": [{"name": "u", "user": user}],
        }
        self._put("kubeconfig", yaml.safe_dump(config))

    def _put(self, name: str, text: str) -> None:
        fresh = self.folder / f"{name}.new"
        write_private(fresh, text)
        fresh.replace(self.folder / name)

    def start(self) -> None:
        options = [
            f"--kubeconfig={self.folder / 'kubeconfig'}",
            "--no-leader-election",
            f"--namespace={self.space.name}",
        ]
        self.operator = local_operator.start(
            self.space.cluster, name=f"operator-{self.space.name}", options=options
        )

    def refused(self, since: int) -> int:
        """How many requests were answered with 401 since then."""
        return sum(each.status == 401 for each in self.proxy.seen[since:])

    def well(self) -> bool:
        return self.operator is not None and self.operator.alive and self.operator.healthy()

    def acts(self, port: int) -> None:
        """A change of its object is acted on."""
        self.space.patch("vld", {"spec": {"network": {"port": port}}})
        self.space.until(lambda obj: obj["spec"]["ports"][0]["port"] == port, kind="service")
        self.space.until_ready(reason="ScaledToZero")


@dataclass
class Scene:
    """Operators that keep their token in every way there is, and the tokens."""

    tokens: Tokens
    holders: list[Holder]
    current: str

    def renew(self) -> str:
        """Gives everybody a new token; returns the old one."""
        old, self.current = self.current, self.tokens.new()
        for holder in self.holders:
            holder.give(self.current)
        return old


@pytest.fixture(scope="module")
def scene(installed: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    tokens = Tokens(installed)
    with ExitStack() as stack:
        stack.callback(tokens.end_all)
        made = Scene(tokens, [], tokens.new())
        for kind in KINDS:
            space = Namespace(installed, f"token-{uuid.uuid4().hex[:6]}")
            installed.create_namespace(space.name)
            stack.callback(installed.kubectl, "delete", "namespace", space.name, "--wait=false")
            stack.callback(space.kubectl, "delete", "vld", "--all", "--wait=false")
            proxy = stack.enter_context(Proxy(installed))
            holder = Holder(kind, space, proxy, tmp_path_factory.mktemp("token"))
            made.holders.append(holder)
            holder.give(made.current)
            holder.start()
            stack.callback(holder.operator.stop)
            space.apply(vld(replicas=0))
            space.until_ready(reason="ScaledToZero")
        yield made


def test_a_renewed_token_is_taken_up_without_a_break(scene: Scene) -> None:
    marks = [len(holder.proxy.seen) for holder in scene.holders]
    scene.tokens.end(scene.renew())
    for number, (holder, mark) in enumerate(zip(scene.holders, marks, strict=True)):
        holder.proxy.end_watches()  # who begins anew must show who he is
        holder.acts(8001 + number)
        assert holder.well()
        assert "Unauthorized" not in holder.operator.log.read_text(), holder.kind
        assert "videollm_restarts_total 0.0" in holder.operator.metrics(), holder.kind
        # None where the file was read again by itself just then.
        assert holder.refused(mark) <= 30, holder.kind


def test_a_token_that_comes_too_late_ends_nothing(scene: Scene) -> None:
    old = scene.current
    scene.tokens.end(old)
    marks = []
    for holder in scene.holders:
        marks.append(len(holder.proxy.seen))
        holder.space.patch("vld", {"spec": {"network": {"port": 8010}}})
        holder.proxy.end_watches()
    began = time.monotonic()
    assert wait_until(
        lambda: all(h.refused(m) >= 9 for h, m in zip(scene.holders, marks, strict=True)), 120
    )
    assert wait_until(lambda: time.monotonic() - began >= LATE_S, LATE_S + 5)
    for holder, mark in zip(scene.holders, marks, strict=True):
        asked = (len(holder.proxy.seen) - mark) / (time.monotonic() - began)
        assert asked <= MOST_REQUESTS_A_SECOND, holder.kind
        assert holder.well(), holder.kind
        assert holder.space.get("service")["spec"]["ports"][0]["port"] != 8010
    scene.renew()
    for holder in scene.holders:
        holder.acts(8010)
        assert holder.well(), holder.kind
