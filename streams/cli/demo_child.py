"""The demo's processes beside its broker: commands of ours that run until they are told to end."""

import json
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

from streams.kafka.embedded_process import (
    ProcessIdentity,
    is_alive,
    send,
    spawn_daemon,
    wait_gone,
)

STOP_S: Final = 12.0
_POLL_S: Final = 0.1
_LOG_TAIL_LINES: Final = 12


class ChildEnded(Exception):  # noqa: N818 (what happened, as it is caught)
    """A process ended though nobody told it to, or does not get anywhere. The message has its log's end."""


class Child:
    """One command as a process of its own, which neither Ctrl-C nor the caller's environment reaches.

    Attributes:
        name: What people call it.
        log: Where it writes.

    """

    def __init__(self, name: str, folder: Path, *command: str) -> None:
        """Take `realname`'s arguments; a settings file below `folder` must be among them."""
        self.name: Final = name
        self.log: Final = folder / f"{name}.log"
        self._command: Final = command
        self._marker: Final = str(folder)
        self._path: Final = folder / f"{name}.json"
        self._process: ProcessIdentity | None = None

    def start(self) -> None:
        """Start it, and note which process it is, so that a later run could end it."""
        python = [sys.executable, "-c", "from streams.cli import main; main()"]
        self._process = spawn_daemon(
            [*python, *self._command], output=self.log, marker=self._marker
        )
        whole = self._path.with_suffix(".new")
        whole.write_text(json.dumps(asdict(self._process)), "utf8")
        whole.replace(self._path)

    def check(self) -> None:
        """Raise ChildEnded if it does not run any more."""
        if self._process is None or not is_alive(self._process):
            raise ChildEnded(f"The {self.name} has ended. {self._log_tail()}")

    def wait_for(self, pattern: str, timeout_s: float) -> str:
        """Wait until a line that matches is in its log; return what the pattern's group holds.

        Raises ChildEnded when it has ended, or does not come to it.
        """
        deadline = time.monotonic() + timeout_s
        while not (found := re.search(pattern, self._logged())):
            self.check()
            if time.monotonic() > deadline:
                raise self.is_late()
            time.sleep(_POLL_S)
        return str(found[1])

    def is_late(self) -> ChildEnded:
        """Return the error to raise when it has not come up in time."""
        return ChildEnded(f"The {self.name} did not come up in time. {self._log_tail()}")

    def stop(self) -> None:
        """End it in good order, or else by force. Idempotent."""
        if self._process is not None:
            _end(self._process)
            self._process = None
        self._path.unlink(missing_ok=True)

    @property
    def left_behind(self) -> bool:
        """Whether there is a note of a process that an earlier run started in the same folder."""
        return self._process is None and self._path.exists()

    def end_earlier(self) -> None:
        """End what an earlier run left behind; nothing happens if that has gone."""
        _end(ProcessIdentity(**json.loads(self._path.read_text("utf8"))))
        self._path.unlink(missing_ok=True)

    def _logged(self) -> str:
        return self.log.read_text("utf8", errors="replace") if self.log.exists() else ""

    def _log_tail(self) -> str:
        lines = self._logged().splitlines()
        return "\n  ".join(["The end of its log:", *lines[-_LOG_TAIL_LINES:]])


def _end(process: ProcessIdentity) -> None:
    send(process, SIGTERM)
    if not wait_gone(process, STOP_S):
        send(process, SIGKILL)
        wait_gone(process, STOP_S)
