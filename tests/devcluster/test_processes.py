"""Processes are started apart from us, recognised later, and never mistaken for others."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devcluster import ports, processes
from devcluster.errors import StartError
from devcluster.processes import Process
from devcluster.waiting import eventually, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = processes.start(program("import time; time.sleep(60)"), tmp_path / "log", {})
    yield process
    processes.end(process)


def test_a_started_process_lives_until_it_is_ended(sleeper: Process) -> None:
    assert sleeper.alive
    processes.end(sleeper)
    assert not sleeper.alive


def test_a_process_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(
    sleeper: Process,
) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid


def test_a_process_with_the_same_id_but_another_start_time_is_not_ours(sleeper: Process) -> None:
    stranger = replace(sleeper, started="1")
    assert not stranger.alive
    processes.end(stranger)
    assert sleeper.alive


def test_a_process_that_ended_by_itself_is_not_alive(tmp_path: Path) -> None:
    process = processes.start(program("print('bye')"), tmp_path / "log", {})
    assert wait_until(lambda: not process.alive, 10)
    assert processes.tail(tmp_path / "log") == "bye"


def test_a_process_that_ended_but_was_not_reaped_is_not_alive() -> None:
    with subprocess.Popen(program("")) as child:
        process = Process(child.pid, processes.start_time(child.pid))
        assert wait_until(lambda: not process.alive, 10)
        assert child.wait() == 0  # the exit status was left to whoever started it


def test_ending_a_process_that_is_gone_is_fine() -> None:
    with subprocess.Popen(program("")) as child:
        pass
    processes.end(Process(child.pid, "5"), grace_s=1)


def test_a_process_is_asked_before_it_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('asked'), sys.exit()))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    process = processes.start(program(code), log, {})
    eventually(lambda: processes.tail(log), lambda text: text == "ready")
    processes.end(process, grace_s=10)
    assert processes.tail(log) == "ready\nasked"


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    process = processes.start(program(code), log, {})
    eventually(lambda: processes.tail(log), lambda text: text == "ready")
    processes.end(process, grace_s=0.2)
    assert not process.alive


@pytest.mark.parametrize("name", ["sh", "a b", "x) S 1 (y", "((", ""])
def test_a_programs_name_does_not_confuse_the_reading_of_proc_stat(name: str) -> None:
    fields = ["S", *(str(number) for number in range(4, 53))]
    assert processes.parse_stat(f"12 ({name}) {' '.join(fields)}") == ("S", "22")


@pytest.mark.parametrize(("threads", "state"), [(1, "Z"), (7, "R")])
def test_a_killed_program_runs_until_its_last_thread_has_ended(threads: int, state: str) -> None:
    fields = ["Z", *(str(number) for number in range(4, 53))]
    fields[17] = str(threads)
    assert processes.parse_stat(f"12 (etcd) {' '.join(fields)}") == (state, "22")


def test_the_tail_of_a_log_that_is_missing_or_empty_says_so(tmp_path: Path) -> None:
    assert "no log" in processes.tail(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert "empty" in processes.tail(tmp_path / "empty")


def test_chosen_ports_are_free_different_and_of_nobody_else() -> None:
    first = ports.choose(6, [])
    second = ports.choose(6, first)
    assert len({*first, *second}) == 12
    assert all(ports.is_free(port) for port in [*first, *second])


def test_too_few_free_ports_are_reported_with_what_to_do() -> None:
    with pytest.raises(StartError, match="down --all"):
        ports.choose(2, range(20001, 32000))
