"""What happened in a run, and when; and whether somebody's troubles excuse it. For any thread."""

import math
import threading
import time
from collections import Counter
from typing import Final

EXCUSED_S: Final = 30.0
"""So long after an outage of broker or network a worker may still end because of it."""
BROKER: Final = "broker"


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
        self._excused_until_s: dict[str, float] = {}
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

    def goes(self, what: str) -> None:
        """Take that something is not to be reached: the broker, or by a worker place."""
        self._excused_until_s[what] = math.inf

    def is_back(self, what: str) -> None:
        """Take that it is."""
        self._excused_until_s[what] = self.now_s() + EXCUSED_S

    def excused(self, place: str) -> bool:
        """Whether the broker is away for a worker place, or was just now."""
        now_s = self.now_s()
        return any(now_s < self._excused_until_s.get(what, 0.0) for what in (BROKER, place))
