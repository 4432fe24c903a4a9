"""What the demo runs: a broker, topics, reference data, a board and a worker, in a folder of their own.

Nothing of the user's is touched: broker and board take free ports, settings are the demo's own, and the
processes get neither the caller's environment nor its terminal's Ctrl-C.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from streams.cli.demo_child import Child
from streams.cli.exits import BadInput
from streams.cli.inputs import INPUTS
from streams.cli.run import ANSWER_TIMEOUT_S, Run
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.clock import now_ms
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
from streams.settings import AgentName, Loaded, NotifySettings, Settings

PARTITIONS: Final = {SHIPMENTS: 2, COUNTS: 2, SHIPMENTS_DLQ: 1, RATES: 1, DAYS: 1, ALERTS: 1}
"""Few, so that one worker has them at once; figures do not depend on it."""

STAGES: Final[tuple[AgentName, ...]] = ("match", "rate", "rollup")
"""The agents that make figures. Whom they are sent to is of the demo only when somebody is named."""

START_S: Final = 60.0
_POLL_S: Final = 0.1

Progress = Callable[[str], None]
"""Is told each step in a few words."""


class DemoSystem:
    """The demo's broker, board and worker. `start` them, in the end `stop` them; `run` is for commands.

    Attributes:
        folder: Everything that they write is below it.
        config: A settings file with which any command finds this broker.
        worker: The process that runs the agents.
        board: The process that serves the board.
        board_url: Where, once it runs; "" before.
        reference: The reference data, once they are applied.

    """

    def __init__(self, run: Run, *, paging: bool = False) -> None:
        """Name the folder, below the user's data folder; nothing is started yet.

        With `paging` the Alertmanagers of the user's settings are told of alerts, otherwise nobody.
        """
        self._user = run.settings
        self._notify: Final = self._user.notify if paging else NotifySettings()
        self.folder: Final = self._user.data_dir / "demo"
        self.config: Final = self.folder / "realname.toml"
        config = ("--config", str(self.config))
        self.worker: Final = Child("worker", self.folder, "worker", *config)
        self.board: Final = Child("board", self.folder, "serve", *config, "--http", "127.0.0.1:0")
        self.board_url = ""
        self._broker = EmbeddedBroker(
            self.folder / "broker",
            port=0,
            heap_mb=self._user.broker_heap_mb,
            java_home=self._user.java_home,
            brief=True,
        )
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
        """Start a broker with empty topics, apply the demonstration's reference data, open the board.

        Ends first what an earlier demo left here, with all its data.
        Raises BrokerError, ClusterError, and ChildEnded when the board does not come up.
        """
        self._end_earlier(say)
        self._broker.start(say)
        self._run = Run()
        self._settle(self._notify)
        settings = self._run.settings
        say("creating topics")
        create_topics(
            self._run.admin, settings.topics(), replication_factor=1, timeout_s=ANSWER_TIMEOUT_S
        )
        self.board.start()
        say("applying reference data: 4,200 outlets, their agreements, the event periods of 2017")
        self._apply_reference()
        say("opening the board")
        self.board_url = self.board.wait_for(r"Serving on (http://\S+/)", START_S)
        if self._notify.alertmanagers and not self._notify.dashboard_url:
            self._settle(self._notify.model_copy(update={"dashboard_url": self.board_url}))

    def _settle(self, notify: NotifySettings) -> None:
        """Make the demo's settings, and write them to `config`."""
        settings = Settings(
            bootstrap=self._broker.bootstrap,
            data_dir=self.folder,
            partitions=PARTITIONS,
            clock="data",
            agents=(*STAGES, "notify") if notify.alertmanagers else STAGES,
            notify=notify,
            http_port=0,
            language=self._user.language,
            java_home=self._user.java_home,
        )
        # Not loaded: neither a file nor the environment may lead the demo to another cluster.
        self.run.loaded = Loaded(settings, {})
        self.config.write_text(_config_text(settings), "utf8")

    def _apply_reference(self) -> None:
        topic = ReferenceTopic(self.run.client, self.run.settings.topics()[REFERENCE].name)
        paths = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
        for listing in read_files(paths, shipped_areas()).values():
            topic.apply(listing, now_ms=now_ms())
        self.reference = topic.history().latest

    def start_worker(self, say: Progress) -> None:
        """Start a worker, and return when each stage has joined its group.

        Raises ChildEnded when it does not come up.
        """
        say(f"starting a worker with the agents {', '.join(self.run.settings.agents)}")
        self.worker.start()
        admin, settings = self.run.admin, self.run.settings
        deadline = time.monotonic() + START_S
        waiting = [settings.group(stage) for stage, _ in INPUTS]
        while waiting:
            self.check()
            waiting = [group for group in waiting if not members(admin, group)]
            if waiting and time.monotonic() > deadline:
                raise self.worker.is_late()
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise ChildEnded if the worker or the board does not run any more."""
        self.worker.check()
        self.board.check()

    def stop_processes(self) -> None:
        """End worker and board, and let the broker run. Idempotent."""
        self.board.stop()
        self.worker.stop()

    def stop(self) -> None:
        """End worker, board and broker, and delete their data. Idempotent."""
        self.stop_processes()
        self._broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_earlier(self, say: Progress) -> None:
        for child in (self.board, self.worker):
            if child.left_behind:
                say(f"ending the {child.name} of an earlier demo")
                child.end_earlier()
        if self._broker.status().running:
            say("ending the broker of an earlier demo")
            self._broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)


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
        f"{_table_text('notify', settings.notify.model_dump())}"
    )


def _table_text(name: str, values: Mapping[str, object]) -> str:
    # What JSON writes of texts, numbers and lists of texts is TOML, too.
    lines = [f"{entry} = {json.dumps(value)}" for entry, value in values.items()]
    return "\n".join(["", f"[{name}]", *lines, ""])
