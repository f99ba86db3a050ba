"""Labels, annotations and the names of children: what other programs may rely on.

Every child's name is bounded here, once: Kubernetes allows Services 63 characters, and the
StatefulSet controller puts the StatefulSet's name plus a revision hash into a pod label (63),
so names of StatefulSets stay within 52 characters (kubernetes/kubernetes#64023).
"""

from __future__ import annotations

import hashlib

FIELD_MANAGER = "videollm-operator"
"""Server-side-apply manager of everything the operator writes."""

PREFIX = "videollm.io"
LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

APP_NAME = "videollm"
COMPONENT = "engine"
MANAGED_BY = "videollm-operator"

ANNOTATION_RECORD = f"{PREFIX}/record"
"""On the StatefulSet: the layout in force, the inputs it was made from (design principle 9)."""

ANNOTATION_TAKING_UP = f"{PREFIX}/taking-up"
"""On the StatefulSet: which update it is taking up by itself; gone once all replicas serve."""

ANNOTATION_RESTART_TOKEN = f"{PREFIX}/restart-token"
"""On the pod template: `spec.rollout.restartToken`, so that a new one restarts the pods."""

ANNOTATION_ADOPT = f"{PREFIX}/adopt"
"""On the VideoLLMDeployment: "true" lets the operator take over its orphaned children."""

MAX_WORKLOAD_NAME = 52
MAX_SERVICE_NAME = 63
MAX_LABEL_VALUE = 63

CHILD_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
"""Server-side selector of every watch on children."""


HEADLESS_SUFFIX = "-pods"
CLAIM_SUFFIX = "-cache"
"""Users often name a claim with weights like the deployment, so ours must not have just that
name."""


def bounded(name: str, limit: int, suffix: str = "") -> str:
    """`name` + `suffix` as a DNS label within `limit` characters.

    A name that cannot stay as it is ends in a hash of the whole, so that two names stay apart.
    That is one that is too long, has dots (Services and pod host names may not), begins with a
    digit (older API servers refuse such Services; `vld-` is put before it), or ends as another
    deployment's headless Service does.

    Args:
        name: name of a Kubernetes object (lower-case letters, digits, `-` and `.`).
        limit: most characters of the result.
        suffix: what it ends in.
    """
    plain = name.replace(".", "-")
    if plain[0].isdigit():
        plain = f"vld-{plain}"
    if plain == name and len(plain) + len(suffix) <= limit and not plain.endswith(HEADLESS_SUFFIX):
        return plain + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: limit - len(suffix) - 9].rstrip('-')}-{digest}{suffix}"


def workload_name(deployment: str) -> str:
    """Name of the StatefulSet, ServiceAccount and PodDisruptionBudget."""
    return bounded(deployment, MAX_WORKLOAD_NAME)


def service_name(deployment: str) -> str:
    """Name of the ClusterIP Service that clients use."""
    return bounded(deployment, MAX_WORKLOAD_NAME)


def headless_service_name(deployment: str) -> str:
    """Name of the headless Service that gives pods their host names."""
    return bounded(deployment, MAX_SERVICE_NAME, HEADLESS_SUFFIX)


def claim_name(deployment: str) -> str:
    """Name of the cache claim that all replicas share."""
    return bounded(deployment, MAX_SERVICE_NAME, CLAIM_SUFFIX)


def child_names(deployment: str) -> frozenset[str]:
    """Every name that a child of this deployment can have, whatever its kind."""
    return frozenset(
        name(deployment)
        for name in (workload_name, service_name, headless_service_name, claim_name)
    )


def selector_labels(deployment: str) -> dict[str, str]:
    """The labels that select exactly the pods of one deployment; immutable in a StatefulSet."""
    fits = len(deployment) <= MAX_LABEL_VALUE
    instance = deployment if fits else bounded(deployment, MAX_LABEL_VALUE)
    return {LABEL_NAME: APP_NAME, LABEL_INSTANCE: instance}


def child_labels(deployment: str) -> dict[str, str]:
    """The labels of every child; the operator's watches select by `managed-by`."""
    return {
        **selector_labels(deployment),
        LABEL_COMPONENT: COMPONENT,
        LABEL_MANAGED_BY: MANAGED_BY,
    }


def selector_string(deployment: str) -> str:
    """`selector_labels` as the string that the scale subresource needs."""
    return ",".join(f"{k}={v}" for k, v in sorted(selector_labels(deployment).items()))
