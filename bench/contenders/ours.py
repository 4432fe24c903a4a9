"""This program: `realname worker`, all three stages, state and figures in Kafka."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from bench.cluster import PARTITIONS, STAGES, Scene
from bench.contenders.contender import RunFailed
from bench.machine import ProcessTree
from bench.outcome import Outcome
from bench.truth import Figures, differing
from bench.workload import DATE
from streams.kafka.reading import latest_values
from streams.records import topics

HTTP_PORT: Final = 28_321
LOOK_FIRST_S: Final = 0.01
LOOK_S: Final = 0.05
RUN_TIMEOUT_S: Final = 400.0
STOP_S: Final = 30.0


class Ours:
    """This program, with some number of processes."""

    def __init__(self, processes: int) -> None:
        self.name = f"this program, {processes} process{'es' if processes > 1 else ''}"
        self._processes = processes

    def lacks(self) -> str | None:
        """Return None: what this needs, `make setup` has installed."""
        return None

    def run(self, scene: Scene) -> Outcome:
        """Work off the records from the beginning, with the topics of its own empty.

        The clock runs from the last look at which no record had been applied, some ten milliseconds
        before the first was; looking ends then, so that it disturbs nothing.
        """
        scene.reset()
        with worker(scene, processes=self._processes) as running:
            tree = running.tree
            begun_s = running.await_first()
            cpu_s, broker_cpu_s = tree.cpu_s(), scene.cluster.broker_cpu_s()
            half_s = processed_s = begun_s
            for stage, _ in STAGES:
                while left := scene.left(stage):
                    running.check(begun_s)
                    if stage == "match" and left > scene.truth.records // 2:
                        half_s = time.monotonic()
                    time.sleep(LOOK_S)
                if stage == "match":
                    processed_s = time.monotonic()
            wall_s = time.monotonic() - begun_s
            cpu_s = tree.cpu_s() - cpu_s
            broker_cpu_s = scene.cluster.broker_cpu_s() - broker_cpu_s
            memory_mb = tree.peak_memory_mb()
        records = scene.truth.records
        return Outcome(
            records=records,
            differing=len(differing(scene.truth, figures_of(scene))),
            wall_s=wall_s,
            second_half_per_s=records / 2 / (processed_s - half_s),
            cpu_s=cpu_s,
            broker_cpu_s=broker_cpu_s,
            memory_mb=memory_mb,
        )


class RunningWorker:
    """A worker that has been started."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, processes: int) -> None:
        self._process = process
        self._log = log
        self._ports = range(HTTP_PORT, HTTP_PORT + processes)
        self.tree = ProcessTree(process.pid)

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric's sum over all processes and further labels; 0 while none answers."""
        return sum(
            sample.value
            for port in self._ports
            for family in text_string_to_metric_families(
                _fetched(f"http://127.0.0.1:{port}/metrics")
            )
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def await_first(self) -> float:
        """Wait for the first record; return the monotonic time of the last look before it."""
        started_s = seen_s = time.monotonic()
        while True:
            look_s = time.monotonic()
            if self.metric("realname_records_total", stage="match"):
                return seen_s
            seen_s = look_s
            self.check(started_s)
            time.sleep(LOOK_FIRST_S)

    def await_that(self, true: Callable[[], bool]) -> None:
        """Wait until something holds."""
        started_s = time.monotonic()
        while not true():
            self.check(started_s)
            time.sleep(LOOK_S)

    def check(self, since_s: float) -> None:
        """Raise RunFailed when the worker has ended, or too much time has passed."""
        if self._process.poll() is not None:
            raise RunFailed(f"the worker ended by itself:\n{self._log.read_text('utf8')[-4_000:]}")
        if time.monotonic() - since_s > RUN_TIMEOUT_S:
            raise RunFailed(f"not done after {RUN_TIMEOUT_S:.0f} s; its log is {self._log}")


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own worker)
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, ConnectionError):
        return ""


@contextmanager
def worker(
    scene: Scene, *, processes: int = 1, settings: Sequence[str] = ()
) -> Iterator[RunningWorker]:
    """Start `realname worker` over a scene, with settings as in TOML; stop it in good order."""
    log = scene.cluster.data_dir / "worker.log"
    command = [str(Path(sys.executable).parent / "realname"), "worker", "--clock", "data"]
    command += ["--config", str(_config(scene, settings)), "--processes", str(processes)]
    command += ["--http-port", str(HTTP_PORT), "--log-level", "info"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield RunningWorker(process, log, processes)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(scene: Scene, settings: Sequence[str]) -> Path:
    lines = [
        f'bootstrap = "{scene.cluster.bootstrap}"',
        f'prefix = "{scene.prefix}"',
        f'data_dir = "{scene.cluster.data_dir}"',
        'agents = "match,rate,rollup"',  # Who subscribes to what they publish is not of the comparison.
        *settings,
        "[partitions]",
        *(f"{name} = {count}" for name, count in PARTITIONS.items()),
    ]
    file = scene.cluster.data_dir / "realname.toml"
    file.write_text("\n".join(lines), "utf8")
    return file


class _Day(msgspec.Struct):
    granularity: str
    scope_id: str
    date: str
    eligible: int
    covered_on_time: int
    covered_late: int
    duplicates: int


def figures_of(scene: Scene) -> dict[str, Figures]:
    """Return what is published of the workload's day, by outlet."""
    decode = msgspec.json.Decoder(_Day).decode
    values = latest_values(scene.cluster.client, scene.topics[topics.DAYS].name)
    return {
        day.scope_id: Figures(day.eligible, day.covered_on_time, day.covered_late, day.duplicates)
        for day in map(decode, values.values())
        if day.granularity.lower() == "outlet" and day.date == DATE
    }
