from __future__ import annotations

import os

import pytest

from videollm_operator.runtime.settings import ConfigMapReference, Settings

OPTIONS = {
    "namespaces": ("a", "b", "a"),
    "kubeconfig": None,
    "leader_election": True,
    "lease_name": "videollm-operator",
    "lease_namespace": "videollm-system",
    "identity": "",
    "metrics_port": 8080,
    "health_port": 8081,
    "workers": 4,
    "resync_seconds": 600,
    "max_concurrent_updates": 2,
    "catalog_file": None,
    "catalog_configmap": "videollm-system/videollm-catalog",
    "nodes": True,
    "log_level": "info",
    "log_format": "json",
}


def test_options_of_the_command_line_become_settings():
    settings = Settings.from_options(OPTIONS)
    assert settings.namespaces == ("a", "b")
    assert settings.catalog_configmap == ConfigMapReference("videollm-system", "videollm-catalog")
    assert str(settings.catalog_configmap) == "videollm-system/videollm-catalog"
    assert settings.log_format == "json"


def test_an_identity_is_made_up_if_none_is_given():
    assert Settings.from_options(OPTIONS).identity.endswith(f"_{os.getpid()}")
    assert Settings.from_options({**OPTIONS, "identity": "pod-1"}).identity == "pod-1"


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("namespaces", ["Not A Name"], "--namespace is 'Not A Name'"),
        ("lease_name", "", "--lease-name is ''"),
        ("lease_namespace", "a/b", "--lease-namespace is 'a/b'"),
        ("metrics_port", 70000, "--metrics-port is 70000"),
        ("health_port", -1, "--health-port is -1"),
        ("workers", 0, "--workers is 0"),
        ("resync_seconds", 0, "--resync-seconds is 0"),
        ("max_concurrent_updates", -1, "--max-concurrent-updates is -1"),
        ("log_level", "loud", "--log-level is loud: it must be debug or info"),
        ("log_format", "xml", "--log-format is xml: it must be json or text"),
        (
            "catalog_configmap",
            "no-slash",
            "--catalog-configmap is 'no-slash': write NAMESPACE/NAME",
        ),
        ("catalog_configmap", "a/b/c", "--catalog-configmap is 'a/b/c'"),
        ("renew_deadline_seconds", 20, "--renew-deadline-seconds < --lease-seconds; found 2, 20"),
        ("retry_seconds", 0, "--retry-seconds < --renew-deadline-seconds"),
        ("lease_seconds", 15.5, "--lease-seconds is 15.5: it must be a whole number, 2 or more"),
        ("lease_seconds", 1, "--lease-seconds is 1: it must be a whole number, 2 or more"),
        ("nonsense", 1, "unknown setting 'nonsense'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_flag(option, value, named):
    with pytest.raises(ValueError, match=r"must|write|unknown") as refused:
        Settings.from_options({**OPTIONS, option: value})
    assert named in str(refused.value)


def test_without_leader_election_the_lease_need_not_be_named():
    settings = Settings.from_options({**OPTIONS, "leader_election": False, "lease_name": ""})
    assert not settings.leader_election
