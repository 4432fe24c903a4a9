"""One run: a broker of its own, the load, the workers, the faults; then what came out, compared."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import AdminClient

from bench.chaos.disk import SmallDisk
from bench.chaos.figures import Figures, Letter, differences, figures_of, oracle_differences
from bench.chaos.journal import BROKER, Journal
from bench.chaos.load import POLICY, Load, make_load
from bench.chaos.network import Network
from bench.chaos.plan import STAGES, Outage, Plan
from bench.chaos.slot import LOOK_S, ROOT, Slot
from bench.chaos.told import enterprise_differences, never_committed, posted, untold
from streams.domain.window import instant_text
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.dead_letters import CODE, headers_of
from streams.kafka.loading import Loader, heartbeat_value
from streams.kafka.reading import read_to_end
from streams.kafka.reference import ReferenceTopic
from streams.kafka.topics import create_topics
from streams.records.topics import (
    ALERTS,
    COMPLIANCE,
    COUNTS,
    DAYS,
    PARCELS_MISSING,
    RATES,
    REFERENCE,
    SHIPMENTS,
    SHIPMENTS_DLQ,
    Topic,
    catalogue,
)
from streams.reference.types import known_enterprises

PREFIX: Final = "chaos."
PARTITIONS: Final = {
    SHIPMENTS: 4,
    COUNTS: 2,
    SHIPMENTS_DLQ: 2,
    RATES: 1,
    DAYS: 2,
    ALERTS: 2,
    COMPLIANCE: 1,
}
TOLD_S: Final = 30.0
"""So long after the last commit an Alertmanager may wait; a worker that begins reads the topic first."""
CATCH_UP_S: Final = 60
"""After the last fault everything must be worked off within."""
COMMAND: Final = [sys.executable, "-c", "from streams.cli import main; main()"]


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        plan: What was to be done.
        failures: What was wrong; empty when it passed.
        journal: What happened.
        took_s: From the start of the broker to the last comparison.
        records: Records fed.
        figures: What came out; None when it did not come that far.
        events: How many of them enterprises have.
        told: How many alerts the Alertmanager has.
        data_dir: Where everything of the run is, if it was kept.

    """

    plan: Plan
    failures: list[str]
    journal: Journal
    took_s: float
    records: int
    figures: Figures | None
    events: int
    told: int
    data_dir: Path


def run(plan: Plan, data_dir: Path) -> Report:
    """Do one run in a folder, which is emptied before, and removed after if the run passed."""
    load = make_load(plan)
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True)
    begun_s = time.monotonic()
    with ExitStack() as stack:
        network = Network(plan.steps.keys())
        stack.callback(network.close)
        broker = EmbeddedBroker(
            data_dir / "broker",
            port=0,
            java_home=os.environ.get("JAVA_HOME"),
            proxies=network.ports,
            brief=True,
        )
        journal = Journal()
        disk = _small_disk(plan, broker, journal)
        if disk is not None:
            stack.callback(lambda: disk.unmount(keep=bool(journal.failures)))
        stack.callback(broker.kill)
        broker.start()
        chaos = Chaos(plan, load, Scene(broker, network, disk, journal), data_dir)
        figures = chaos.run()
        took_s = time.monotonic() - begun_s
        if journal.failures:
            (data_dir / "journal.txt").write_text("\n".join(journal.lines), "utf8")
            broker.stop()
    if not journal.failures:
        shutil.rmtree(data_dir, ignore_errors=True)
    failures, records = list(journal.failures), len(load.records)
    told = len(posted(network.alertmanager.posts))
    return Report(plan, failures, journal, took_s, records, figures, chaos.events, told, data_dir)


def _small_disk(plan: Plan, broker: EmbeddedBroker, journal: Journal) -> SmallDisk | None:
    """Give the broker a disk that can be filled, if the plan has need of it and it can be had."""
    if all(outage.how != "full" for outage in plan.outages):
        return None
    disk = SmallDisk(broker.data_dir / "kafka")
    refused = disk.mount()
    if refused is None:
        return disk
    journal.note(
        f"no full disk: {refused}", counts="full disk left out, since nothing can be mounted"
    )
    return None


class Scene(NamedTuple):
    """What is around the workers of a run. `disk` is None where it cannot become full."""

    broker: EmbeddedBroker
    network: Network
    disk: SmallDisk | None
    journal: Journal


