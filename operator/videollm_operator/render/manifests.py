"""All children of one deployment, as the operator applies them.

Pure: the same object and plan give the same manifests, in apply order. Which objects there are,
and everything in them but the StatefulSet's `replicas`, does not depend on how many replicas are
asked for: scaling never changes a layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.api.problem import Refused
from videollm_operator.render import metadata
from videollm_operator.render.pod import pod_values
from videollm_operator.render.template import render_object
from videollm_operator.render.volumes import storage

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.engines.base import DeploymentPlan


def render(deployment: VideoLLMDeployment, planned: DeploymentPlan) -> tuple[dict[str, Any], ...]:
    """The children of `deployment`, in the order in which they are applied.

    Values are in the form in which the API server gives them back; there are no nulls and nothing
    that it would drop. The owner reference is there once the object has a uid.

    Raises:
        Refused: if the plan cannot be run (`planned.not_runnable`), or the object asks for
            something that no pod can have or that collides with what the operator renders.
    """
    launch = planned.launch
    if launch is None:
        raise Refused(*filter(None, [planned.not_runnable]))
    spec = deployment.spec
    children = metadata.child_names(deployment)
    stored = storage(spec, launch, children["claim"])
    owner = metadata.owner_reference(deployment)
    own_account = not spec.pod_template.service_account_name
    shared = {
        "namespace": deployment.metadata.namespace,
        "labels": names.child_labels(deployment.metadata.name),
        "selector": names.selector_labels(deployment.metadata.name),
        "port": launch.port,
        "claim": stored.claim,
    }

    def made(template: str, child: str, **values: Any) -> dict[str, Any]:
        return render_object(
            template, {"owner": owner, **shared, "name": children[child], **values}
        )

    manifests = []
    if own_account:
        manifests.append(made("serviceaccount", "workload"))
    manifests.append(made("headless_service", "headless_service"))
    manifests.append(made("service", "service"))
    if stored.claim is not None and stored.claim.shared:
        keeper = None if stored.claim.retained else owner
        manifests.append(made("persistentvolumeclaim", "claim", owner=keeper))
    manifests.append(
        made(
            "statefulset",
            "workload",
            replicas=spec.replicas,
            headless_service=children["headless_service"],
            **pod_values(deployment, planned, launch, stored),
        )
    )
    manifests.append(made("poddisruptionbudget", "workload"))
    return tuple(manifests)
