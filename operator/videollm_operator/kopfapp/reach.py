"""What this account may read: found out when work begins, and again while anything is left out.

A namespace that was deleted, or a ClusterRole for nodes that nobody gave, must not keep the
operator from everything else. So both are left out for as long as they may not be read. When they
may be, all is begun anew, so that everything that exists is seen before the first decision.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.kinds import DEPLOYMENT, NODE

if TYPE_CHECKING:
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.settings import Settings

_log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
"""Time between two tries at the start; a server that starts refuses everything for a moment."""

LEFT_OUT_SECONDS = 30.0
"""How often it is looked whether what was left out may be read now."""


class ReachChanged(Exception):  # noqa: N818 - what happened
    """What may be read is not what it was."""


@dataclass(frozen=True)
class Reach:
    """What is served.

    Attributes:
        namespaces: those that may be read, of those that are to be served; empty: all.
        nodes: whether nodes are read.
    """

    namespaces: tuple[str, ...]
    nodes: bool


async def find(client: Client, settings: Settings) -> Reach:
    """What may be read now; waits until the API server serves any VideoLLMDeployments to us."""
    said = ""
    while True:
        namespaces, problem = [], ""
        for namespace in settings.namespaces or ("",):
            try:
                await client.send(requests.list_page(DEPLOYMENT, namespace, limit=1))
                namespaces.append(namespace)
            except errors.NotFound:
                problem = "the CustomResourceDefinition of VideoLLMDeployment is not installed"
            except errors.APIError as error:
                problem = f"VideoLLMDeployments cannot be listed: {error}"
        if problem and problem != said:
            _log.warning("%s%s", problem, "" if namespaces else "; waiting")
        # What is missing is missing twice before it is left out.
        if namespaces and (not problem or problem == said):
            break
        said = problem
        await asyncio.sleep(AGAIN_SECONDS)
    nodes = settings.nodes and await _nodes(client)
    return Reach(tuple(filter(None, namespaces)), nodes)


async def _nodes(client: Client) -> bool:
    try:
        await client.send(requests.list_page(NODE, limit=1))
    except errors.Forbidden:
        await asyncio.sleep(AGAIN_SECONDS)
    except errors.APIError:
        return True  # that passes
    else:
        return True
    if await may_read(client, NODE):
        return True
    _log.warning(
        "nodes may not be listed: plans use the catalogue's memory of each GPU; give the right, or "
        "start with --no-nodes"
    )
    return False


async def may_read(client: Client, kind: Kind, namespace: str = "") -> bool:
    """Whether objects of a kind can be listed."""
    try:
        await client.send(requests.list_page(kind, namespace, limit=1))
    except errors.APIError:
        return False
    return True


async def outgrow(client: Client, settings: Settings, reach: Reach) -> None:
    """Looks for what was left out, for as long as it may not be read.

    Raises:
        ReachChanged: when it may be.
    """
    left = sorted(set(settings.namespaces) - set(reach.namespaces))
    while True:
        await asyncio.sleep(LEFT_OUT_SECONDS)
        for namespace in left:
            if await may_read(client, DEPLOYMENT, namespace):
                raise ReachChanged(f"namespace '{namespace}' may be read now")
        if settings.nodes and not reach.nodes and await may_read(client, NODE):
            raise ReachChanged("nodes may be read now")