class Chaos:
    """The faults of a plan, over a running broker that has no topics yet.

    Attributes:
        events: How many of them enterprises have in the end.

    """

    def __init__(self, plan: Plan, load: Load, scene: Scene, data_dir: Path) -> None:
        self._plan = plan
        self._load = load
        self._broker, self._network, self._disk, self._journal = scene
        self._bootstrap = self._broker.bootstrap
        self._topics: Mapping[str, Topic] = catalogue(PREFIX, PARTITIONS)
        self._config = data_dir / "realname.toml"
        self._config.write_text(self._settings(data_dir, self._bootstrap), "utf8")
        self._finished = threading.Event()
        self.events = 0
        self._slots = [self._slot(name, data_dir) for name in plan.steps]

    def _slot(self, name: str, data_dir: Path) -> Slot:
        config = data_dir / f"worker-{name}.toml"
        config.write_text(self._settings(data_dir, self._network.bootstrap(name)), "utf8")
        return Slot(
            name,
            config=config,
            snapshot_bytes_min=self._plan.snapshot_bytes_min,
            clock_s=self._plan.clock_s,
            journal=self._journal,
            network=partial(self._network.set, name),
        )

    def run(self) -> Figures | None:
        """Do all of it; return what stands on the topics, None if it is not all there."""
        try:
            return self._run()
        except Exception as error:  # noqa: BLE001 (the story of the run is worth more than its end)
            self._journal.fail("".join(format_exception(error)))
            return None

    def _run(self) -> Figures | None:
        create_topics(AdminClient(self._client), self._topics, replication_factor=1)
        ReferenceTopic(self._client, self._topics[REFERENCE].name).write(list(self._load.reference))
        loader = Loader(self._client, self._topics[SHIPMENTS].name)
        preloaded = int(self._plan.preloaded * len(self._load.records))
        for record in self._load.records[:preloaded]:
            loader.put(record.key, record.value)
        loader.finish()
        with self._injecting(loader, preloaded):
            done = self._command("wait", "--timeout", str(CATCH_UP_S))
            self._journal.note(f"wait: {done.stderr.strip()}")
            if not done.returncode:
                self._await_told()
        if done.returncode:
            self._journal.fail(f"it is not worked off in time: {done.stderr.strip()}")
            return None
        self._verify()
        figures = self._read()._replace(dead_letters=self._read_letters())
        self.events, events_apart = enterprise_differences(
            self._bootstrap, PREFIX, self._topics, known_enterprises(self._load.history.latest)
        )
        for difference in (
            *differences(self._load.expected, figures),
            *oracle_differences(self._load.truth, figures),
            *events_apart,
            *never_committed(posted(self._network.alertmanager.posts), figures.alerts),
        ):
            self._journal.fail(difference)
        return figures

    def _await_told(self) -> None:
        """Wait until the Alertmanager has been told of every alert that is open in the end."""
        alerts = self._read(ALERTS).alerts
        deadline_s = self._journal.now_s() + TOLD_S
        while missing := untold(posted(self._network.alertmanager.posts), alerts):
            if self._journal.now_s() > deadline_s:
                for text in missing:
                    self._journal.fail(text)
                return
            time.sleep(LOOK_S)

    @contextmanager
    def _injecting(self, loader: Loader, preloaded: int) -> Iterator[None]:
        """Do everything that the plan says, then what the block says, then stop the workers."""
        with ThreadPoolExecutor(len(self._slots) + 2) as pool:
            try:
                calm = {slot.name: threading.Event() for slot in self._slots}
                jobs = [pool.submit(self._follow, slot, calm[slot.name]) for slot in self._slots]
                passing = [
                    pool.submit(self._feed, loader, preloaded),
                    pool.submit(self._disturb_broker),
                    *(
                        pool.submit(_wait_beside, calm[s.name], job)
                        for s, job in zip(self._slots, jobs, strict=True)
                    ),
                ]
                _await(passing)
                self._journal.note("all is calm")
                yield
                self._finished.set()
                _await(jobs)
            finally:
                self._finished.set()
                for slot in self._slots:
                    slot.kill()

    def _follow(self, slot: Slot, calm: threading.Event) -> None:
        slot.follow(self._plan.steps[slot.name])
        calm.set()
        slot.tend_until(self._finished)

    def _feed(self, loader: Loader, preloaded: int) -> None:
        """Send what is left of the load, evenly over the time; then let time end."""
        rest = self._load.records[preloaded:]
        sent = 0
        while sent < len(rest) and not self._finished.is_set():
            share = min(self._journal.now_s() / self._plan.lasts_s, 1.0)
            due = int(share * len(rest))
            for record in rest[sent:due]:
                loader.put(record.key, record.value)
            sent = due
            time.sleep(LOOK_S)
        loader.beat(heartbeat_value(instant_text(POLICY.beat_ms(self._load.until_ms))))
        loader.finish()
        self._journal.note("everything has been fed")

    def _disturb_broker(self) -> None:
        for outage in self._plan.outages:
            while self._journal.now_s() < outage.at_s:
                if self._finished.wait(LOOK_S):
                    return
            if outage.how == "full" and self._disk is None:
                continue
            self._journal.goes(BROKER)
            self._journal.note(f"broker {outage.how}", counts=f"broker {outage.how}")
            self._away(outage)
            self._journal.is_back(BROKER)
            self._journal.note("broker is back")

    def _away(self, outage: Outage) -> None:
        if outage.how == "paused":
            pid = self._broker.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            time.sleep(outage.for_s)
            os.kill(pid, signal.SIGCONT)
            return
        if outage.how == "full":
            self._fill_disk(outage.for_s)
        elif outage.how == "killed":
            self._broker.kill()
            time.sleep(outage.for_s)
        else:
            self._broker.stop()
            time.sleep(outage.for_s)
        self._broker.start()
        assert self._broker.bootstrap == self._bootstrap, "the port was taken by another program"

    def _fill_disk(self, for_s: float) -> None:
        """Let the disk be full for so long; the broker has ended then, by itself or else from here."""
        assert self._disk is not None
        until_s = self._journal.now_s() + for_s
        while self._journal.now_s() < until_s:
            self._disk.fill()
            time.sleep(LOOK_S)
        ended = not self._broker.status().running
        self._broker.kill()
        self._disk.free()
        self._journal.note("disk is free; the broker " + ("had ended" if ended else "was killed"))

    def _verify(self) -> None:
        done = self._command("state", "verify", "--json")
        if done.returncode:
            self._journal.fail(f"state verify: {done.stdout}{done.stderr}")

    def _read(self, *names: str) -> Figures:
        records = (
            (name, message.key(), message.value())
            for name in names or (DAYS, ALERTS, PARCELS_MISSING)
            for message in read_to_end(self._client, self._topics[name].name)
        )
        return figures_of((name, _bytes(key), value) for name, key, value in records)

    def _read_letters(self) -> Counter[Letter]:
        letters: Counter[Letter] = Counter()
        for message in read_to_end(self._client, self._topics[SHIPMENTS_DLQ].name):
            code = dict(headers_of(message))[CODE]
            assert isinstance(code, bytes)
            letters[code.decode(), _bytes(message.key()), message.value()] += 1
        return letters

    def _command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Do what an operator would type."""
        return subprocess.run(
            [*COMMAND, *words, "--config", str(self._config)],
            cwd=self._config.parent,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def _client(self) -> dict[str, Any]:
        return client_config(self._bootstrap, client_id="chaos")

    def _settings(self, data_dir: Path, bootstrap: str) -> str:
        agents = ", ".join(f'"{agent}"' for agent in (*STAGES, "notify"))
        lines = [
            f'bootstrap = "{bootstrap}"',
            f'prefix = "{PREFIX}"',
            f'data_dir = "{data_dir}"',
            'clock = "data"',
            f"agents = [{agents}]",
            f"flush_ms = {self._plan.flush_ms}",
            "[notify]",
            f'alertmanagers = ["{self._network.alertmanager.url}"]',
            "[partitions]",
            *(f'"{name}" = {count}' for name, count in PARTITIONS.items()),
        ]
        return "\n".join(lines)


def _await(futures: list[Future[None]]) -> None:
    """Wait for all; raise what one has raised."""
    for future in futures:
        future.result()


def _wait_beside(event: threading.Event, job: Future[None]) -> None:
    """Wait for an event that a job brings about, unless the job has ended."""
    while not event.wait(LOOK_S) and not job.done():
        pass
    if job.done():
        job.result()


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
