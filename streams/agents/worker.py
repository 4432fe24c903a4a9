"""The worker: one process, or several, that run the agents until they are told to stop.

Exit codes: 0 stopped as asked; 1 a bug, or too many rejects; 3 Kafka refuses us or lacks a topic;
4 replaced by another worker, or a state that cannot be trusted.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from streams.agents.app import (
    TOPOLOGY,
    StageContext,
    StageDefinition,
    WorkerApp,
    add_agent,
    build_app,
)
from streams.agents.compliance import ComplianceRunner
from streams.agents.http import HealthServer
from streams.agents.runner import CATCH_UP_RECORDS, Runner, RunnerConfig, StagePlan
from streams.agents.telemetry import Telemetry
from streams.domain.policy import Policy
from streams.kafka.channel import RecordChannel
from streams.kafka.client import client_config
from streams.kafka.crash import CrashPlan
from streams.kafka.errors import ClusterError, TopicMissing
from streams.kafka.fencing import EXIT_FENCED
from streams.kafka.joint import Inputs
from streams.kafka.quiet import quiet
from streams.kafka.reference_feed import KafkaReferenceFeed
from streams.kafka.restore import StateRefused
from streams.kafka.topics import check_topics
from streams.kafka.transaction import GaveUp
from streams.metrics import Metrics
from streams.notify.service import NotifyConfig, NotifyService
from streams.records.rejects import TooManyRejects
from streams.records.topics import (
    REFERENCE,
    SHIPMENTS_DLQ,
    Topic,
    catalogue,
    compliance_topics,
)
from streams.reference.types import ReferenceHistory, known_enterprises
from streams.settings import Clock
from streams.stages.match.hash_key import UNKEYED, HashKey

LOGGER: Final = logging.getLogger(__name__)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CLUSTER: Final = 3
EXIT_UNTRUSTED: Final = EXIT_FENCED

STOP_TIMEOUT_S: Final = 10.0
GC_THRESHOLD: Final = 100_000


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a worker runs. Plain values: it goes to further processes as it is.

    Attributes:
        bootstrap: `host:port[,host:port]`.
        prefix: Begins every topic, group and transactional id.
        data_dir: Where Faust may write; it has nothing to.
        kafka: Properties of librdkafka, for SASL and TLS.
        partitions: Partition counts where they differ from the catalogue's.
        agents: Which stages to run.
        slot: This worker's place: of two with one name the older is fenced.
        processes: How many processes; each gets a slot of its own, `slot.number`.
        clock: When a record was received: its Kafka timestamp, or what it says.
        policy: The rule book's figures.
        hash_key: By which closed parcels are remembered; the same in all workers.
        flush_s: Time between two transactions of a stage.
        flush_records: Records after which one ends earlier.
        http_host: Address of `/live`, `/ready`, `/metrics`.
        http_port: Port of the same, the next ones for further processes; 0 picks free ones, None
            is no server.
        log: Configures logging in a further process; called with nothing.
        crash: Where a test ends the process, see `streams.kafka.crash`.
        crash_stage: The one stage that it holds for; empty for whichever comes there first.
        snapshot_bytes_min: A state log smaller than this gets no snapshot.
        topology: The stages; tests may bring their own.
        notify: How to tell Alertmanagers of alerts, in the first process; None tells nobody.

    """

    bootstrap: str
    prefix: str
    data_dir: Path
    kafka: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    partitions: Mapping[str, int] = field(default_factory=dict)
    agents: Sequence[str] = tuple(TOPOLOGY)
    slot: str = "0"
    processes: int = 1
    clock: Clock = "wall"
    policy: Policy = field(default_factory=Policy)
    hash_key: HashKey = UNKEYED
    flush_s: float = 0.5
    flush_records: int = 200_000
    http_host: str = "127.0.0.1"
    http_port: int | None = None
    log: Callable[[], None] | None = None
    crash: str = ""
    crash_stage: str = ""
    snapshot_bytes_min: int = 16 * 1024 * 1024
    topology: Mapping[str, StageDefinition] = field(default_factory=lambda: TOPOLOGY)
    notify: NotifyConfig | None = None


