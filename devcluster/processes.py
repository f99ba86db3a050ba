"""Start, recognise and end the programs of a cluster.

They outlive the command that starts them, so a later command knows them only by what was written
down: process id **and** start time. Both must agree before anything is signalled, because the
kernel gives ids of ended processes to strangers.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROC = Path("/proc")

# Children of this very process that were not reaped yet. Only these are waited for: the id of one
# already reaped may meanwhile belong to a child that somebody else in this process waits for.
_unreaped: set[int] = set()


@dataclass(frozen=True)
class Process:
    """A program that was started.

    Attributes:
        pid: process id.
        started: when, as the system writes it (clock ticks since boot on Linux); compared, never
            interpreted.
    """

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; one that ended and waits to be reaped does not."""
        return start_time(self.pid) == self.started


def parse_stat(stat: str) -> tuple[str, str]:
    """State letter and start time out of the text of `/proc/PID/stat`.

    The program's name, in parentheses, may itself hold spaces and parentheses, so fields are
    counted from the last closing one: state is the 3rd field, the number of threads the 20th,
    start time the 22nd (proc(5)). A killed program whose first thread has ended (Z) while others
    have not still has its ports: it counts as running (R).
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    state, threads, started = fields[0], int(fields[17]), fields[19]
    return "R" if state == "Z" and threads > 1 else state, started


def start_time(pid: int) -> str:
    """When process `pid` started, or "" if there is none or it has ended and is not reaped yet."""
    _reap(pid)
    if _PROC.is_dir():
        try:
            state, started = parse_stat((_PROC / str(pid) / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if state in "ZX" else started
    found = subprocess.run(  # macOS and the BSDs
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split(None, 1)
    return "" if len(found) < 2 or found[0].startswith("Z") else found[1].strip()


def _reap(pid: int) -> None:
    """Collect the exit status if `pid` is an ended child of ours; others are reaped elsewhere."""
    if pid in _unreaped and os.waitpid(pid, os.WNOHANG)[0] == pid:
        _unreaped.discard(pid)


def start(argv: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> Process:
    """Start a program in a session of its own, detached from the terminal.

    Args:
        argv: program (a path) and arguments.
        log: file that receives both output streams, appended to.
        env: the whole environment.
    """
    words = [str(word) for word in argv]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        words[0],
        words,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    _unreaped.add(pid)
    # Empty only if it has ended already: then it is not alive, which is what callers ask next.
    return Process(pid, start_time(pid) or "ended")


def end(process: Process, *, grace_s: float = 0.0) -> None:
    """End a process and wait until it is gone. One that is gone already is fine.

    Args:
        process: what to end; nothing is signalled unless id and start time both agree.
        grace_s: seconds to end by itself after SIGTERM before SIGKILL; 0 kills at once.
    """
    if grace_s > 0:
        _signal(process, signal.SIGTERM)
        wait_until(lambda: not process.alive, grace_s)
    _signal(process, signal.SIGKILL)
    wait_until(lambda: not process.alive, 10.0, 0.01)


def _signal(process: Process, number: signal.Signals) -> None:
    if not process.alive:
        return
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return  # it ended between the question and the signal


def memory_mib(process: Process) -> int | None:
    """Resident memory in MiB, or None where the system does not tell it by /proc."""
    try:
        lines = (_PROC / str(process.pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in lines:
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return None


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, or a note that there is none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "(no log was written)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
