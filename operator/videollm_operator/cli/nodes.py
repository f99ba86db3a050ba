"""The nodes of a cluster, as `kubectl get nodes -o json` prints them, and what they offer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from videollm_operator.catalog import yamlnodes
from videollm_operator.cli import inputs
from videollm_operator.cli.answer import Answer, answer
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.inventory import Offer, Use, none_usable, offers
from videollm_operator.reconcile.nodes import label_keys, least_visible_mib, visible_of
from videollm_operator.sizing.text import count, mib

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.world import NodeFacts


@dataclass(frozen=True, slots=True)
class Offered:
    """One kind of GPU, and the nodes that have it."""

    offer: Offer
    visible_mib: int
    """What CUDA shows of one, MiB; 0 where it cannot be used."""
    nodes: tuple[str, ...]
    gpus: int
    """How many the nodes have to give, all together, whether or not they are in use."""

    def as_row(self) -> dict[str, Any]:
        """For programs."""
        offer = self.offer
        return {
            "sku": offer.sku,
            "use": str(offer.use),
            "nodes": list(self.nodes),
            "resource": offer.resource,
            "gpus": self.gpus,
            "reportedMiB": offer.reported_mib,
            "tableMiB": offer.table_mib,
            "visibleMiB": self.visible_mib,
            "note": self.note,
        }

    @property
    def note(self) -> str:
        """Why not, or how the memory differs from the table."""
        offer = self.offer
        if offer.note or offer.reported_mib in (None, offer.table_mib):
            return offer.note
        return (
            f"the nodes report {mib(offer.reported_mib or 0)}, the table has "
            f"{mib(offer.table_mib)}: what they report counts"
        )


def read(path: str) -> list[dict[str, Any]]:
    """The nodes of a file, or of standard input for `-`; other kinds are passed over."""
    text = inputs.read(path)
    try:
        if text.lstrip().startswith("{"):
            documents = [json.loads(text)]  # large clusters: much faster than as YAML
        else:
            documents = [document.value for document in yamlnodes.read_all(text)]
    except (json.JSONDecodeError, RecursionError) as error:
        inputs.fail(f"'{path}' is not JSON: {error}")
    except yamlnodes.YAMLProblem as problem:
        inputs.fail(f"'{path}' line {problem.line}: {problem}")
    found = [obj for document in documents for obj in _opened(document) if _is_node(obj)]
    if not found:
        inputs.fail(
            f"'{path}' holds no Node: give what `kubectl get nodes -o json` (or -o yaml) prints"
        )
    return found


def facts(nodes: Iterable[Mapping[str, Any]], catalog: Catalog) -> frozenset[NodeFacts]:
    """What the operator would see of these nodes."""
    keys = label_keys(catalog)
    return frozenset(filter(None, (observe.node(node, keys) for node in nodes)))


def answers(
    asked: Iterable[VideoLLMDeployment], path: str, catalog: Catalog, *, to_apply: bool
) -> list[Answer]:
    """Plans objects for the memory that the nodes of a file report; that none will do is noted."""
    known = facts(read(path), catalog)
    found = []
    for each in asked:
        gpu = catalog.gpu(each.spec.gpu.sku)
        visible = least_visible_mib(gpu, known) if gpu else None
        one = answer(each, catalog, to_apply=to_apply, visible_mib=visible)
        unfit = none_usable(gpu, known, catalog) if gpu else ""
        if one.planned and unfit:
            warnings = (*one.planned.warnings, unfit)
            one = replace(one, planned=replace(one.planned, warnings=warnings))
        found.append(one)
    return found


def offered(nodes: Iterable[Mapping[str, Any]], catalog: Catalog) -> list[Offered]:
    """What nodes offer, by kind of GPU: what can be used first, in the order of the catalogue."""
    found: dict[Offer, list[tuple[str, int]]] = {}
    for node in nodes:
        labels = node["metadata"].get("labels") or {}
        for offer in _there(offers(labels, catalog), _allocatable(node)):
            name = str(node["metadata"].get("name", ""))
            found.setdefault(offer, []).append((name, _gpus(offer, node)))
    order = [Use.WHOLE, Use.SLICE, Use.REFUSED, Use.UNKNOWN]
    listed = [
        Offered(
            offer=offer,
            visible_mib=_visible(offer, catalog),
            nodes=tuple(name for name, _ in having),
            gpus=sum(gpus for _, gpus in having),
        )
        for offer, having in found.items()
    ]
    return sorted(listed, key=lambda each: (order.index(each.offer.use), each.offer.sku))


def show(found: Iterable[Offered]) -> None:
    """Prints a table, and below it what there is to say of its rows."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from videollm_operator.cli.output import console

    out = console()
    table = Table(box=None, pad_edge=False)
    table.add_column("SKU", no_wrap=True)
    table.add_column("USE")
    for column in ("NODES", "GPUS", "CUDA GiB"):
        table.add_column(column, justify="right")
    rows = list(found)
    for each in rows:
        usable = each.visible_mib > 0
        table.add_row(
            each.offer.sku or "?",
            str(each.offer.use).lower(),
            str(len(each.nodes)),
            str(each.gpus) if usable else "",
            f"{each.visible_mib / 1024:.1f}" if usable else "",
        )
    out.print(table)
    for each in rows:
        if each.note:
            who = f"{each.offer.sku or '?'} ({count(len(each.nodes), 'node')}): {each.note}"
            out.print(Padding(Text(who), (0, 0, 0, 2)))


def _opened(document: Any) -> list[Any]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
        items = document.get("items")
        return items if isinstance(items, list) else []
    return [document]


def _is_node(obj: Any) -> bool:
    """Whether it is a Node with the parts that are read here."""
    if not isinstance(obj, dict) or obj.get("kind") != "Node":
        return False
    metadata, status = obj.get("metadata"), obj.get("status") or {}
    if not isinstance(metadata, dict) or not isinstance(status, dict):
        return False
    return all(
        isinstance(part or {}, dict) for part in (metadata.get("labels"), status.get("allocatable"))
    )


def _allocatable(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return (node.get("status") or {}).get("allocatable") or {}


def _there(found: tuple[Offer, ...], allocatable: Mapping[str, Any]) -> tuple[Offer, ...]:
    """Without what the labels name but the node does not give out, if it says what it does."""
    usable = [each for each in found if each.resource]
    given = [each for each in usable if str(allocatable.get(each.resource, "0")) != "0"]
    if not allocatable or not usable or given:
        return tuple(given or found)
    note = f"the node gives out no `{usable[0].resource}`: is the device plugin running?"
    return (replace(usable[0], use=Use.REFUSED, resource="", note=note),)


def _gpus(offer: Offer, node: Mapping[str, Any]) -> int:
    said = str(_allocatable(node).get(offer.resource, "0"))
    return int(said) if said.isdecimal() else 0


def _visible(offer: Offer, catalog: Catalog) -> int:
    gpu = catalog.gpu(offer.sku)
    if gpu is None or not offer.resource:
        return 0
    return visible_of(gpu, offer.reported_mib or gpu.nvml_mib)
