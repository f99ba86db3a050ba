"""Models on a hub: what is asked of it, what is kept from it, and every way it can fail."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import huggingface_hub
import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import close_session, constants

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import config as real
from tests.unit.checkpoints.test_real_models import TRAP, known, plain, tensors_of
from tests.unit.cli.hub_server import COMMIT, Fault, HubServer, serve
from tests.unit.cli.test_bad_models import refused
from videollm_operator.cli import hub as hub_module
from videollm_operator.cli.checkpoint import described
from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "my-org/tiny"
TOKEN = "hf_secret0123456789"

PATIENCE_SECONDS = 600.0
"""For answers in tests that are not about slow ones: a busy computer is no silent hub."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one model, to which everything in this process talks."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hub_module, "TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(hub_module, "DEADLINE_SECONDS", PATIENCE_SECONDS)
    tiny.write(tmp_path / "hub" / REPO)
    with serve(tmp_path / "hub") as server:
        point_to(monkeypatch, server.url)
        yield server
        close_session()


def point_to(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What HF_ENDPOINT does when the library is imported."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def describe(model: str = REPO, *more: str) -> Result:
    return CliRunner().invoke(cli, ["models", "describe", model, *more])


# ---------------------------------------------------------------- what works


def test_a_model_on_the_hub_is_what_it_is_in_a_folder(hub: HubServer, tmp_path: Path) -> None:
    found = described(REPO)
    local = described(str(tmp_path / "hub" / REPO), REPO)
    assert found == local
    assert found.bytes > 0


def test_only_headers_are_read_of_the_72b(hub: HubServer, tmp_path: Path) -> None:
    generator.write(tmp_path / "hub" / TRAP, real(TRAP), tensors_of(TRAP))
    found = described(TRAP)
    assert plain(found.entry) == known(TRAP)
    assert found.bytes == 146_361_044_032
    paths = [path for path, _ in hub.requests]
    shards = len(list((tmp_path / "hub" / TRAP).glob("*.safetensors")))
    assert shards > 20
    assert len(paths) == 3 + shards  # the list, config.json, the index, one range of each shard
    ranges = {headers.get("range") for path, headers in hub.requests if "safetensors" in path}
    assert ranges == {None, "bytes=0-131071"}


def test_a_long_header_takes_a_second_request(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "FIRST_BYTES", 100)
    assert described(REPO).bytes > 0
    assert [h["range"].split("-")[0] for _, h in hub.requests if "range" in h] == [
        "bytes=0",
        "bytes=8",
    ]


@pytest.mark.parametrize("first", [100, 131_072])
def test_a_hub_that_knows_no_ranges_is_not_read_to_the_end(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(hub_module, "FIRST_BYTES", first)
    hub.ignores_ranges = True
    assert described(REPO).bytes > 0


def test_all_is_read_at_one_commit(hub: HubServer) -> None:
    described(REPO)
    first, *others = [path for path, _ in hub.requests]
    assert first == f"/api/models/{REPO}/revision/main"
    assert others
    assert all(f"/resolve/{COMMIT}/" in path for path in others)


def test_the_token_goes_to_the_hub_and_not_to_its_storage(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.token = TOKEN
    with serve(tmp_path / "hub") as storage:
        hub.storage = storage.url
        result = describe()
        assert result.exit_code == 0, result.stderr
        assert storage.requests
        assert all("authorization" not in headers for _, headers in storage.requests)
    assert TOKEN not in result.output
    assert all(h["authorization"] == f"Bearer {TOKEN}" for _, h in hub.requests)


def test_headers_name_this_program_and_ask_for_plain_bytes(hub: HubServer) -> None:
    described(REPO)
    for _, headers in hub.requests:
        assert headers["user-agent"].startswith("videollm/")
        assert headers["accept-encoding"] == "identity"


def test_the_library_reads_the_same_header(hub: HubServer) -> None:
    theirs = huggingface_hub.HfApi().parse_safetensors_file_metadata(
        REPO, "model.safetensors", revision=COMMIT, timeout=PATIENCE_SECONDS
    )
    ours = {tensor.name: tensor for tensor in described(REPO).tensors}
    assert set(theirs.tensors) == set(ours)
    for name, tensor in theirs.tensors.items():
        assert (tensor.dtype, tuple(tensor.shape)) == (ours[name].dtype, ours[name].shape)
        assert tensor.data_offsets[1] - tensor.data_offsets[0] == ours[name].bytes


def test_a_plan_takes_the_numbers_from_the_hub(hub: HubServer) -> None:
    result = CliRunner().invoke(cli, ["plan", "--model", REPO, "--gpu", "L4", "-o", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"] == REPO
    assert f"the numbers of '{REPO}' are from its safetensors headers" in result.stderr


def test_the_environment_names_the_hub(hub: HubServer, tmp_path: Path) -> None:
    """A process of its own: huggingface_hub reads the environment once."""
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "videollm_operator", "models", "describe", REPO, "-o", "yaml"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["models"][0]["name"] == REPO
    assert TOKEN not in done.stdout + done.stderr
    assert hub.requests[0][1]["authorization"] == f"Bearer {TOKEN}"


# ---------------------------------------------------------------- what does not


def html(status: int = 200) -> Fault:
    return Fault(status, {"content-type": "text/html"}, b"<html>hotel wifi</html>")


LISTING, CONFIG, WEIGHTS = "/api/models", "/config.json", "/model.safetensors"
UNSEEN = f"the hub has no model '{REPO}' that can be seen"
NAME = "the hub at 127.0.0.1"
ANSWER = f"the hub's answer about '{REPO}'"

FAULTS = [
    (LISTING, Fault(401), f"{UNSEEN} (401): correct the name, or set HF_TOKEN for a private one"),
    (LISTING, Fault(403), f"{UNSEEN} (403): correct the name, or set HF_TOKEN for a private one"),
    (LISTING, Fault(404), f"{UNSEEN} (404): correct the name, or set HF_TOKEN for a private one"),
    (
        WEIGHTS,
        Fault(403, {"x-error-code": "GatedRepo"}),
        (
            f"'{REPO}' is gated: accept its terms on the hub's page, and set HF_TOKEN to a token "
            "that may read it"
        ),
    ),
    (
        LISTING,
        Fault(404, {"x-error-code": "RevisionNotFound"}),
        f"'{REPO}' has no revision 'main': correct it",
    ),
    (
        CONFIG,
        Fault(404, {"x-error-code": "EntryNotFound"}),
        f"the hub lists a file of '{REPO}' that it does not have: try again later",
    ),
    (
        LISTING,
        Fault(429, {"retry-after": "17"}),
        "the hub takes no more requests for now (429): try again in 17 seconds",
    ),
    (
        WEIGHTS,
        Fault(429, {"retry-after": "Wed, 21 Oct"}),
        "the hub takes no more requests for now (429): try again later",
    ),
    (LISTING, Fault(500), f"{NAME} answered with status 500: try again later"),
    (WEIGHTS, Fault(503), f"{NAME} answered with status 503: try again later"),
    (LISTING, Fault(304), f"{NAME} answered with status 304: try again later"),
    (LISTING, html(), f"{ANSWER} is not JSON (expecting value, line 1): download it again"),
    (LISTING, Fault(200, {}, b"[]"), f"{ANSWER} holds a list, but must hold an object (`{{...}}`)"),
    (LISTING, Fault(200, {}, b"{}"), f"{ANSWER} lists no files: is HF_ENDPOINT a hub?"),
    (
        LISTING,
        Fault(200, {}, b'{"siblings": [1, {"rfilename": 2}, {"rfilename": "a/config.json"}]}'),
        "there is no config.json among the files: name the folder that holds the model's",
    ),
    (
        LISTING,
        Fault(200, {}, b"[" * 200_000),
        f"{ANSWER} is nested too deeply to be read: it is not what its name says",
    ),
    (CONFIG, html(), "config.json is not JSON (expecting value, line 1): download it again"),
    (
        CONFIG,
        Fault(200, {}, b" " * 5_000_000),
        "config.json has 4194305 bytes, but may have 4194304: it is not what its name says",
    ),
    (
        WEIGHTS,
        html(),
        (
            "'model.safetensors' says that its header has 8027734971201644604 bytes, but headers "
            "have at most 25000000: it is not a safetensors file, or was damaged; download it again"
        ),
    ),
    (
        WEIGHTS,
        Fault(416),
        "'model.safetensors' has 0 bytes and so no safetensors header: download it again",
    ),
    (
        WEIGHTS,
        Fault(206, {"content-range": "bytes 0-15/999999999"}, (2_000_000).to_bytes(16, "little")),
        "the hub's answer for 'model.safetensors' was cut off: try again",
    ),
    (
        WEIGHTS,
        Fault(200, {"content-length": "", "connection": "close"}, b"\x08" + b"\0" * 200_000),
        f"{NAME} does not say how large 'model.safetensors' is: try again later",
    ),
    (
        LISTING,
        Fault(302, {"location": "/api/models/elsewhere"}),
        (
            f"{NAME} could not be reached about '{REPO}': check network, proxy and HF_ENDPOINT, or "
            "name the folder in which the model lies"
        ),
    ),
    (
        WEIGHTS,
        Fault(200, {"content-length": "4000"}, b"\x08" + b"\0" * 100),
        (
            f"{NAME} could not be reached about '{REPO}': check network, proxy and HF_ENDPOINT, or "
            "name the folder in which the model lies"
        ),
    ),
]


@pytest.mark.parametrize(("part", "fault", "says"), FAULTS)
def test_a_refusal_becomes_a_sentence(hub: HubServer, part: str, fault: Fault, says: str) -> None:
    hub.faults[part] = fault
    refused(describe(), says)


@pytest.mark.parametrize("part", [LISTING, CONFIG, WEIGHTS])
def test_a_silent_hub_is_not_waited_for(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(hub_module, "TIMEOUT_SECONDS", 0.3)
    hub.faults[part] = Fault(silent=True)
    refused(describe(), f"{NAME} did not answer within 0 s: try again later")


def test_after_one_failure_the_other_shards_are_not_asked_for(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator.write(tmp_path / "hub" / TRAP, real(TRAP), tensors_of(TRAP))
    monkeypatch.setattr(hub_module, "TIMEOUT_SECONDS", 0.5)
    hub.faults["/model-0"] = Fault(silent=True)
    refused(describe(TRAP), f"{NAME} did not answer within 0 s: try again later")
    shards = len(list((tmp_path / "hub" / TRAP).glob("*.safetensors")))
    assert len(hub.requests) - 3 <= 16 < shards


def test_a_slow_hub_is_not_waited_for(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "DEADLINE_SECONDS", -1.0)
    refused(describe(), f"{NAME} took longer than -1 s: try again later")


def test_an_unknown_revision_is_named(hub: HubServer) -> None:
    says = f"'{REPO}' has no revision 'v/9': correct it"
    refused(describe(REPO, "--revision", "v/9"), says)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://127.0.0.1:{port}", "127.0.0.1"),
        ("http://user:secret@127.0.0.1:{port}", "127.0.0.1"),
        ("ftp://hub.example.com", "hub.example.com"),
        ("http://[::1", "HF_ENDPOINT"),
        ("nonsense", "HF_ENDPOINT"),
    ],
)
def test_no_hub_at_the_address(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str, host: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = endpoint.format(port=taken.getsockname()[1])
        point_to(monkeypatch, url)
        result = describe()
    refused(
        result,
        f"the hub at {host} could not be reached about '{REPO}': check network, proxy and "
        "HF_ENDPOINT, or name the folder in which the model lies",
    )


def test_a_token_that_is_no_header_is_not_shown(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret€")
    result = describe()
    assert result.exit_code == 2
    assert "hf_sec" not in result.output


OFFLINE = (
    f"the hub was not asked about '{REPO}', since HF_HUB_OFFLINE is set: unset it, or name the "
    "folder in which the model lies"
)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_honoured(hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    refused(describe(), OFFLINE)
    assert hub.requests == []


def test_the_librarys_own_offline_mode_is_honoured(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    says = "the hub was not asked, since huggingface_hub is in its offline mode: name a folder"
    refused(describe(), says)


MISSING = (
    f"to ask the hub about '{REPO}', install huggingface_hub 2.4 or newer (pip install "
    "'videollm-operator[hub]'), or name the folder in which the model lies"
)


@pytest.mark.parametrize("module", ["huggingface_hub", "httpx2"])
def test_without_the_library_it_says_what_to_install(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A release before 2 is there, but has another HTTP client."""
    monkeypatch.setitem(sys.modules, module, None)
    refused(describe(), MISSING)


def test_a_plan_goes_on_to_say_that_the_catalogue_lacks_it(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(cli, ["plan", "--model", REPO, "--gpu", "L4", "-o", "json"])
    assert result.exit_code == 2
    assert result.stderr == f"Note: {OFFLINE}\n"
    assert json.loads(result.stdout)["problems"][0]["reason"] == "ModelUnknown"
