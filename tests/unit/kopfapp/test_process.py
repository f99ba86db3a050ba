"""The whole operator process against a small API server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import yaml

from tests.unit.kopfapp import certificates
from tests.unit.kopfapp.mini_api import MiniAPI
from videollm_operator.api import names
from videollm_operator.runtime import kinds

SETTLED = 5
PATIENCE = 30.0
ENTRY = (
    "gpus: [{sku: X-99GB, product: X, nominalGB: 99, nvmlMiB: 99000, visibleMiB: 98000, "
    "computeCapability: '9.0', gpusPerNode: 8, nodeLabels: [{vendor/product: [X]}]}]"
)
IMPATIENT = """
from videollm_operator.cli.main import main
from videollm_operator.runtime import leader

leader.UNHEARD_SECONDS = 1.0
main()
"""
"""The operator, but its candidates are content with a second."""


def deployment(name="video", namespace="team", **spec):
    return {
        "apiVersion": kinds.DEPLOYMENT.api_version,
        "kind": kinds.DEPLOYMENT.kind,
        "metadata": {"name": name, "namespace": namespace},
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


async def until(condition, what):
    """Waits for a condition, with a deadline."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := condition()):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
            return found
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


class Process:
    """`videollm operator` as a process of its own."""

    def __init__(self, api, folder):
        self.api = api
        self.folder = folder
        self.log = ""
        self.program = ("-m", "videollm_operator")
        self.authority = {}

    async def start(self, *options):
        self.token_file = self.folder / "token"
        self.token_file.write_text("secret")
        cluster = {"server": self.api.url, **self.authority}
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                    "clusters": [{"name": "k", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"tokenFile": str(self.token_file)}}],
                }
            )
        )
        listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *self.program, "operator", f"--kubeconfig={kubeconfig}",
            f"--health-port={self.port}", f"--metrics-port={self.port}", "--identity=test",
            "--lease-namespace=system", "--retry-seconds=0.2", *options,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        self.reading = asyncio.create_task(self._read())
        return self

    async def _read(self):
        async for line in self.process.stderr:
            self.log += line.decode()

    async def get(self, path):
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as response,
            ):
                return await response.text()
        return ""

    async def ready(self, wanted="leader"):
        async with asyncio.timeout(PATIENCE):
            while (await self.get("/readyz")).strip() != wanted:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def stop(self, number=signal.SIGTERM):
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
        await self.reading
        return code


@pytest.fixture
async def api():
    made = await MiniAPI().start()
    yield made
    await made.stop()


@pytest.fixture
async def operator(api, tmp_path):
    made = Process(api, tmp_path)
    yield made
    await made.stop()
    assert "Traceback" not in made.log, made.log


def children(api):
    return len(api.api.children())


async def settled(api, count=SETTLED):
    await until(lambda: children(api) == count, f"{count} children")
    await until(lambda: (api.find(kinds.DEPLOYMENT, "video") or {}).get("status"), "a status")
    quiet, loop = len(api.writes), asyncio.get_running_loop()
    since = loop.time()
    while loop.time() - since < 0.5:  # until nothing more is written
        if len(api.writes) != quiet:
            quiet, since = len(api.writes), loop.time()
        await asyncio.sleep(0.02)


