"""The machine, and whether it was left alone: a measurement is worth what its surroundings are."""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

CALIBRATION_TURNS: Final = 2_000_000
DISTURBED: Final = 1.15
"""A fixed loop that takes so many times its best shows that something else ran."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader must know to compare."""

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    python: str

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.cpu}, {self.memory_gib:.0f} GiB, Linux {self.kernel}, "
            f"Python {self.python}, broker on the same machine"
        )


def describe() -> Machine:
    """Return this machine."""
    model = "an unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = models[0].partition(":")[2].strip() if models else model
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=model,
        memory_gib=psutil.virtual_memory().total / 2**30,
        kernel=platform.release(),
        python=platform.python_version(),
    )


def calibrate() -> float:
    """Return the seconds that a fixed loop takes now."""
    begun = time.perf_counter()
    total = 0
    for turn in range(CALIBRATION_TURNS):
        total += turn & 7
    return time.perf_counter() - begun


def load_1min() -> float:
    """Return the kernel's load of the last minute."""
    return os.getloadavg()[0]


class ProcessTree:
    """CPU time and peak memory of a process and what it has started."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU time of all of them so far."""
        times = [process.cpu_times() for process in self._processes()]
        return float(sum(t.user + t.system for t in times))

    def memory_mb(self) -> float:
        """Return the memory that they have now, together."""
        return sum(process.memory_info().rss for process in self._processes()) / 2**20

    def peak_memory_mb(self) -> float:
        """Return the most memory that each has had, together."""
        return sum(_peak_mb(process.pid) for process in self._processes())


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak.split()[1]) / 1024