def run_worker(config: WorkerConfig) -> int:
    """Run until SIGTERM or SIGINT, then flush, commit, leave and return 0, within ten seconds.

    Returns another exit code when something ended it; the log says what. May not return at all:
    a worker that was replaced ends its process at once, with code 4. To be called in the main
    thread.
    """
    if config.processes > 1:
        return _run_processes(config)
    # Batches come as lists of thousands, which the collector would look through again and again for
    # cycles that are not there: a third of the time of a poll.
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    quiet()
    try:
        _check_topics(config)
        return asyncio.run(_Worker(config).run())
    except (ClusterError, OSError) as error:
        LOGGER.error("%s", error)  # noqa: TRY400 (an operator's situation, not a bug's traceback)
        return EXIT_CLUSTER if isinstance(error, ClusterError) else EXIT_FAILED


def _check_topics(config: WorkerConfig) -> None:
    """Raise ClusterError unless the topics that the agents use are as the catalogue has them."""
    client = client_config(config.bootstrap, client_id="realname-worker", extra=config.kafka)
    topics = catalogue(config.prefix, config.partitions)
    inputs = [topic for agent in config.agents for topic in config.topology[agent].inputs]
    logs = [f"{agent}.state" for agent in config.agents]
    used = {n: topics[n] for n in (*inputs, *logs, SHIPMENTS_DLQ, REFERENCE) if n in topics}
    drifts = check_topics(AdminClient(client), used)
    wrong = [str(drift) for drift in drifts if drift.kind != "config"]
    if wrong:
        raise TopicMissing("; ".join(wrong))
    for drift in drifts:
        LOGGER.warning("%s", drift)


