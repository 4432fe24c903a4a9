"""What happened in a run, and when; and whether the broker's troubles excuse it. For any thread."""

import threading
import time
from collections import Counter
from typing import Final

EXCUSED_S: Final = 30.0
"""So long after an outage of the broker a worker may still end because of it."""


class Journal:
    """The events of a run, in order, with seconds since its first record.

    Attributes:
        lines: Everything that was noted, with its time.
        failures: What must not happen.
        counts: How often each kind of fault was injected, or met.

    """

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._lock = threading.Lock()
        self._broker_away = False
        self._excused_until_s = 0.0
        self.lines: list[str] = []
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()

    def now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def note(self, text: str, *, counts: str = "") -> None:
        with self._lock:
            self.lines.append(f"{self.now_s():6.1f} s  {text}")
            if counts:
                self.counts[counts] += 1

    def fail(self, text: str) -> None:
        self.note(f"FAILURE: {text}")
        with self._lock:
            self.failures.append(text)

    def broker_goes(self) -> None:
        self._broker_away = True

    def broker_is_back(self) -> None:
        self._excused_until_s = self.now_s() + EXCUSED_S
        self._broker_away = False

    @property
    def excused(self) -> bool:
        """Whether the broker is away, or was just now."""
        return self._broker_away or self.now_s() < self._excused_until_s
