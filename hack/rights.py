"""Hold the operator's shipped rights against those that it uses: `python -m hack.rights`.

Each test session writes down what the API server's audit log shows for the operator's account.
All of it together must be the shipped rules: nothing used that is not shipped, nothing shipped that
is never used. So this comes after all tests on a cluster. After some of them only, `--some` asks
for the first half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from devcluster import binaries
from devcluster.errors import NotAvailableError
from devcluster.progress import to_terminal
from hack.local_operator import ACCOUNT, NAMESPACE
from hack.render_install import ROOT, template
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT
from videollm_operator.runtime.transport import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from devcluster.audit import AuditRecord
    from devcluster.target import Target

FOLDER = ROOT / "build" / "rights"

NAMESPACED = "videollm-few"
"""Namespace of the operator that serves some namespaces only, in the tests of that mode."""

MODES = {NAMESPACE: (), NAMESPACED: ("--set=watchNamespaces={video}",)}
"""Namespace of the operator's account, and what makes the chart render its rights."""


@dataclass(frozen=True, order=True)
class Right:
    """One thing that is done, or may be done.

    Attributes:
        group: API group, "" for the core group.
        resource: plural, with its subresource: `statefulsets/scale`.
        verb: as in rules.
        scope: `cluster`: in all namespaces at once, or about what is in none; `own`: in the
            operator's namespace; `namespace`: in another one.
        name: of the object, where only that one may be touched; else "".
    """

    group: str
    resource: str
    verb: str
    scope: str
    name: str = ""

    def covers(self, other: Right) -> bool:
        """Whether a rule that gives this right gives the other one, too."""
        return (
            (self.group, self.resource, self.verb) == (other.group, other.resource, other.verb)
            and self.scope in {other.scope, "cluster"}
            and self.name in {"", other.name}
        )

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.group or 'core'}/{self.resource}{name} ({self.scope})"


UNSEEN = {Right(kind.group, kind.plural, "delete", "cluster") for kind in CHILDREN}
"""Rights that leave no trace in the log: where OwnerReferencesPermissionEnforcement is on, only who
may delete an orphan may adopt it. Without them tests/cluster/test_ownership.py fails."""


@dataclass(frozen=True)
class Use:
    """That a right was used.

    Attributes:
        account: namespace of the account that used it.
        right: which; `name` is that of the object for requests in the operator's own namespace.
        test: during which test it was used first.
        times: how often.
    """

    account: str
    right: Right
    test: str
    times: int = 1