class _Worker:
    """The agents of one process. Its methods run in the event loop."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._metrics = Metrics()
        self._telemetries = {name: Telemetry(name, self._metrics) for name in config.agents}
        self._notify = NotifyService(config.notify, self._metrics) if config.notify else None
        self._ended = asyncio.Event()
        self._raised: list[BaseException] = []
        self._runners: list[Runner] = []  # Of the stages that make the figures.

    async def run(self) -> int:
        # What Faust and mode say of their services starting and stopping is no news to an operator.
        for chatty in ("faust", "mode", "streams.agents.app", "streams.kafka.channel"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        server = await self._start_server()
        app = build_app(f"{self._config.prefix}worker", self._config.data_dir)
        channels = [self._add(app, name) for name in self._config.agents]
        try:
            await app.maybe_start()
            app.flow_control.resume()
            for channel in channels:
                await app.add_runtime_dependency(channel)
            notifying = self._start_notify()
            LOGGER.info("running %s in slot %s", ", ".join(self._config.agents), self._config.slot)
            await self._ended.wait()
            LOGGER.info("stopping: flushing and leaving the groups")
            # All at once: each may need the whole time.
            await asyncio.gather(notifying, *(channel.stop() for channel in channels))
            with suppress(TimeoutError):
                await asyncio.wait_for(app.stop(), STOP_TIMEOUT_S)
        finally:
            if server is not None:
                await server.stop()
        return self._exit_code()

    async def _start_server(self) -> HealthServer | None:
        if self._config.http_port is None:
            return None
        notify = {} if self._notify is None else {"notify": self._notify}
        server = HealthServer({**self._telemetries, **notify}, self._metrics)
        await server.start(self._config.http_host, self._config.http_port)
        return server

    def _add(self, app: WorkerApp, name: str) -> RecordChannel[Any]:
        config, definition = self._config, self._config.topology[name]
        client = client_config(
            config.bootstrap, client_id=f"realname-{name}-{config.slot}", extra=config.kafka
        )
        history = ReferenceHistory()
        context = StageContext(
            policy=config.policy,
            clock=config.clock,
            partitions={
                topic: of.partitions
                for topic, of in catalogue(config.prefix, config.partitions).items()
            },
            hash_key=config.hash_key,
        )
        plan = StagePlan(
            name=name,
            input=definition.input,
            make_stage=lambda partition: definition.make(partition, context, history),
            heartbeats=definition.heartbeats and config.clock == "wall",
            truncates=definition.truncates,
            paces=definition.paces,
            prepare=definition.prepare,
        )
        runner = self._runner(definition, history)(
            plan,
            RunnerConfig(
                client=client,
                prefix=config.prefix,
                slot=config.slot,
                flush_s=config.flush_s,
                flush_records=config.flush_records,
                snapshot_bytes_min=config.snapshot_bytes_min,
                crash=CrashPlan(config.crash if config.crash_stage in ("", name) else ""),
            ),
            reference=KafkaReferenceFeed(client, topic=config.prefix + REFERENCE, history=history),
            telemetry=self._telemetries[name],
        )
        if not definition.joins:
            self._runners.append(runner)
        return add_agent(app, name, runner, on_end=self._on_end)

    def _runner(
        self, definition: StageDefinition, history: ReferenceHistory
    ) -> Callable[..., Runner]:
        """Return what makes the runner of a stage."""
        if not definition.joins:
            return Runner
        config = self._config
        topics = catalogue(config.prefix, config.partitions)
        counts = {topics[name].name: topics[name].partitions for name in definition.joins}

        def of_enterprises() -> Sequence[Topic]:
            enterprises = known_enterprises(history.latest)
            return [*compliance_topics(enterprises, config.prefix, config.partitions).values()]

        return partial(
            ComplianceRunner,
            inputs=Inputs(counts),
            topics=of_enterprises,
            beats=config.clock == "wall",
            gives_way=lambda: any(of.backlog > CATCH_UP_RECORDS for of in self._runners),
        )

    def _start_notify(self) -> "asyncio.Future[None]":
        """Start telling Alertmanagers, if any are named; it stops when the worker is told to."""

        async def tell() -> None:
            if self._notify is None:
                return
            try:
                await self._notify.run(self._ended)
            except Exception as raised:  # noqa: BLE001 (what ended it is told as a stage's end is)
                self._on_end(raised)

        return asyncio.ensure_future(tell())

    def _on_end(self, raised: BaseException | None) -> None:
        if raised is not None:
            self._raised.append(raised)
        self._ended.set()

    def _exit_code(self) -> int:
        codes = [_report(raised) for raised in self._raised]
        return max(codes, default=EXIT_OK)


def _report(raised: BaseException) -> int:
    """Log what ended a stage, as what it is; return the exit code."""
    if isinstance(raised, StateRefused):
        LOGGER.critical("%s", raised)
        return EXIT_UNTRUSTED
    if isinstance(raised, ClusterError | GaveUp):
        LOGGER.critical("%s", raised)
        return EXIT_CLUSTER
    if isinstance(raised, TooManyRejects):
        LOGGER.critical("%s", raised)
        return EXIT_FAILED
    LOGGER.critical("a bug; nothing uncommitted counts", exc_info=raised)
    return EXIT_FAILED


def _run_processes(config: WorkerConfig) -> int:
    """Run each slot in a process of its own; when one ends unasked, end the others as well."""
    context = multiprocessing.get_context("spawn")
    stopping = threading.Event()
    wake_reader, wake_writer = os.pipe()

    def stop(*_: object) -> None:
        stopping.set()
        os.write(wake_writer, b"s")

    for stopper in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stopper, stop)
    processes: dict[str, BaseProcess] = {}
    for number in range(config.processes):
        own = _config_of(config, number)
        processes[own.slot] = context.Process(target=_process, args=(own,), name=own.slot)
        processes[own.slot].start()
    ended = wait([wake_reader, *(process.sentinel for process in processes.values())])
    if not stopping.is_set():
        for slot, process in processes.items():
            if process.sentinel in ended:
                process.join()
                LOGGER.critical(
                    "the process of slot %s ended with %s; ending the others. Start the worker "
                    "again once its log above is understood",
                    slot,
                    process.exitcode,
                )
    for process in processes.values():
        process.terminate()
    codes = [_join(slot, process) for slot, process in processes.items()]
    worst = max(codes)
    return worst if stopping.is_set() or worst else EXIT_FAILED


def _config_of(config: WorkerConfig, number: int) -> WorkerConfig:
    port = config.http_port + number if config.http_port else config.http_port
    notify = config.notify if number == 0 else None
    return replace(
        config, slot=f"{config.slot}.{number}", processes=1, http_port=port, notify=notify
    )


def _process(config: WorkerConfig) -> None:
    if config.log is not None:
        config.log()
    raise SystemExit(run_worker(config))


def _join(slot: str, process: BaseProcess) -> int:
    process.join(STOP_TIMEOUT_S + 2)
    if process.is_alive():
        LOGGER.error("the process of slot %s did not stop in time; killed", slot)
        process.kill()
        process.join()
    code = process.exitcode or 0
    # A negative one is the signal that ended it.
    return code if code >= 0 else EXIT_FAILED
