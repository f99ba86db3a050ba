"""Many objects side by side, each in a namespace of its own with a fault of its own."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, Any

import yaml

from devcluster.waiting import eventually
from tests.cluster.proofs import causes
from tests.cluster.proofs.likeness import differences, plain
from tests.cluster.world import CHILDREN, OPERATOR_USER, ready, settled, vld
from videollm_operator.api import names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from devcluster.audit import AuditRecord
    from devcluster.target import Target
    from tests.cluster.proofs.causes import Causes
    from tests.cluster.proxy import Rule
    from tests.cluster.proxy_exchange import Seen

Object = dict[str, Any]

OURS = "app.kubernetes.io/managed-by=videollm-operator"


@dataclass
class Cell:
    """One object, and what is done to the requests about it.

    Attributes:
        name: of the case, for people.
        namespace: where.
        rules: the fault.
    """

    name: str
    namespace: str
    rules: list[Rule] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    def about(self, seen: Iterable[Seen]) -> list[Seen]:
        """Those requests that are about it."""
        return [each for each in seen if f"/namespaces/{self.namespace}/" in each.path]


class Field:
    """The cells, looked at all at once: one question to the API server for all of them.

    Args:
        cluster: where they are.
        prefix: of their namespaces.
        cases: their names.
    """

    def __init__(self, cluster: Target, prefix: str, cases: Iterable[str]) -> None:
        self.cluster = cluster
        self.cells = [Cell(name, f"{prefix}-{number}") for number, name in enumerate(cases)]

    def create(self) -> None:
        """Creates the namespaces."""
        spaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cell.namespace}}
            for cell in self.cells
        ]
        self.cluster.kubectl("create", "-f", "-", input=yaml.safe_dump_all(spaces))

    def remove(self) -> None:
        """Removes them, and what is in them."""
        spaces = [cell.namespace for cell in self.cells]
        self.cluster.kubectl("delete", "namespace", *spaces, "--wait=false")

    def apply(self, cells: Iterable[Cell], **spec: Any) -> None:
        """Applies every cell's object `a`, as a user would; it has no pods."""
        objects = []
        for cell in cells:
            obj = vld("a", replicas=0, **spec)
            obj["metadata"]["namespace"] = cell.namespace
            objects.append(obj)
        self.cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def until_ready(self, cells: Collection[Cell], within_s: float = 120.0) -> None:
        """Waits until every cell's object is ready at its own generation.

        Raises:
            TimeoutError: naming those that do not, and what they say instead.
        """
        wanted = {cell.namespace: cell.name for cell in cells}

        def others() -> dict[str, str]:
            found = {obj["metadata"]["namespace"]: obj for obj in self._all("vld")}
            return {
                name: json.dumps(found.get(namespace, {}).get("status", {}).get("conditions"))
                for namespace, name in wanted.items()
                if namespace not in found or not done(found[namespace])
            }

        eventually(others, lambda left: not left, timeout_s=within_s, interval_s=0.5)

    def contents(self) -> dict[str, Object]:
        """What each namespace holds, without what differs between equals."""
        found: dict[str, Object] = {cell.namespace: {} for cell in self.cells}
        for obj in [*self._all("vld"), *self._all(CHILDREN, "-l", OURS)]:
            namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
            text = json.dumps(_content(obj)).replace(f'"{namespace}"', '"NAMESPACE"')
            text = text.replace(f".{namespace}.", ".NAMESPACE.")
            found[namespace][f"{obj['kind']}/{name}"] = json.loads(text)
        return found

    def news(self) -> dict[str, Counter[str]]:
        """The reasons of the Events about each object, and how often each was told."""
        found: dict[str, Counter[str]] = {cell.namespace: Counter() for cell in self.cells}
        for event in self._all("events.events.k8s.io"):
            if event["regarding"]["kind"] == "VideoLLMDeployment":
                found[event["metadata"]["namespace"]][event["reason"]] += 1
        return found

    def _all(self, kinds: str, *flags: str) -> list[Object]:
        ours = {cell.namespace for cell in self.cells}
        items: list[Object] = self.cluster.get(kinds, "-A", *flags)["items"]
        return [obj for obj in items if obj["metadata"]["namespace"] in ours]


def done(obj: Object) -> bool:
    """Whether it is ready at its own generation."""
    return ready(obj) == ("True", "ScaledToZero") and settled(obj)


def written(cluster: Target, mark: int) -> dict[str, Counter[tuple[str, int]]]:
    """The operator's writes since a mark: by namespace, how often which resource, which answer."""
    found: dict[str, Counter[tuple[str, int]]] = {}
    for record in cluster.audit_events(mark):
        if record.user == OPERATOR_USER and record.write and record.resource != "leases":
            found.setdefault(record.namespace, Counter())[_what(record), record.code] += 1
    return found


def causes_of(cluster: Target, mark: int) -> dict[str, Causes]:
    """How often status was written since a mark, and how often it might be; by namespace."""
    found: dict[str, list[AuditRecord]] = {}
    for record in cluster.audit_events(mark):
        found.setdefault(record.namespace, []).append(record)
    return {namespace: causes.of(records) for namespace, records in found.items()}


def _what(record: AuditRecord) -> str:
    return f"{record.resource}/{record.subresource}".rstrip("/")


def most_looks(before: int, window_s: float, sent: int) -> int:
    """How often the operator may look at an object in a window, after so many failures.

    The pause after the n-th failure in a row is at least 0.1 s times 2 to the power of n - 1
    (`runtime.queue`), and at least 30 s where it does not grow any more. So many pauses fit into
    the window; one look more comes before the first of them, and one may be under way when the
    window begins. A slow machine looks less often before it, and never more often in it.

    Args:
        before: requests that failed before the window.
        window_s: its length in seconds, at most 30.
        sent: how often the client sends a request before it gives up.
    """
    failures = max(0, before // sent - 1)
    return int(log2(1 + window_s / (0.1 * 2.0 ** min(failures, 9)))) + 2


def _content(obj: Object) -> Any:
    """What the operator is answerable for."""
    if obj["kind"] == "VideoLLMDeployment":
        return plain(obj["status"])
    kept = plain({key: value for key, value in obj.items() if key != "status"})
    # Its checksum is another in each namespace; what it records is seen in the manifests.
    kept["metadata"].get("annotations", {}).pop(names.ANNOTATION_RECORD, None)
    return kept


def differing(
    contents: Mapping[str, Object], cells: Iterable[Cell], reference: Cell
) -> dict[str, list[str]]:
    """The cells whose end is another than the reference's, and in what."""
    found = {
        cell.name: differences(contents[cell.namespace], contents[reference.namespace])
        for cell in cells
    }
    return {name: lines for name, lines in found.items() if lines}