async def test_it_works_from_start_to_end(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    api.delete(kinds.SERVICE, "video")
    await until(lambda: api.find(kinds.SERVICE, "video"), "the deleted child")
    api.put(deployment("second"), kinds.DEPLOYMENT)
    await until(lambda: children(api) == 2 * SETTLED, "children of the second")
    metrics = await operator.get("/metrics")
    assert "videollm_leader 1.0" in metrics
    assert 'code="200",resource="pods",verb="watch"' in metrics  # Kopf's requests count too
    assert await operator.stop() == 0
    spec = api.find(kinds.LEASE, "videollm-operator", "system")["spec"]
    assert spec["holderIdentity"] == ""
    assert "the Lease is given back" in operator.log


async def test_kopf_writes_nothing_and_the_object_keeps_its_face(api, operator):
    before = api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await settled(api)
    await operator.stop()
    after = api.find(kinds.DEPLOYMENT, "video")
    for field in ("annotations", "finalizers", "labels"):
        assert after["metadata"].get(field) == before["metadata"].get(field)
    assert after["spec"] == before["spec"]
    written = {path.split("?")[0] for method, path in api.writes if "videollmdeploy" in path}
    assert written == {kinds.DEPLOYMENT.path("team", "video", "status")}


async def test_a_settled_object_is_not_written_again_by_a_restart(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await settled(api)
    await operator.stop()
    api.seen.clear()
    await operator.start()
    await operator.ready()
    await until(lambda: "watching 1 deployments" in operator.log.rsplit("ending", 1)[-1], "a start")
    await operator.stop()
    assert api.writes == []


async def test_what_was_deleted_while_kopf_listed_anew_is_noticed(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    api.delete(kinds.SERVICE, "video", silently=True)
    api.expire_watches(kinds.SERVICE)
    await until(lambda: api.find(kinds.SERVICE, "video"), "the child that went unseen")
    await operator.stop()
    assert "Service team/video is gone, and no event said so" in operator.log


async def test_that_the_last_object_of_a_kind_is_gone_is_noticed_too(api, operator):
    """The list after it has nothing that Kopf would tell us about."""
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    api.delete(kinds.STATEFUL_SET, "video", silently=True)
    api.expire_watches(kinds.STATEFUL_SET)
    await until(lambda: api.find(kinds.STATEFUL_SET, "video"), "the only one of its kind")
    await operator.stop()


async def test_what_was_deleted_while_the_gate_was_shut_is_noticed_too(api, operator):
    """One kind is compared and then listed anew, while another cannot be compared yet."""
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    await operator.stop()
    claims = kinds.CHILD_KINDS["PersistentVolumeClaim"].plural
    api.forbidden = (f"/{claims}",)
    await operator.start()
    await until(lambda: f"{claims} cannot be compared" in operator.log, "a word about it")
    await until(lambda: api.watches.get("services"), "a watch")
    api.seen.clear()
    api.delete(kinds.SERVICE, "video", silently=True)
    api.expire_watches(kinds.SERVICE)
    await until(lambda: [path for _, path in api.seen if "/services?" in path], "another list")
    api.forbidden = ()
    await until(lambda: api.find(kinds.SERVICE, "video"), "the child that went unseen")
    await operator.stop()


async def test_watches_that_end_at_once_are_no_reason_to_ask_without_pause(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start("--catalog-configmap=system/catalog")
    await operator.ready()
    await settled(api)
    ended = set(api.watches["services"])
    api.fleeting = True
    for kind in (*kinds.CHILDREN, kinds.POD, kinds.NODE, kinds.DEPLOYMENT, kinds.CONFIG_MAP):
        api.expire_watches(kind)
    api.seen.clear()
    await asyncio.sleep(4)
    asked = Counter(urlsplit(path).path for _, path in api.seen if "watch=" in path)
    assert len(asked) >= SETTLED + 3
    assert max(asked.values()) <= 8
    api.fleeting = False
    await until(lambda: set(api.watches["services"]) - ended, "a watch that lasts")
    api.delete(kinds.SERVICE, "video")
    await until(lambda: api.find(kinds.SERVICE, "video"), "the deleted child")


async def test_a_kind_that_is_taken_away_and_given_back_does_not_end_the_process(api, operator):
    await operator.start()
    await operator.ready()
    api.unserved.add("videollmdeployments")
    api.expire_watches(kinds.DEPLOYMENT)
    await until(lambda: "is not installed" in operator.log, "a word about the missing kind")
    assert "waiting for the CustomResourceDefinition" in await operator.get("/readyz")
    api.unserved.clear()
    api.put(deployment(), kinds.DEPLOYMENT)
    await settled(api)
    assert "videollm_restarts_total 1.0" in await operator.get("/metrics")
    assert await operator.stop() == 0


async def test_it_waits_for_a_kind_that_is_not_installed_yet(api, operator):
    api.unserved.add("videollmdeployments")
    await operator.start()
    await until(lambda: "is not installed; waiting" in operator.log, "a word about it")
    assert await operator.get("/healthz") == "ok\n"
    api.unserved.clear()
    await operator.ready()
    assert operator.log.count("is not installed") == 1


async def test_a_rotated_token_goes_unnoticed(api, operator):
    api.token = "secret"
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    operator.token_file.write_text("rotated")
    api.token = "rotated"
    api.expire_watches(kinds.SERVICE)  # so that Kopf asks again, too
    api.delete(kinds.SERVICE, "video")
    await until(lambda: api.find(kinds.SERVICE, "video"), "the deleted child")
    await operator.stop()
    assert "who are you" not in operator.log


async def test_refused_credentials_are_outlasted(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    api.token = "another"
    api.expire_watches(kinds.SERVICE)
    await until(lambda: "who are you" in operator.log, "a word about the refusal")
    api.token = None
    api.delete(kinds.SERVICE, "video")
    await until(lambda: api.find(kinds.SERVICE, "video"), "the deleted child")


async def test_a_lost_lease_stops_all_writing_but_not_the_process(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start()
    await operator.ready()
    await settled(api)
    lease = api.find(kinds.LEASE, "videollm-operator", "system")
    lease["spec"].update(holderIdentity="other", acquireTime="2026-01-01T00:00:00.000000Z")
    api._put(lease, kinds.LEASE)
    await operator.ready("standby")
    api.seen.clear()
    api.delete(kinds.SERVICE, "video")
    await asyncio.sleep(1)
    assert api.writes == []
    metrics = await operator.get("/metrics")
    assert "videollm_leadership_lost_total 1.0" in metrics
    assert "videollm_restarts_total 0.0" in metrics
    assert "standby: the Lease is held by other" in operator.log
    assert await operator.stop() == 0
    spec = api.find(kinds.LEASE, "videollm-operator", "system")["spec"]
    assert spec["holderIdentity"] == "other"


async def test_a_standby_can_be_stopped(api, operator):
    api._put(
        {
            "metadata": {"name": "videollm-operator", "namespace": "system"},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15},
        },
        kinds.LEASE,
    )
    await operator.start()
    await operator.ready("standby")
    assert await operator.stop(signal.SIGINT) == 0


HELD = {
    "metadata": {"name": "videollm-operator", "namespace": "system"},
    "spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600},
}


async def test_a_standby_outlives_a_new_certificate_authority(api, operator, tmp_path):
    certificate, authority = tmp_path / "server.pem", tmp_path / "ca.crt"
    for file in (certificate, authority):
        file.write_text(certificates.FIRST)
    await api.stop()
    await api.start(tls=certificate)
    api._put(HELD, kinds.LEASE)
    operator.authority = {"certificate-authority": str(authority)}
    operator.program = ("-c", IMPATIENT)
    await operator.start()
    await operator.ready("standby")
    for file in (certificate, authority):
        file.write_text(certificates.SECOND)
    await api.stop()
    await api.start(api.port, tls=certificate)
    await operator.ready("waiting for the API server")
    await operator.ready("standby")
    assert "certificate verify failed" in operator.log
    assert await operator.stop() == 0


async def test_a_standby_that_is_not_answered_is_not_ready_and_begins_anew(api, operator):
    lease = {
        "metadata": {"name": "videollm-operator", "namespace": "system"},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15},
    }
    api._put(lease, kinds.LEASE)
    operator.program = ("-c", IMPATIENT)
    await operator.start()
    await operator.ready("standby")
    api.forbidden = ("/leases/",)
    await operator.ready("waiting for the API server")
    assert await operator.get("/healthz") == "ok\n"
    assert "beginning anew: the Lease could not be read for 1 seconds: you may not" in operator.log
    api.forbidden = ()
    await operator.ready("standby")
    metrics = await operator.get("/metrics")
    assert "videollm_restarts_total 0.0" not in metrics
    await operator.ready("leader")  # the Lease is not renewed
    assert await operator.stop() == 0


async def test_only_the_namespaces_named_are_looked_at_and_nodes_only_if_wanted(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    api.put(deployment(namespace="elsewhere"), kinds.DEPLOYMENT)
    await operator.start("--namespace=team", "--namespace=other", "--no-nodes")
    await operator.ready()
    await settled(api)
    await operator.stop()
    asked = [path for _, path in api.seen if path.startswith(("/api/v1/", "/apis/"))]
    assert not [path for path in asked if "/nodes" in path]
    assert not [path for path in asked if "/namespaces/elsewhere/" in path]
    kinds_asked = [path for path in asked if any(f"/{k.plural}" in path for k in kinds.CHILDREN)]
    assert all("/namespaces/" in path for path in kinds_asked)


async def test_what_may_not_be_read_keeps_nobody_from_the_rest(api, operator):
    api.forbidden = ("/api/v1/nodes", "/namespaces/gone/")
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start("--namespace=gone", "--namespace=team")
    await operator.ready()
    await settled(api)
    assert "you may not: /apis/videollm.io/v1alpha1/namespaces/gone/" in operator.log
    assert "nodes may not be listed: plans use the catalogue's memory" in operator.log
    refused = [path for _, path in api.seen if any(part in path for part in api.forbidden)]
    assert len(refused) == 4  # each was asked for twice, and not watched


async def test_children_are_watched_by_label_on_the_server(api, operator):
    await operator.start()
    await operator.ready()
    await operator.stop()
    for kind in (*kinds.CHILDREN, kinds.POD):
        queries = [parse_qs(urlsplit(p).query) for _, p in api.seen if f"/{kind.plural}?" in p]
        assert len(queries) >= 3  # our list, Kopf's list and its watch
        assert all(query["labelSelector"] == [names.CHILD_SELECTOR] for query in queries)


async def test_the_catalogue_of_the_administrator_is_taken_up_while_it_runs(api, operator):
    api.put(deployment(gpu={"sku": "X-99GB"}), kinds.DEPLOYMENT)
    await operator.start("--catalog-configmap=system/catalog")
    await operator.ready()
    await until(
        lambda: "GPUUnknown" in str(api.find(kinds.DEPLOYMENT, "video").get("status")), "a refusal"
    )
    configmap = {
        "kind": "ConfigMap",
        "metadata": {"name": "catalog", "namespace": "system"},
        "data": {"catalog.yaml": ENTRY},
    }
    api.put(configmap, kinds.CONFIG_MAP)
    api.watches["configmaps"][0].put_nowait({"type": "ADDED", "object": configmap})
    await settled(api)


async def test_what_happens_to_nodes_while_they_are_listed_for_a_catalogue_is_noticed(
    api, operator
):
    labels = {"vendor/product": "X"}
    api.put({"kind": "Node", "metadata": {"name": "n1", "labels": labels}}, kinds.NODE)
    await operator.start("--catalog-configmap=system/catalog")
    await operator.ready()
    await until(lambda: "watching 0 deployments" in operator.log, "the first look")
    listing = api._list

    def listing_before_it_goes(kind, request):
        answer = listing(kind, request)
        if kind is kinds.NODE and api.find(kind, "n1", ""):
            api.delete(kind, "n1", "", silently=True)  # the event goes where it is of no use
        return answer

    api._list = listing_before_it_goes
    configmap = {"metadata": {"name": "catalog", "namespace": "system"}, "data": {}}
    configmap["data"]["catalog.yaml"] = ENTRY
    api.put(configmap, kinds.CONFIG_MAP)
    api.watches["configmaps"][0].put_nowait({"type": "ADDED", "object": configmap})
    await until(lambda: "Node n1 is gone, and no event said so" in operator.log, "another look")


async def test_without_leader_election_there_is_no_lease(api, operator):
    api.put(deployment(), kinds.DEPLOYMENT)
    await operator.start("--no-leader-election")
    await operator.ready()
    await settled(api)
    await operator.stop()
    assert not [path for _, path in api.seen if "leases" in path]


async def test_an_api_server_that_is_not_there_is_waited_for(api, operator):
    url, api.url = api.url, "http://127.0.0.1:1"
    await operator.start()
    await until(lambda: "cannot be read or written" in operator.log, "a word about it")
    assert "waiting for the API server" in await operator.get("/readyz")
    assert await operator.get("/healthz") == "ok\n"
    assert await operator.stop() == 0
    api.url = url


async def test_a_port_that_is_taken_is_said_in_a_sentence(api, operator):
    taken = await asyncio.start_server(lambda *_: None, None, 0)
    port = taken.sockets[0].getsockname()[1]
    await operator.start(f"--health-port={port}")
    async with asyncio.timeout(PATIENCE):
        assert await operator.process.wait() == 2
    await operator.reading
    assert "a port cannot be opened" in operator.log
    taken.close()
