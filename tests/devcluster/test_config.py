"""What programs are told, as pure text."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from devcluster import config, keys, paths
from devcluster.access import with_token
from devcluster.errors import StartError
from devcluster.foreign import folder_name


def layout(pod_cidr: str = "127.10.0.0/16") -> config.Layout:
    ports = {purpose: 20000 + number for number, purpose in enumerate(config.PORTS)}
    return config.Layout(Path("/c/dev"), ports, pod_cidr)


@pytest.mark.parametrize("program", config.PROGRAMS)
def test_every_address_that_a_program_is_given_is_loopback(program: str) -> None:
    for argument in config.command(program, layout()):
        name, _, value = argument.partition("=")
        if "address" in name or "urls" in name or "servers" in name:
            assert "127.0.0.1" in value


@pytest.mark.parametrize("program", config.PROGRAMS)
def test_every_file_that_a_program_is_given_lies_in_the_clusters_folder(program: str) -> None:
    files = [
        argument.partition("=")[2]
        for argument in config.command(program, layout())
        if argument.partition("=")[2].startswith("/") and "readyz" not in argument
    ]
    assert files
    assert all(file.startswith("/c/dev/") for file in files)


def test_endpoint_controllers_are_off_only_where_the_api_server_would_refuse_their_work() -> None:
    off = "--controllers=*,-endpoints-controller,-endpointslice-controller"
    assert off in config.command("kube-controller-manager", layout("127.10.0.0/16"))
    assert "--controllers=*" in config.command("kube-controller-manager", layout("198.18.0.0/16"))


def test_only_administrators_are_in_the_masters_group() -> None:
    text = config.tokens_csv({user: f"t-{user}" for user in config.USERS})
    masters = [line.split(",")[1] for line in text.splitlines() if "system:masters" in line]
    assert masters == [config.ADMIN, config.KWOK]
    assert len(text.splitlines()) == len(config.USERS)


def test_a_kubeconfig_needs_no_other_file() -> None:
    text = config.kubeconfig(
        server="https://127.0.0.1:1", certificate_authority=b"PEM", token="secret", context="c"
    )
    parsed = json.loads(text)
    assert parsed["current-context"] == "c"
    assert parsed["users"][0]["user"] == {"token": "secret"}
    authority = parsed["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority) == b"PEM"


def test_an_accounts_kubeconfig_keeps_the_cluster_and_drops_the_administrator() -> None:
    admin = config.kubeconfig(
        server="https://127.0.0.1:1", certificate_authority=b"PEM", token="admin", context="c"
    )
    text = with_token(admin, "limited", "team-a")
    assert "admin" not in text
    parsed = json.loads(text)
    assert parsed["clusters"] == json.loads(admin)["clusters"]
    assert parsed["users"][0]["user"] == {"token": "limited"}
    assert parsed["contexts"][0]["context"]["namespace"] == "team-a"


def test_programs_get_nothing_of_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    assert set(config.environment(Path("/h"))) == {"PATH", "HOME", "KWOK_WORKDIR"}


def test_a_private_key_is_written_as_sec1_der() -> None:
    lines = keys.ec_private_key_pem(1).splitlines()
    der = base64.b64decode("".join(lines[1:-1]))
    assert lines[0] == "-----BEGIN EC PRIVATE KEY-----"
    assert lines[-1] == "-----END EC PRIVATE KEY-----"
    assert der[:5] == bytes([0x30, len(der) - 2, 0x02, 0x01, 0x01])
    assert der[5:7] == bytes([0x04, 32])
    assert int.from_bytes(der[7:39], "big") == 1


@pytest.mark.parametrize("number", [0, -1, 2**256])
def test_a_number_outside_the_curve_is_no_private_key(number: int) -> None:
    with pytest.raises(ValueError, match="order of the curve"):
        keys.ec_private_key_pem(number)


def test_keys_and_tokens_differ_from_cluster_to_cluster() -> None:
    assert keys.new_signing_key() != keys.new_signing_key()
    assert keys.new_token() != keys.new_token()


@pytest.mark.parametrize("name", ["dev", "a", "test-1-2", "x" * 40])
def test_a_dns_label_can_name_a_cluster(name: str) -> None:
    assert paths.check_name(name) == name


@pytest.mark.parametrize("name", ["", "Dev", "../x", "a/b", "-a", "a-", "x" * 41, "a_b", "a\n"])
def test_other_text_cannot_name_a_cluster(name: str) -> None:
    with pytest.raises(StartError, match="lower-case letters"):
        paths.check_name(name)


@pytest.mark.parametrize("context", ["kind-foo", "user@host:443/x", "ÄÖ", "a" * 300, "arn:aws:eks"])
def test_any_context_gets_a_folder_name_of_its_own(context: str) -> None:
    name = folder_name(context)
    assert paths.check_name(name) == name
    assert folder_name(context) != folder_name(context + "x")
