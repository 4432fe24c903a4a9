"""A worker place: at most one process in it that is meant to run, looked after as by a service manager."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.chaos.journal import Journal
from bench.chaos.plan import ARMED_S, Crash, Step
from streams.agents.worker import EXIT_CLUSTER, EXIT_OK, EXIT_UNTRUSTED

ROOT: Final = Path(__file__).parent.parent.parent
LOOK_S: Final = 0.05
RESTART_S: Final = 0.3
STOP_S: Final = 25.0
"""A worker leaves within ten seconds; on a busy machine with the broker away it may take longer."""
RIGHT: Final = {
    ("stop", EXIT_OK),
    ("stop", -signal.SIGTERM),  # One that was still starting.
    ("kill", -signal.SIGKILL),
}
REFUSED: Final = "cannot be brought back"
TOLD_CHARACTERS: Final = 3_000


class Slot:
    """One worker place. For one thread, but for `finished`.

    Args:
        name: Its name.
        config: The settings' file.
        snapshot_bytes_min, clock_s: As of the plan.
        journal: Is told everything.

    """

    def __init__(
        self,
        name: str,
        *,
        config: Path,
        snapshot_bytes_min: int,
        clock_s: float,
        journal: Journal,
    ) -> None:
        self.name = name
        self._config = config
        self._snapshot_bytes_min = snapshot_bytes_min
        self._clock_s = clock_s
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None
        self._replaced: list[tuple[subprocess.Popen[bytes], Crash | None]] = []
        self._log = config.parent / f"worker-{name}.log"
        self._number = 0
        self._wanted = False
        self._told = ""
        self._crash: Crash | None = None
        self._start_s = 0.0
        self._armed_until_s = 0.0

    def follow(self, steps: Sequence[Step]) -> None:
        """Take each step in its time."""
        for step in steps:
            while self._journal.now_s() < step.at_s or (step.do == "disarm" and self._is_coming()):
                self.tend()
                time.sleep(LOOK_S)
            self.tend()
            self._take(step)

    def tend_until(self, finished: threading.Event) -> None:
        """Look after the worker until told, then stop it in good order."""
        while not finished.is_set():
            self.tend()
            time.sleep(LOOK_S)
        self._await_replaced()
        self._stop()

    def tend(self) -> None:
        """Start a worker again that has ended, if one is wanted here."""
        self._reap_replaced()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._ended(code)
        if self._wanted and self._journal.now_s() >= self._start_s:
            self._start()

    def kill(self) -> None:
        """End whatever is there, at once."""
        self._wanted = False
        for process in (self._process, *(process for process, _ in self._replaced)):
            if process is not None:
                process.kill()
                process.wait()
        self._process, self._replaced = None, []

    def log(self) -> str:
        """Return the end of what the last process of this place has logged."""
        return self._log.read_text("utf8", "replace")[-TOLD_CHARACTERS:] if self._number else ""

    def _take(self, step: Step) -> None:
        if step.do == "start":
            self._wanted = True
            if self._process is None:
                self._start(step.crash)
        elif step.do == "stop":
            self._stop()
        elif self._process is None:
            pass  # There is nobody to do it to.
        elif step.do == "disarm":
            self._disarm()
        elif step.do == "kill":
            self._note("SIGKILL", counts="kills")
            self._told = "kill"
            self._process.kill()
            self._ended(self._process.wait())
        elif step.do == "replace":
            self._note("a second process in its place", counts="replacements")
            self._replaced.append((self._process, self._crash))
            self._start()
        else:
            pausing = step.do == "pause"
            self._note("SIGSTOP" if pausing else "SIGCONT", counts="pauses" if pausing else "")
            self._process.send_signal(signal.SIGSTOP if pausing else signal.SIGCONT)
        if step.do == "kill":
            self._wanted = False

    def _is_coming(self) -> bool:
        """Whether a worker may still come to its crash point; stopping the one before took its time."""
        return self._crash is not None and self._journal.now_s() < self._armed_until_s

    def _disarm(self) -> None:
        if self._crash is None:
            return
        # Only now it comes to the point `during_revocation`.
        if self._stop() != -signal.SIGKILL:
            self._note("did not come to its crash point", counts="points not reached")
        self._wanted, self._start_s = True, 0.0
        self.tend()

    def _start(self, crash: Crash | None = None) -> None:
        self._number += 1
        self._log = self._config.parent / f"worker-{self.name}-{self._number:02}.log"
        self._crash, self._told = crash, ""
        self._armed_until_s = self._journal.now_s() + ARMED_S
        told = [] if crash is None else [crash.stage, crash.point, str(crash.passes)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "bench.chaos.worker"),
                    *(str(self._config), self.name, str(self._snapshot_bytes_min)),
                    *(str(self._clock_s), *told),
                ],
                cwd=self._config.parent,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        armed = "" if crash is None else f", to end itself at {crash}"
        self._note(f"started, its {self._number}. time{armed}", counts="starts")

    def _stop(self) -> int | None:
        """Stop what runs in good order; return its exit code."""
        self._wanted = False
        process = self._process
        if process is None:
            return None
        self._note("SIGTERM", counts="stops")
        self._told = "stop"
        process.terminate()
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._fail(f"has not ended {STOP_S:.0f} s after SIGTERM")
            process.kill()
            self._told, code = "kill", process.wait()
        self._ended(code)
        return code

    def _reap_replaced(self) -> None:
        """Look whether those that were replaced have ended; they must by themselves."""
        for process, crash in list(self._replaced):
            code = process.poll()
            if code is None:
                continue
            self._replaced.remove((process, crash))
            if code == EXIT_UNTRUSTED:
                self._note("the replaced process was fenced", counts="fenced")
            elif code == -signal.SIGKILL and crash is not None:
                self._note(f"the replaced process has ended itself at {crash}")
            elif not (code == EXIT_CLUSTER and self._journal.excused):
                self._fail(f"the replaced process ended with {code}")

    def _await_replaced(self) -> None:
        deadline_s = self._journal.now_s() + STOP_S
        while self._replaced and self._journal.now_s() < deadline_s:
            self._reap_replaced()
            time.sleep(LOOK_S)
        if self._replaced:
            self._fail("the replaced process still runs")

    def _ended(self, code: int) -> None:
        """Judge how the process has ended."""
        self._process = None
        self._start_s = self._journal.now_s() + RESTART_S
        crash, told = self._crash, self._told
        self._crash = None
        if code == -signal.SIGKILL and crash is not None and told != "kill":
            self._note(f"has ended itself at {crash}", counts=f"at {crash.point}")
        elif code == EXIT_UNTRUSTED and REFUSED not in self.log():
            self._note("was fenced, and said so", counts="fenced")
        elif code == EXIT_CLUSTER and self._journal.excused:
            self._note("ended, since the broker was away", counts="ended by an outage")
        elif (told, code) not in RIGHT:
            self._fail(f"ended with {code}; see {self._log}\n{self.log()}")

    def _note(self, text: str, *, counts: str = "") -> None:
        self._journal.note(f"worker {self.name}: {text}", counts=counts)

    def _fail(self, text: str) -> None:
        self._journal.fail(f"worker {self.name}: {text}")
