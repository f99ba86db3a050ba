from __future__ import annotations

import asyncio

import pytest

from videollm_operator.catalog import loader
from videollm_operator.runtime import catalogue, errors
from videollm_operator.runtime.catalogue import Catalogue
from videollm_operator.runtime.settings import ConfigMapReference

ENTRY = """
gpus:
- sku: X-99GB
  product: Imaginary X
  nominalGB: 99
  nvmlMiB: 99000
  visibleMiB: 98000
  computeCapability: "9.0"
  gpusPerNode: 8
  nodeLabels: [{vendor/product: [X]}]
"""
REFERENCE = ConfigMapReference("system", "catalog")


class Server:
    """One ConfigMap, and a watch on it."""

    def __init__(self, text=None):
        self.text = text
        self.data = None
        self.problems = []
        self.changes = asyncio.Queue()
        self.watchable = True

    async def get(self, kind, namespace, name):
        assert (kind.plural, namespace, name) == ("configmaps", "system", "catalog")
        if self.problems:
            raise self.problems.pop(0)
        if self.text is None and self.data is None:
            raise errors.NotFound("no", status=404)
        return {"data": self.data if self.data is not None else {"catalog.yaml": self.text}}

    async def events(self, request):
        if not self.watchable:
            raise errors.Forbidden("no", status=403)
        while True:
            change = await self.changes.get()
            if change is None:
                return
            yield change

    def change(self, text):
        self.text = text
        self.changes.put_nowait({"type": "MODIFIED"})


class Setting:
    def __init__(self, server=None, file=None, configmap=REFERENCE):
        self.server = server or Server()
        self.log = []
        self.counts = []

        async def prepare(catalog):
            self.log.append(
                ("prepare", "X-99GB" in catalog.gpus, "X-99GB" in self.made.current.gpus)
            )

        self.made = Catalogue(
            loader.builtin(),
            loader.extended,
            self.server,
            file=file,
            configmap=configmap,
            prepare=prepare,
            changed=lambda: self.log.append(("changed", "X-99GB" in self.made.current.gpus)),
            problems=self.counts.append,
        )

    @property
    def known(self):
        return "X-99GB" in self.made.current.gpus


def test_without_additions_the_built_in_catalogue_is_in_force(travel):
    async def main():
        it = Setting(configmap=None)
        await it.made.load()
        following = asyncio.create_task(it.made.follow())
        await asyncio.sleep(1000)
        return it.made.current is loader.builtin(), following.done(), it.log

    assert travel(main()) == (True, False, [])


def test_a_configmap_that_is_not_there_is_nothing_special(travel, caplog):
    async def main():
        it = Setting()
        await it.made.load()
        return it.known

    assert travel(main()) is False
    assert caplog.text == ""


def test_entries_of_the_configmap_are_there_from_the_start(travel):
    async def main():
        it = Setting(Server(ENTRY))
        await it.made.load()
        return it.known, it.counts

    assert travel(main()) == (True, [0])


def test_a_change_is_taken_up_at_once_after_it_was_prepared(travel):
    async def main():
        it = Setting()
        await it.made.load()
        following = asyncio.create_task(it.made.follow())
        await asyncio.sleep(10)
        it.server.change(ENTRY)
        await asyncio.sleep(0.1)
        first = list(it.log)
        it.server.change(ENTRY)  # touched, but the same
        await asyncio.sleep(0.1)
        again = list(it.log)
        it.server.change(None)  # deleted
        await asyncio.sleep(0.1)
        following.cancel()
        return first, again, it.known

    first, again, known = travel(main())
    assert first == [("prepare", True, False), ("changed", True)]
    assert again == first
    assert not known


def test_a_watch_that_ends_is_begun_again(travel):
    async def main():
        it = Setting()
        await it.made.load()
        following = asyncio.create_task(it.made.follow())
        await asyncio.sleep(1)
        for _ in range(3):
            it.server.changes.put_nowait(None)
            await asyncio.sleep(1)
        it.server.change(ENTRY)
        await asyncio.sleep(1)
        following.cancel()
        return it.known

    assert travel(main())


def test_where_watching_is_not_allowed_it_is_read_now_and_then(travel):
    async def main():
        it = Setting()
        it.server.watchable = False
        await it.made.load()
        following = asyncio.create_task(it.made.follow())
        await asyncio.sleep(100)
        it.server.text = ENTRY
        await asyncio.sleep(catalogue.POLL_SECONDS + 1)
        following.cancel()
        return it.known

    assert travel(main())


def test_an_api_server_that_is_away_is_waited_for_at_the_start(travel):
    async def main():
        it = Setting(Server(ENTRY))
        it.server.problems = [errors.Unreachable("refused")] * 5
        await it.made.load()
        return it.known

    assert travel(main())


def test_without_the_right_to_read_it_the_built_in_catalogue_serves(travel, caplog):
    async def main():
        it = Setting(Server(ENTRY))
        it.server.problems = [errors.Forbidden("not allowed", status=403)]
        await it.made.load()
        return it.known

    assert travel(main()) is False
    assert "ConfigMap cannot be read: not allowed" in caplog.text


def test_bad_entries_are_told_and_counted_and_the_rest_is_served(travel, caplog):
    async def main():
        it = Setting(Server(ENTRY + "- sku: broken\nnonsense: []\n"))
        await it.made.load()
        return it.known, it.counts

    known, counts = travel(main())
    assert known
    assert counts[0] >= 2
    assert "ConfigMap system/catalog" in caplog.text


@pytest.mark.parametrize("text", ["[", "- a list", "\x00", "{" * 1000])
def test_no_text_whatever_stops_the_operator(travel, text):
    async def main():
        it = Setting(Server(text))
        await it.made.load()
        return it.counts

    assert travel(main())[0] >= 1


def test_a_configmap_without_the_key_is_told(travel, caplog):
    async def main():
        it = Setting()
        it.server.data = {"other.yaml": ""}
        await it.made.load()
        await it.made._update(await it.made._read_configmap(REFERENCE))

    travel(main())
    assert caplog.text.count("has no key `catalog.yaml`") == 1


def test_a_file_is_followed_and_what_cannot_be_read_stays_as_it_was(travel, tmp_path, caplog):
    path = tmp_path / "catalog.yaml"

    async def main():
        it = Setting(file=str(path), configmap=None)
        await it.made.load()
        missing = it.known
        following = asyncio.create_task(it.made.follow())
        path.write_text(ENTRY)
        await asyncio.sleep(catalogue.POLL_SECONDS + 1)
        written = it.known
        path.unlink()
        await asyncio.sleep(catalogue.POLL_SECONDS + 1)
        following.cancel()
        return missing, written, it.known

    assert travel(main()) == (False, True, True)
    assert "cannot be read" in caplog.text


def test_of_two_changes_the_later_one_is_in_force_however_long_the_first_takes(travel, tmp_path):
    path = tmp_path / "catalog.yaml"

    async def main():
        it = Setting(file=str(path))
        prepare, slow = it.made._prepare, [100.0]

        async def slowly(catalog):
            await asyncio.sleep(slow.pop() if slow else 0.0)
            await prepare(catalog)

        it.made._prepare = slowly
        path.write_text("")
        await it.made.load()
        following = asyncio.create_task(it.made.follow())
        path.write_text("gpus: []  # another text")
        await asyncio.sleep(catalogue.POLL_SECONDS + 1)  # the file's change is being prepared
        it.server.change(ENTRY)
        await asyncio.sleep(200)
        following.cancel()
        return it.known, it.log

    known, log = travel(main())
    assert known
    assert log[-1] == ("changed", True)
