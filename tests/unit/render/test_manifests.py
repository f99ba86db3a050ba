import copy

import pytest

from tests.unit.render import builders
from tests.unit.render.builders import kinds, of_kind, planned
from videollm_operator.api import names
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.render.manifests import render


def test_children_come_in_the_order_in_which_they_are_needed():
    assert kinds(render(builders.deployment(), planned())) == [
        "ServiceAccount",
        "Service",
        "Service",
        "StatefulSet",
        "PodDisruptionBudget",
    ]


def test_a_shared_cache_comes_before_the_pods_that_mount_it():
    found = kinds(render(builders.deployment(cache={"accessMode": "ReadWriteMany"}), planned()))

    assert found.index("PersistentVolumeClaim") < found.index("StatefulSet")


def test_an_account_that_is_given_is_not_made():
    made = render(builders.deployment(podTemplate={"serviceAccountName": "mine"}), planned())

    assert "ServiceAccount" not in kinds(made)


def test_the_account_brings_no_token():
    account = of_kind(render(builders.deployment(), planned()), "ServiceAccount")

    assert account["automountServiceAccountToken"] is False


def test_pods_have_host_names_before_they_are_ready():
    headless = render(builders.deployment(), planned())[1]

    assert headless["metadata"]["name"] == "llava-pods"
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True


def test_clients_find_the_engine_under_the_objects_own_name_and_port():
    made = render(builders.deployment(network={"port": 9000}), planned(builders.launch(port=9000)))

    service = made[2]
    assert service["metadata"]["name"] == names.service_name("llava") == "llava"
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": names.selector_labels("llava"),
        "ports": [{"name": "http", "port": 9000, "protocol": "TCP", "targetPort": "http"}],
    }


def test_the_workload_replaces_pods_in_parallel_and_leaves_gated_fields_alone():
    spec = of_kind(render(builders.deployment(replicas=3), planned()), "StatefulSet")["spec"]

    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    assert spec["serviceName"] == "llava-pods"
    assert spec["replicas"] == 3


def test_a_drain_takes_one_pod_at_a_time_and_broken_ones_at_once():
    budget = of_kind(render(builders.deployment(), planned()), "PodDisruptionBudget")

    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": names.selector_labels("llava")},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


@pytest.mark.parametrize("replicas", [0, 1, 2, 1000])
def test_replicas_change_nothing_but_replicas(replicas):
    one = render(builders.deployment(), planned())
    many = copy.deepcopy(render(builders.deployment(replicas=replicas), planned()))
    workload = of_kind(many, "StatefulSet")

    assert workload["spec"]["replicas"] == replicas
    workload["spec"]["replicas"] = 1
    assert many == one


def test_a_plan_that_cannot_run_is_refused_with_its_own_sentence():
    problem = Problem(Reason.ENGINE_UNSUPPORTED, "no engine loads it", "spec.model.name")

    with pytest.raises(Refused) as refused:
        render(builders.deployment(), planned(not_runnable=problem))

    assert refused.value.problems == (problem,)


def test_the_same_object_and_plan_give_the_same_manifests():
    assert render(builders.deployment(), planned()) == render(builders.deployment(), planned())
