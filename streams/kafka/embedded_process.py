"""The embedded broker's process: started in a session of its own, found again, never confused."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# psutil derives a start time from the machine's boot time, which the kernel corrects by up to a
# second when the clock is stepped. A pid is not reused within two seconds by a process that also
# has our properties file on its command line.
START_TIME_TOLERANCE_S = 2.0

# How often a waiting caller looks whether the process has gone.
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, told from a later one that got the same pid.

    `started_at_s` is the start as seconds since the epoch; `marker` is an argument on its command
    line that no other process has (the path of its properties file).
    """

    pid: int
    started_at_s: float
    marker: str


def spawn_daemon(command: Sequence[str], *, output: Path, marker: str) -> ProcessIdentity:
    """Start `command` in a session of its own, so that it outlives its starter and its terminal.

    Its standard output and error go to `output`, which is emptied. It gets an almost empty
    environment: a CLASSPATH or JAVA_TOOL_OPTIONS of the caller must not change the broker.
    Raises OSError when the program cannot be started at all.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        command[0],
        list(command),
        {"LANG": "C.UTF-8"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # Python ignores SIGPIPE, and an ignored signal stays ignored across exec.
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
    )
    try:
        started_at_s = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started_at_s = 0.0
    return ProcessIdentity(pid, started_at_s, marker)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs, or is still ending; a stranger with its pid is not it.

    Once this is False, its ports and files are free.
    """
    _reap(identity.pid)
    try:
        process = psutil.Process(identity.pid)
        if abs(process.create_time() - identity.started_at_s) > START_TIME_TOLERANCE_S:
            return False
        if process.status() == psutil.STATUS_ZOMBIE:
            # The first thread of a killed process is a zombie before the others have ended, and
            # they hold its sockets and locks. One thread is what nobody has collected yet.
            return process.num_threads() > 1
        command = process.cmdline()
        # The kernel shows none while it loads the program, and none once it takes it down.
        return not command or any(identity.marker in argument for argument in command)
    except psutil.ZombieProcess:
        # It has become one between two of these looks, so its threads may not have ended yet; taken for
        # gone, the next start met its ports and its lock. The next look counts them.
        return True
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # A process that we may not look at is another user's, so not the one we started.
        return False


def send(identity: ProcessIdentity, signal_number: signal.Signals) -> None:
    """Send a signal to that very process; nothing happens when it has gone."""
    if not is_alive(identity):
        return
    try:
        os.kill(identity.pid, signal_number)
    except ProcessLookupError:
        return


def wait_gone(identity: ProcessIdentity, timeout_s: float) -> bool:
    """Wait until the process has ended, for `timeout_s` seconds at most; whether it has."""
    deadline = time.monotonic() + timeout_s
    while is_alive(identity):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _reap(pid: int) -> None:
    """Collect the exit status if the process is a child of ours that has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, ProcessLookupError):
        # Another command started it, or it was collected before.
        return
