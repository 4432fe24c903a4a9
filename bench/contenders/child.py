"""What programs written in Python have in common that are run as processes of their own."""

import argparse
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.cluster import Scene
from bench.contenders.contender import run_to_result
from bench.outcome import Outcome
from bench.truth import Figures, Truth, differing, read_truth


@dataclass(frozen=True, slots=True)
class Task:
    """What such a process is told."""

    bootstrap: str
    topic: str
    truth: Truth
    broker_pid: int


def run_module(module: str, scene: Scene) -> Outcome:
    """Run a module of this package over a scene."""
    return run_to_result(
        [
            *(sys.executable, "-m", module),
            *("--bootstrap", scene.cluster.bootstrap),
            *("--topic", scene.records_topic),
            *("--truth", str(scene.files.truth)),
            *("--broker-pid", str(scene.cluster.broker_pid)),
        ]
    )


def read_task() -> Task:
    """Return the task on the command line."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bootstrap", required=True)
    arguments.add_argument("--topic", required=True)
    arguments.add_argument("--truth", required=True, type=Path)
    arguments.add_argument("--broker-pid", required=True, type=int)
    told = arguments.parse_args()
    return Task(told.bootstrap, told.topic, read_truth(told.truth), told.broker_pid)


class Clock:
    """From the first record to the last."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._broker = psutil.Process(task.broker_pid)
        self._begun_s = self._half_s = self._processed_s = 0.0

    def first(self) -> None:
        """Start it."""
        self._cpu_s, self._broker_cpu_s = _cpu_s(), self._broker_s()
        self._begun_s = time.monotonic()

    def half(self) -> None:
        """Note that half of the records are done; further calls are ignored."""
        self._half_s = self._half_s or time.monotonic()

    def processed(self) -> None:
        """Note that all are, and are yet to be made durable."""
        self._processed_s = time.monotonic()

    def tell(self, outlets: dict[str, Figures]) -> None:
        """Stop it and print the result."""
        wall_s = time.monotonic() - self._begun_s
        cpu_s, broker_cpu_s = _cpu_s() - self._cpu_s, self._broker_s() - self._broker_cpu_s
        records = self._task.truth.records
        outcome = Outcome(
            records=records,
            differing=len(differing(self._task.truth, outlets)),
            wall_s=wall_s,
            second_half_per_s=records / 2 / (self._processed_s - self._half_s),
            cpu_s=cpu_s,
            broker_cpu_s=broker_cpu_s,
            memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
        # Faust turns what is printed into log lines.
        print(outcome.line(), file=sys.__stdout__, flush=True)

    def _broker_s(self) -> float:
        times = self._broker.cpu_times()
        return float(times.user + times.system)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system