def source() -> str:
    """Fingerprint of what decides about rights, and of the tests that use them.

    Records of another one are of no use: what a test used that is gone is not used any more.
    """
    files = [
        *sorted((ROOT / "operator").rglob("*.py")),
        *sorted((ROOT / "charts").rglob("*.*")),
        *sorted((ROOT / "tests" / "cluster").rglob("*.py")),
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def used_by(record: AuditRecord, namespace: str) -> list[Right]:
    """The rights that one request took, refused or not.

    Not all are in its verb: an apply that makes the object takes `create`, too; and where
    OwnerReferencesPermissionEnforcement is on, a child that keeps its owner waiting takes `update`
    of the owner's finalizers.

    Args:
        record: a request of the operator.
        namespace: of the operator's account.
    """
    own = record.namespace == namespace
    scope = "own" if own else "namespace" if record.namespace else "cluster"
    resource = "/".join(part for part in (record.resource, record.subresource) if part)
    right = Right(record.group, resource, record.verb, scope, record.name if own else "")
    if record.code != 201:
        return [right]
    found = [right, replace(right, verb="create", name="")]
    if (record.group, record.resource) in {(kind.group, kind.plural) for kind in CHILDREN}:
        owner = f"{DEPLOYMENT.plural}/finalizers"
        found.append(Right(DEPLOYMENT.group, owner, "update", scope))
    return found


def uses(records: Iterable[AuditRecord], begun: Sequence[tuple[datetime, str]]) -> list[Use]:
    """What the operator did.

    Args:
        records: of the audit log.
        begun: when each test began, with its name, in order.
    """
    accounts = {f"system:serviceaccount:{ns}:{ACCOUNT}": ns for ns in MODES}
    found: dict[tuple[str, Right], str] = {}
    times: Counter[tuple[str, Right]] = Counter()
    at = 0
    for record in records:
        account = accounts.get(record.user)
        # Only the operator's own requests: tests also ask kubectl what the account may do.
        if not account or not record.resource or not record.user_agent.startswith(USER_AGENT):
            continue
        while at < len(begun) and begun[at][0] <= record.time:
            at += 1
        for right in used_by(record, account):
            found.setdefault((account, right), begun[at - 1][1] if at else "")
            # A refusal is no use of what is shipped: an API server that starts refuses at first.
            refused = record.raw.get("annotations", {}).get("authorization.k8s.io/decision")
            times[account, right] += refused != "forbid"
    return [Use(*key, test, times[key]) for key, test in found.items()]


def write_down(cluster: Target, begun: Sequence[tuple[datetime, str]]) -> None:
    """Writes down what a session's cluster shows, for `python -m hack.rights`.

    Args:
        cluster: before it ends; nothing is written if its audit log cannot be read.
        begun: when each test began, with its name, in order.
    """
    try:
        found = uses(cluster.audit_events(), begun)
    except NotAvailableError:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    body = {"source": source(), "tests": len(begun), "uses": [asdict(use) for use in found]}
    (FOLDER / f"{cluster.name}.json").write_text(json.dumps(body))


def read(folder: Path) -> tuple[list[Use], int]:
    """All that was written down about the code as it is now, and during how many tests."""
    found, tests, wanted = [], 0, source()
    for file in sorted(folder.glob("*.json")):
        body = json.loads(file.read_text())
        if body["source"] != wanted:
            continue
        tests += body["tests"]
        found += [Use(**{**use, "right": Right(**use["right"])}) for use in body["uses"]]
    return found, tests


def shipped(objects: Iterable[Mapping[str, Any]], namespace: str) -> set[Right]:
    """The rights that roles bound to the operator's account give.

    Args:
        objects: an installation.
        namespace: of the operator's account.
    """
    roles: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    bound: list[tuple[str, str, str]] = []
    for obj in objects:
        place = obj["metadata"].get("namespace", "")
        if obj["kind"] in {"Role", "ClusterRole"}:
            roles[obj["kind"], place, obj["metadata"]["name"]] = obj
        if any(subject["namespace"] == namespace for subject in obj.get("subjects", [])):
            bound.append((obj["roleRef"]["kind"], place, obj["roleRef"]["name"]))
    scopes = {"": "cluster", namespace: "own"}
    return {
        Right(group, resource, verb, scopes.get(key[1], "namespace"), name)
        for key in bound
        for rule in roles[key]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def not_shipped(used: Iterable[Use], rules: Mapping[str, set[Right]]) -> list[str]:
    """A sentence for each right that is used and not shipped; see `differences`."""
    return [
        f"{use.right} is used and not shipped: first by {use.test}"
        for use in used
        if not any(rule.covers(use.right) for rule in rules[use.account])
    ]


def differences(used: Iterable[Use], rules: Mapping[str, set[Right]]) -> list[str]:
    """A sentence for each right that is used and not shipped, or shipped and not used.

    The whole suite runs with the rights of the usual installation; those in named namespaces must
    be the same but for their scope, so that it speaks for them, too.

    Args:
        used: what was written down.
        rules: the shipped rights by namespace of the account.
    """
    used = list(used)
    found = not_shipped(used, rules)
    found += [
        f"{rule} is shipped and never used: take it out of the chart, or test what needs it"
        for rule in sorted(rules[NAMESPACE] - UNSEEN)
        if not times(rule, used)
    ]
    everywhere, some = (
        {replace(right, scope="") for right in rules[account] if right.scope != "own"}
        for account in (NAMESPACE, NAMESPACED)
    )
    found += [
        f"{right} differs between an installation for all namespaces and one for some"
        for right in sorted(everywhere ^ some)
    ]
    if not any(use.account == NAMESPACED for use in used):
        found.append("no operator was run that serves some namespaces only")
    return found


def times(rule: Right, used: Iterable[Use]) -> int:
    """How often the usual installation used what a rule gives."""
    return sum(u.times for u in used if u.account == NAMESPACE and rule.covers(u.right))


def main() -> int:
    """Prints the table of rules; 0 if the shipped rights are the used ones."""
    parser = argparse.ArgumentParser(prog="python -m hack.rights", description=__doc__)
    parser.add_argument(
        "--some",
        action="store_true",
        help="some tests were run, not all: ask only whether all that was used is shipped",
    )
    some = parser.parse_args().some
    used, tests = read(FOLDER)
    if not used:
        print(
            "nothing is written down about this code: run the tests in tests/cluster first, on a "
            "cluster of their own",
            file=sys.stderr,
        )
        return 1
    helm = binaries.helm(to_terminal())
    rules = {
        account: shipped(template(helm, *values, namespace=account), account)
        for account, values in MODES.items()
    }
    for rule in sorted(rules[NAMESPACE]):
        first = next(
            (u.test for u in used if u.account == NAMESPACE and u.times and rule.covers(u.right)),
            "",
        )
        print(f"{rule!s:<70} {times(rule, used):>7}  {first}")
    found = not_shipped(used, rules) if some else differences(used, rules)
    for sentence in found:
        print(f"DIFFERS: {sentence}", file=sys.stderr)
    print(f"{len(rules[NAMESPACE])} rights, {tests} tests, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
