import pytest

from tests.unit.render import builders
from tests.unit.render.builders import engine_of, launch, planned, pod_of
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.engine import EnvVar
from videollm_operator.render.manifests import render

HUGE = "999999999999Ti"


def made(run=None, **spec):
    return render(builders.deployment(**spec), planned(run))


def test_requests_are_limits_but_for_the_cpu_that_is_not_throttled():
    resources = engine_of(made())["resources"]

    assert resources == {
        "limits": {"memory": "64Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": "4"},
        "requests": {
            "cpu": "16",
            "memory": "64Gi",
            "ephemeral-storage": "10Gi",
            "nvidia.com/gpu": "4",
        },
    }


def test_cpu_and_memory_of_the_user_win():
    resources = engine_of(made(podTemplate={"resources": {"cpu": "2000m", "memory": "131072Mi"}}))[
        "resources"
    ]

    assert resources["requests"]["cpu"] == "2"
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "128Gi"
    assert "cpu" not in resources["limits"]


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.podTemplate.resources.memory", {"podTemplate": {"resources": {"memory": HUGE}}}),
        ("spec.cache.size", {"cache": {"size": HUGE}}),
        ("spec.cache.size", {"cache": {"type": "EmptyDir", "size": HUGE}}),
    ],
)
def test_an_amount_beyond_what_kubernetes_counts_is_refused(field, spec):
    with pytest.raises(Refused) as refused:
        made(**spec)

    (problem,) = refused.value.problems
    assert problem.field == field
    assert problem.message == (
        f"`{field}` is no amount that Kubernetes can count: '{HUGE}' is too large"
    )


def test_the_gpu_is_the_entrys_resource():
    gpu = builders.gpu(resourceName="nvidia.com/mig-3g.40gb", gpusPerNode=1)
    manifests = render(builders.deployment(), planned(on=gpu))

    assert engine_of(manifests)["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "4"


def test_the_pod_meets_the_restricted_pod_security_standard():
    pod, engine = pod_of(made()), engine_of(made())

    assert pod["securityContext"] == {
        "fsGroup": 0,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsGroup": 0,
        "runAsNonRoot": True,
        "runAsUser": 2000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert engine["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_user_and_groups_of_the_user_win_also_if_they_are_zero():
    run = launch(run_as_group=5, fs_group=5)
    context = pod_of(
        made(
            run,
            podTemplate={"securityContext": {"runAsUser": 7, "runAsGroup": 0, "fsGroup": 0}},
        )
    )["securityContext"]

    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (7, 0, 0)


def test_probes_are_the_engines_and_ask_the_named_port():
    engine = engine_of(made())

    assert engine["startupProbe"] == {
        "failureThreshold": 180,
        "httpGet": {"path": "/health", "port": "http"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
    }
    assert engine["readinessProbe"]["failureThreshold"] == 3
    assert engine["livenessProbe"]["periodSeconds"] == 15
    assert engine["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]


def test_a_pod_sleeps_before_it_ends_and_has_time_to_finish():
    assert engine_of(made())["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}
    assert pod_of(made())["terminationGracePeriodSeconds"] == 150


def test_no_sleep_is_no_hook():
    assert "lifecycle" not in engine_of(made(launch(pre_stop_seconds=0)))


def test_variables_keep_their_order_and_secrets_stay_references():
    env = [
        EnvVar.model_validate({"name": "B", "value": "1"}),
        EnvVar.model_validate({"name": "A", "value": "$(B)"}),
        EnvVar.model_validate({"name": "EMPTY", "value": ""}),
        EnvVar.model_validate(
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ),
    ]

    assert engine_of(made(launch(env=tuple(env))))["env"] == [
        {"name": "B", "value": "1"},
        {"name": "A", "value": "$(B)"},
        {"name": "EMPTY"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]


def test_command_arguments_and_variables_are_left_out_if_there_are_none():
    engine = engine_of(made(launch(args=(), env=())))

    assert not {"command", "args", "env"} & set(engine)


def test_a_command_is_a_list_of_words():
    engine = engine_of(made(launch(command=("python3", "-m", "sglang.launch_server"))))

    assert engine["command"] == ["python3", "-m", "sglang.launch_server"]
    assert engine["args"] == ["org/model", "--tensor-parallel-size=4"]


def test_what_the_user_leaves_out_is_left_to_the_cluster():
    left_out = {
        "affinity",
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "runtimeClassName",
        "topologySpreadConstraints",
    }

    assert not left_out & set(pod_of(made(gpu={"sku": "A100-80GB", "nodeSelection": "None"})))


def test_scheduling_and_pull_settings_are_passed_on():
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
               "labelSelector": {}}]  # fmt: skip
    manifests = made(
        scheduling={
            "nodeSelector": {"pool": "b", "a": ""},
            "topologySpreadConstraints": spread,
            "priorityClassName": "high",
            "runtimeClassName": "nvidia",
        },
        podTemplate={
            "imagePullSecrets": [{"name": "z"}, {"name": "a"}],
            "imagePullPolicy": "Always",
        },
    )

    pod = pod_of(manifests)
    assert pod["nodeSelector"] == {"pool": "b", "a": ""}
    assert pod["topologySpreadConstraints"] == spread
    assert pod["priorityClassName"] == "high"
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["imagePullSecrets"] == [{"name": "a"}, {"name": "z"}]
    assert engine_of(manifests)["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(("given", "used"), [("", "llava"), ("mine", "mine")])
def test_the_account_is_its_own_unless_one_is_given(given, used):
    assert pod_of(made(podTemplate={"serviceAccountName": given}))["serviceAccountName"] == used
