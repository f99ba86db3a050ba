"""The catalogue in force: the built-in one plus the administrator's file and ConfigMap.

Both are followed. Whatever is wrong with them is logged and counted and never stops anything: bad
entries are left out, and what cannot be read stays as it was.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.kinds import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.settings import ConfigMapReference

_log = logging.getLogger(__name__)

DATA_KEY = "catalog.yaml"
"""Key of the ConfigMap that holds the entries."""

POLL_SECONDS = 15.0
AGAIN_SECONDS = 1.0
"""Between the end of a watch and the next one: some are ended as soon as they begin."""

WATCH_SECONDS = 300


class Extend(Protocol):
    """`catalog.loader.extended`."""

    def __call__(self, base: Catalog, text: str, source: str) -> Catalog:
        """A catalogue with further entries."""


class Catalogue:
    """Holds the catalogue in force.

    Args:
        base: the built-in one.
        extend: adds entries to it.
        client: reads the ConfigMap.
        file: file with further entries; None for none.
        configmap: ConfigMap with further entries; None for none.
        prepare: is called before a changed catalogue is in force.
        changed: is called after that.
        problems: is told how many entries are not served.
    """

    def __init__(
        self,
        base: Catalog,
        extend: Extend,
        client: Client,
        *,
        file: str | None,
        configmap: ConfigMapReference | None,
        prepare: Callable[[Catalog], Awaitable[None]],
        changed: Callable[[], None],
        problems: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._base = base
        self._extend = extend
        self._client = client
        self._file = Path(file) if file else None
        self._configmap = configmap
        self._prepare = prepare
        self._changed = changed
        self._problems = problems
        self._texts: dict[str, str] = {}
        self._updating = asyncio.Lock()
        self.current = base

    async def load(self) -> None:
        """Reads everything once; waits for an API server that does not answer."""
        self._take(self._read_file())
        while self._configmap is not None:
            try:
                self._take(await self._read_configmap(self._configmap))
                break
            except errors.APIError as error:
                _log.warning("the catalogue's ConfigMap cannot be read: %s", error)
                if not error.transient:
                    break
                await asyncio.sleep(1.0)
        self.current = self._build()

    async def follow(self) -> None:
        """Takes up changes, for ever."""
        if self._file is None and self._configmap is None:
            await asyncio.Event().wait()
        followers = [asyncio.create_task(self._follow_file())] if self._file else []
        if self._configmap is not None:
            followers.append(asyncio.create_task(self._follow_configmap(self._configmap)))
        try:
            await asyncio.gather(*followers)
        finally:
            for follower in followers:
                follower.cancel()

    async def _follow_file(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._update(self._read_file())

    async def _follow_configmap(self, reference: ConfigMapReference) -> None:
        """Watches; where the right to watch is missing, says so once and reads now and then."""
        said = set[str]()
        watch = requests.watch_one(
            CONFIG_MAP, reference.namespace, reference.name, timeout_seconds=WATCH_SECONDS
        )
        while True:
            try:
                await self._update(await self._read_configmap(reference))
                async for _ in self._client.events(watch):
                    await self._update(await self._read_configmap(reference))
                await asyncio.sleep(AGAIN_SECONDS)
            except errors.APIError as error:
                new = str(error) not in said and not error.transient
                level = logging.WARNING if new else logging.DEBUG
                _log.log(level, "the catalogue's ConfigMap is not watched: %s", error)
                said.add(str(error))
                await asyncio.sleep(POLL_SECONDS)

    def _read_file(self) -> dict[str, str]:
        if self._file is None:
            return {}
        source = str(self._file)
        try:
            return {source: self._file.read_text()}
        except (OSError, UnicodeDecodeError) as error:
            if self._texts.get(source) != "":
                _log.error("the catalogue %s cannot be read: %s", source, error)
            return {source: self._texts.get(source, "")}

    async def _read_configmap(self, reference: ConfigMapReference) -> dict[str, str]:
        source = f"ConfigMap {reference}"
        try:
            found: dict[str, Any] = await self._client.get(
                CONFIG_MAP, reference.namespace, reference.name
            )
        except errors.NotFound:
            return {source: ""}
        data = found.get("data") or {}
        if DATA_KEY not in data and self._texts.get(source) != "":
            _log.warning("%s has no key `%s`: it adds nothing", source, DATA_KEY)
        return {source: data.get(DATA_KEY, "")}

    async def _update(self, texts: dict[str, str]) -> None:
        async with self._updating:  # else what was built first could be in force last
            if self._take(texts):
                catalog = self._build()
                await self._prepare(catalog)
                self.current = catalog
                _log.info("the catalogue has changed")
                self._changed()

    def _take(self, texts: dict[str, str]) -> bool:
        before = dict(self._texts)
        self._texts.update(texts)
        return self._texts != before

    def _build(self) -> Catalog:
        catalog = self._base
        for source, text in self._texts.items():
            if text.strip():
                catalog = self._extend(catalog, text, source)
        for problem in catalog.problems:
            _log.error("catalogue: %s", problem)
        self._problems(len(catalog.problems))
        return catalog
