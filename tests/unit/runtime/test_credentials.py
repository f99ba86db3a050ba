from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import yaml

from videollm_operator.runtime import credentials, kubeconfig
from videollm_operator.runtime.credentials import CredentialsError, FileToken, StaticToken

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://127.0.0.1:6443"


def config(**changes):
    made = {
        "current-context": "c",
        "contexts": [
            {"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}},
            {"name": "other", "context": {"cluster": "none", "user": "u"}},
        ],
        "clusters": [{"name": "k", "cluster": {"server": SERVER + "/"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    return {**made, **changes}


def write(folder: Path, content, name="config") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def cluster(**fields):
    return [{"name": "k", "cluster": {"server": SERVER, **fields}}]


def user(**fields):
    return [{"name": "u", "user": fields}]


def test_the_current_context_is_used(tmp_path):
    access = kubeconfig.load([write(tmp_path, config())])
    assert access.server == SERVER
    assert access.token.current() == "secret"
    assert access.namespace == "team"
    assert "secret" not in repr(access)


def test_paths_are_relative_to_the_file_and_data_is_decoded(tmp_path):
    pem = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
    content = config(
        clusters=cluster(**{
            "certificate-authority": "ca.crt",
            "tls-server-name": "kubernetes",
            "proxy-url": "http://proxy:3128",
            "insecure-skip-tls-verify": True,
        }),
        users=user(**{"client-certificate-data": pem, "client-key": "/keys/key.pem"}),
    )  # fmt: skip
    access = kubeconfig.load([write(tmp_path, content)])
    assert access.ca_file == str(tmp_path / "ca.crt")
    assert access.cert_data == "-----BEGIN CERTIFICATE-----"
    assert access.key_file == "/keys/key.pem"
    assert (access.server_name, access.proxy) == ("kubernetes", "http://proxy:3128")
    assert access.insecure
    assert access.token.current() == ""


def test_data_wins_over_a_file_of_the_same(tmp_path):
    pem = base64.b64encode(b"PEM").decode()
    content = config(
        clusters=cluster(**{"certificate-authority": "x", "certificate-authority-data": pem})
    )
    access = kubeconfig.load([write(tmp_path, content)])
    assert (access.ca_file, access.ca_data) == ("", "PEM")


def test_several_files_are_merged_and_the_first_wins(tmp_path):
    first = write(tmp_path, {"users": user(token="first")}, "1")
    second = write(tmp_path, config(), "2")
    access = kubeconfig.load([tmp_path / "missing", first, second])
    assert access.token.current() == "first"
    assert access.server == SERVER


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (config(users=user(exec={"command": "aws"})), "by 'exec', which is not supported"),
        (config(users=user(**{"auth-provider": {}})), "by 'auth-provider'"),
        (config(users=user(username="admin", password="x")), "by 'username'"),
        (config(**{"current-context": ""}), "has no current context"),
        (config(**{"current-context": "x"}), "has no context named 'x'"),
        (config(**{"current-context": "other"}), "has no cluster named 'none'"),
        (config(users=[]), "has no user named 'u'"),
        (config(clusters=[{"name": "k", "cluster": {}}]), "has no `server`"),
        (config(users=user(**{"client-key-data": "%%%"})), "`client-key-data`"),
        ("- just\n- a list\n", "is no kubeconfig"),
        ("{unclosed", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(tmp_path, content, named):
    with pytest.raises(CredentialsError) as refused:
        kubeconfig.load([write(tmp_path, content)])
    assert named in str(refused.value)


def test_a_missing_kubeconfig_is_named(tmp_path):
    with pytest.raises(CredentialsError, match="there is no kubeconfig"):
        credentials.find(str(tmp_path / "nothing"), {})


@pytest.fixture
def service_account(tmp_path):
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("one\n")
    (folder / "namespace").write_text("videollm-system")
    return folder


POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_in_a_pod_the_service_account_is_used(service_account):
    access = credentials.in_cluster(POD, service_account)
    assert access is not None
    assert access.server == "https://10.96.0.1:443"
    assert access.token.current() == "one"
    assert access.ca_file == str(service_account / "ca.crt")
    assert access.namespace == "videollm-system"


def test_an_ipv6_address_is_bracketed(service_account):
    access = credentials.in_cluster({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account)
    assert access is not None
    assert access.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("environ", [{}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}])
def test_outside_a_pod_there_is_no_service_account(environ, service_account):
    assert credentials.in_cluster(environ, service_account) is None


def test_the_usual_kubeconfig_is_the_last_resort(tmp_path):
    with pytest.raises(CredentialsError, match="name a kubeconfig with --kubeconfig"):
        credentials.find(None, {"HOME": str(tmp_path)})
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube", config())
    assert credentials.find("", {"HOME": str(tmp_path)}).server == SERVER


def test_a_token_file_is_read_again_when_its_token_is_refused(tmp_path):
    path = write(tmp_path, "one\n", "token")
    token = FileToken(path)
    assert token.current() == "one"
    path.write_text("two\n")
    assert token.current() == "one"  # not read at every request
    assert token.refused("one")
    assert token.current() == "two"
    assert not token.refused("two")


def test_a_token_file_is_read_again_after_a_minute(tmp_path, monkeypatch):
    path = write(tmp_path, "one", "token")
    token = FileToken(path)
    assert token.current() == "one"
    path.write_text("two")
    now = credentials.time.monotonic()
    monkeypatch.setattr(credentials.time, "monotonic", lambda: now + 61)
    assert token.current() == "two"


def test_a_token_file_that_is_gone_or_empty_for_a_moment_does_no_harm(tmp_path):
    path = write(tmp_path, "one", "token")
    token = FileToken(path)
    assert token.current() == "one"
    path.write_text("")
    assert not token.refused("one")
    path.unlink()
    assert not token.refused("one")
    assert token.current() == "one"


def test_a_token_file_that_never_was_is_an_error(tmp_path):
    with pytest.raises(CredentialsError, match=r"token file .* cannot be read"):
        FileToken(tmp_path / "token").current()


def test_a_token_inside_a_kubeconfig_is_read_again_when_it_is_refused(tmp_path):
    path = write(tmp_path, config())
    token = kubeconfig.load([path]).token
    assert token.current() == "secret"
    for unusable in ("", "{unclosed", "[]", config(users=[]), config(users=None)):
        write(tmp_path, unusable)
        assert not token.refused("secret")
    write(tmp_path, config(users=user(token="renewed")))
    assert token.refused("secret")
    assert token.current() == "renewed"


def test_a_fixed_token_cannot_be_renewed():
    assert not StaticToken("one").refused("one")


def test_certificates_that_cannot_be_read_are_named(tmp_path):
    access = credentials.Access(SERVER, ca_file=str(tmp_path / "missing"))
    with pytest.raises(CredentialsError, match=r"a certificate or key for https://127.0.0.1:6443"):
        access.ssl_context()
