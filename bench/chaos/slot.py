"""A worker place: at most one process in it that is meant to run, looked after as by a service manager."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench.chaos.journal import Journal
from bench.chaos.plan import ARMED_S, Crash, Line, Step
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


@dataclass(slots=True)
class Worker:
    """One process.

    Attributes:
        process: It.
        log: What it says.
        crash: Where it will end or pause itself; None when it has no such point, or no more.
        told: The last thing that was done to end it: kill or stop.
        held: Whether it was paused from outside.
        resumes_s: When it is let go on that has paused itself; None while it has not.

    """

    process: "subprocess.Popen[bytes]"
    log: Path
    crash: Crash | None = None
    told: str = ""
    held: bool = False
    resumes_s: float | None = None

    def has_paused_itself(self) -> bool:
        """Whether it stands at its point."""
        if self.crash is None or not self.crash.pause_s or self.held:
            return False
        try:
            return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text("utf8", "replace")[-TOLD_CHARACTERS:]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


class Slot:
    """One worker place. For one thread, but for `finished`.

    Args:
        name: Its name.
        config: The settings' file.
        snapshot_bytes_min, clock_s: As of the plan.
        journal: Is told everything.
        network: Makes the network of this place as it is told.

    """

    def __init__(
        self,
        name: str,
        *,
        config: Path,
        snapshot_bytes_min: int,
        clock_s: float,
        journal: Journal,
        network: Callable[[Line], None],
    ) -> None:
        self.name = name
        self._config = config
        self._snapshot_bytes_min = snapshot_bytes_min
        self._clock_s = clock_s
        self._journal = journal
        self._network = network
        self._worker: Worker | None = None
        self._replaced: list[Worker] = []
        self._number = 0
        self._wanted = False
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
        """Start a worker again that has ended, if one is wanted here; let those go on that paused."""
        self._tend_paused()
        self._reap_replaced()
        if self._worker is not None:
            code = self._worker.process.poll()
            if code is None:
                return
            self._ended(code)
        if self._wanted and self._journal.now_s() >= self._start_s:
            self._start()

    def kill(self) -> None:
        """End whatever is there, at once."""
        self._wanted = False
        for worker in self._workers():
            worker.process.kill()
            worker.process.wait()
        self._worker, self._replaced = None, []

    def _workers(self) -> list[Worker]:
        return [*self._replaced, *([] if self._worker is None else [self._worker])]

    def _take(self, step: Step) -> None:
        if step.do == "line":
            self._cut(step.line)
        elif step.do == "start":
            self._wanted = True
            if self._worker is None:
                self._start(step.crash)
        elif step.do == "stop":
            self._stop()
        elif self._worker is not None:
            # Where there is nobody to do it to, nothing is done.
            self._do_to(self._worker, step)
        if step.do == "kill":
            self._wanted = False

    def _do_to(self, worker: Worker, step: Step) -> None:
        if step.do == "disarm":
            self._disarm()
        elif step.do == "kill":
            self._note("SIGKILL", counts="kills")
            worker.told = "kill"
            worker.process.kill()
            self._ended(worker.process.wait())
        elif step.do == "replace":
            self._note("a second process in its place", counts="replacements")
            self._replaced.append(worker)
            self._start()
        else:
            worker.held = step.do == "pause"
            self._note("SIGSTOP" if worker.held else "SIGCONT", counts="pauses" * worker.held)
            worker.signal(signal.SIGSTOP if worker.held else signal.SIGCONT)

    def _cut(self, line: Line) -> None:
        self._network(line)
        if line == "open":
            self._note("its network is back")
            self._journal.is_back(self.name)
        else:
            self._journal.goes(self.name)
            self._note(f"its network: {line}", counts=f"network {line}")

    def _is_coming(self) -> bool:
        """Whether a worker may still come to its crash point; stopping the one before took its time."""
        worker = self._worker
        if worker is None or worker.crash is None:
            return False
        return worker.resumes_s is not None or self._journal.now_s() < self._armed_until_s

    def _disarm(self) -> None:
        worker = self._worker
        if worker is None or worker.crash is None:
            return
        # Only now it comes to the point `during_revocation`.
        if self._stop() != -signal.SIGKILL and worker.crash is not None:
            self._note("did not come to its crash point", counts="points not reached")
        self._wanted, self._start_s = True, 0.0
        self.tend()

    def _start(self, crash: Crash | None = None) -> None:
        self._number += 1
        self._armed_until_s = self._journal.now_s() + ARMED_S
        told = []
        if crash is not None:
            how = ":pause" if crash.pause_s else ""
            told = [crash.stage, f"{crash.point}:{crash.passes}{how}"]
        path = self._config.parent / f"worker-{self.name}-{self._number:02}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
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
        self._worker = Worker(process, path, crash)
        verb = "pause" if crash is not None and crash.pause_s else "end"
        armed = "" if crash is None else f", to {verb} itself at {crash}"
        self._note(f"started, its {self._number}. time{armed}", counts="starts")

    def _stop(self) -> int | None:
        """Stop what runs in good order; return its exit code."""
        self._wanted = False
        worker = self._worker
        if worker is None:
            return None
        self._note("SIGTERM", counts="stops")
        worker.told = "stop"
        worker.process.terminate()
        deadline_s = self._journal.now_s() + STOP_S
        while (code := worker.process.poll()) is None:
            self._tend_paused()
            if worker.resumes_s is not None:
                deadline_s = worker.resumes_s + STOP_S
            if self._journal.now_s() > deadline_s:
                self._fail(f"has not ended {STOP_S:.0f} s after SIGTERM")
                worker.process.kill()
                worker.told, code = "kill", worker.process.wait()
                break
            time.sleep(LOOK_S)
        self._ended(code)
        return code

    def _tend_paused(self) -> None:
        """Note who has paused itself, and let go on who has for long enough."""
        now_s = self._journal.now_s()
        for worker in self._workers():
            crash = worker.crash
            if crash is None:
                continue
            if worker.resumes_s is None and worker.has_paused_itself():
                worker.resumes_s = now_s + crash.pause_s
                self._note(f"has paused itself at {crash}", counts=f"at {crash.point}")
            elif worker.resumes_s is not None and now_s >= worker.resumes_s:
                self._note(f"SIGCONT, paused at {crash}")
                worker.crash, worker.resumes_s = None, None
                worker.signal(signal.SIGCONT)

    def _reap_replaced(self) -> None:
        """Look whether those that were replaced have ended; they must by themselves."""
        for worker in list(self._replaced):
            code = worker.process.poll()
            if code is None:
                continue
            self._replaced.remove(worker)
            if code == EXIT_UNTRUSTED:
                self._note("the replaced process was fenced", counts="fenced")
            elif code == -signal.SIGKILL and worker.crash is not None:
                self._note(f"the replaced process has ended itself at {worker.crash}")
            elif not (code == EXIT_CLUSTER and self._journal.excused(self.name)):
                self._fail(f"the replaced process ended with {code}\n{worker.said()}")

    def _await_replaced(self) -> None:
        deadline_s = self._journal.now_s() + STOP_S
        while self._replaced and self._journal.now_s() < deadline_s:
            self._tend_paused()
            self._reap_replaced()
            time.sleep(LOOK_S)
        if self._replaced:
            self._fail("the replaced process still runs")

    def _ended(self, code: int) -> None:
        """Judge how the process has ended."""
        worker = self._worker
        assert worker is not None
        self._worker = None
        self._start_s = self._journal.now_s() + RESTART_S
        crash, told = worker.crash, worker.told
        if code == -signal.SIGKILL and crash is not None and told != "kill":
            self._note(f"has ended itself at {crash}", counts=f"at {crash.point}")
        elif code == EXIT_UNTRUSTED and REFUSED not in worker.said():
            self._note("was fenced, and said so", counts="fenced")
        elif code == EXIT_CLUSTER and self._journal.excused(self.name):
            self._note("ended, since the broker was away", counts="ended by an outage")
        elif (told, code) not in RIGHT:
            self._fail(f"ended with {code}; see {worker.log}\n{worker.said()}")

    def _note(self, text: str, *, counts: str = "") -> None:
        self._journal.note(f"worker {self.name}: {text}", counts=counts)

    def _fail(self, text: str) -> None:
        self._journal.fail(f"worker {self.name}: {text}")
