"""What the demo runs: a broker, topics, reference data and a worker, all in a folder of their own.

Nothing of the user's is touched: the broker takes a free port, settings are the demo's own, and the
worker gets neither the caller's environment nor its terminal's Ctrl-C.
"""

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

from streams.cli.exits import BadInput
from streams.cli.inputs import INPUTS
from streams.cli.run import ANSWER_TIMEOUT_S, Run
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.clock import now_ms
from streams.kafka.embedded_process import (
    ProcessIdentity,
    is_alive,
    send,
    spawn_daemon,
    wait_gone,
)
from streams.kafka.reading import members
from streams.kafka.reference import ReferenceTopic
from streams.kafka.topics import create_topics
from streams.records.topics import (
    ALERTS,
    COUNTS,
    DAYS,
    RATES,
    REFERENCE,
    SHIPMENTS,
    SHIPMENTS_DLQ,
)
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.types import Reference
from streams.resources import config_dir
from streams.settings import Loaded, Settings

PARTITIONS: Final = {SHIPMENTS: 2, COUNTS: 2, SHIPMENTS_DLQ: 1, RATES: 1, DAYS: 1, ALERTS: 1}
"""Few, so that one worker has them at once; figures do not depend on it."""

STAGES: Final = ("match", "rate", "rollup")
"""The agents that make figures; whom they are sent to is not of the demo."""

WORKER_START_S: Final = 60.0
WORKER_STOP_S: Final = 12.0
_POLL_S: Final = 0.1
_LOG_TAIL_LINES: Final = 12

Progress = Callable[[str], None]
"""Is told each step in a few words."""


class WorkerEnded(Exception):  # noqa: N818 (what happened, as it is caught)
    """The worker ended though nobody told it to. The message has the end of its log."""


class DemoSystem:
    """The demo's broker and worker. `start` them, in the end `stop` them; `run` is for commands.

    Attributes:
        folder: Everything that they write is below it.
        config: A settings file with which any command finds this broker.
        log: Where the worker logs to.
        reference: The reference data, once they are applied.

    """

    def __init__(self, run: Run) -> None:
        """Name the folder, below the user's data folder; nothing is started yet."""
        self._user = run.settings
        self.folder: Final = self._user.data_dir / "demo"
        self.config: Final = self.folder / "realname.toml"
        self.log: Final = self.folder / "worker.log"
        self._broker = EmbeddedBroker(
            self.folder / "broker",
            port=0,
            heap_mb=self._user.broker_heap_mb,
            java_home=self._user.java_home,
        )
        self._worker: ProcessIdentity | None = None
        self._run: Run | None = None
        self.reference = Reference()

    @property
    def run(self) -> Run:
        """A run of commands against the demo's broker, which must have been started."""
        assert self._run is not None, "start the broker first"
        return self._run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder against a second demo.

        Raises BadInput when one is running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / "demo.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"a demo is running in {self.folder}; wait for its end, or give this one "
                    "another folder with --data-dir"
                ) from None
            yield

    def start(self, say: Progress) -> None:
        """Start a broker with empty topics, and apply the demonstration's reference data.

        Ends first what an earlier demo left here, with all its data.
        Raises BrokerError and ClusterError.
        """
        self._end_earlier(say)
        self._broker.start(say)
        self._run = Run()
        settings = Settings(
            bootstrap=self._broker.bootstrap,
            data_dir=self.folder,
            partitions=PARTITIONS,
            clock="data",
            agents=STAGES,
            http_port=0,
            language=self._user.language,
            java_home=self._user.java_home,
        )
        # Not loaded: neither a file nor the environment may lead the demo to another cluster.
        self._run.loaded = Loaded(settings, {})
        self.config.write_text(_config_text(settings), "utf8")
        say("creating topics")
        create_topics(
            self._run.admin, settings.topics(), replication_factor=1, timeout_s=ANSWER_TIMEOUT_S
        )
        say("applying reference data: 4,200 outlets, their agreements, the event periods of 2017")
        self._apply_reference()

    def _apply_reference(self) -> None:
        topic = ReferenceTopic(self.run.client, self.run.settings.topics()[REFERENCE].name)
        paths = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
        for listing in read_files(paths, shipped_areas()).values():
            topic.apply(listing, now_ms=now_ms())
        self.reference = topic.history().latest

    def start_worker(self, say: Progress) -> None:
        """Start a worker, and return when each stage has joined its group.

        Raises WorkerEnded when it does not come up.
        """
        say("starting a worker with the agents match, rate and rollup")
        python = [sys.executable, "-c", "from streams.cli import main; main()"]
        command = [*python, "worker", "--config", str(self.config)]
        self._worker = spawn_daemon(command, output=self.log, marker=str(self.config))
        self._worker_path.write_text(json.dumps(asdict(self._worker)), "utf8")
        admin, settings = self.run.admin, self.run.settings
        deadline = time.monotonic() + WORKER_START_S
        waiting = [settings.group(stage) for stage, _ in INPUTS]
        while waiting:
            self.check_worker()
            waiting = [group for group in waiting if not members(admin, group)]
            if waiting and time.monotonic() > deadline:
                raise WorkerEnded(f"The worker did not come up in time. {self._log_tail()}")
            time.sleep(_POLL_S)

    def check_worker(self) -> None:
        """Raise WorkerEnded if it does not run any more."""
        if self._worker is None or not is_alive(self._worker):
            raise WorkerEnded(f"The worker has ended. {self._log_tail()}")

    def stop_worker(self) -> None:
        """End the worker in good order, or else by force. Idempotent."""
        if self._worker is not None:
            _end(self._worker)
            self._worker = None
        self._worker_path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End worker and broker, and delete their data. Idempotent."""
        self.stop_worker()
        self._broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_earlier(self, say: Progress) -> None:
        if self._worker_path.exists():
            say("ending the worker of an earlier demo")
            _end(ProcessIdentity(**json.loads(self._worker_path.read_text("utf8"))))
        if self._broker.status().running:
            say("ending the broker of an earlier demo")
            self._broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    @property
    def _worker_path(self) -> Path:
        return self.folder / "worker.json"

    def _log_tail(self) -> str:
        lines = (
            self.log.read_text("utf8", errors="replace").splitlines() if self.log.exists() else []
        )
        return "\n  ".join(["The end of its log:", *lines[-_LOG_TAIL_LINES:]])


def _end(worker: ProcessIdentity) -> None:
    send(worker, SIGTERM)
    if not wait_gone(worker, WORKER_STOP_S):
        send(worker, SIGKILL)
        wait_gone(worker, WORKER_STOP_S)


def _config_text(settings: Settings) -> str:
    partitions = ", ".join(f'"{name}" = {count}' for name, count in settings.partitions.items())
    return (
        "# Settings of the demo's broker, for any command: realname rates --config THIS_FILE\n"
        f'bootstrap = "{settings.bootstrap}"\n'
        f"data_dir = {json.dumps(str(settings.data_dir))}\n"
        f'clock = "{settings.clock}"\n'
        f"agents = {json.dumps(settings.agents)}\n"
        f"http_port = {settings.http_port}\n"
        f'language = "{settings.language}"\n'
        f"partitions = {{ {partitions} }}\n"
    )
