"""The worker as a process: health, signals, further processes, and what it says when it ends."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from streams.agents.worker import EXIT_CLUSTER, EXIT_FAILED
from streams.kafka.broker import EmbeddedBroker
from streams.metrics import CATALOGUE, Metrics
from streams.records.topics import SHIPMENTS, Topic
from tests.kafka.counting import last_rates, produce, summed_counts
from tests.kafka.test_runner import KEYS, all_committed, wait_for

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent.parent


class Worker:
    """A worker process and its log."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, *more: str) -> None:
        self.log = folder / "worker.log"
        self._port_file = folder
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    str(ROOT / "tests/kafka/counting_worker.py"),
                    bootstrap,
                    prefix,
                    str(folder / "data"),
                    *more,
                ],
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                stderr=log,
            )

    def said(self) -> str:
        return self.log.read_text("utf8")

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of an HTTP request; 0 while nobody listens."""
        said = self.said()
        if "http on " not in said:
            return 0, ""
        address = said.split("http on ")[1].split()[0]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


Start = Callable[..., Worker]


@pytest.fixture
def start(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def make(port: str = "0", processes: str = "1", bootstrap: str = "") -> Worker:
        workers.append(Worker(bootstrap or broker.bootstrap, prefix, tmp_path, port, processes))
        return workers[-1]

    yield make
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


def test_a_worker_becomes_ready_counts_and_leaves_in_good_order(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, start: Start
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    worker = start()
    wait_for(lambda: worker.get("/ready")[0] == 200)
    assert worker.get("/live") == (200, json.dumps({"stages": {"match": True}}))
    wait_for(lambda: all_committed(broker, prefix))
    status, metrics = worker.get("/metrics")
    assert status == 200
    records = sum(KEYS.values())
    assert f'realname_records_total{{stage="match"}} {float(records)}' in metrics
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0, worker.said()
    assert summed_counts(broker.bootstrap, prefix) == KEYS
    assert last_rates(broker.bootstrap, prefix) == KEYS
    assert "Traceback" not in worker.said()


def test_several_processes_share_the_partitions_and_one_that_dies_ends_them_all(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, start: Start
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    worker = start(processes="2")
    wait_for(lambda: all_committed(broker, prefix))
    assert "running match in slot 0.0" in worker.said()
    assert "running match in slot 0.1" in worker.said()
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text()
    commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children.split()}
    spawned = [pid for pid, command in commands.items() if "spawn_main" in command]
    assert len(spawned) == 2
    subprocess.run(["/bin/kill", "-KILL", str(spawned[0])], check=True)
    assert worker.process.wait(15) == EXIT_FAILED
    assert "ended with -9; ending the others" in worker.said()
    assert summed_counts(broker.bootstrap, prefix) == KEYS


def test_several_processes_stop_together(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, start: Start
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    worker = start(processes="2")
    wait_for(lambda: all_committed(broker, prefix))
    worker.process.terminate()
    assert worker.process.wait(10) == 0, worker.said()


def test_a_missing_topic_is_one_line_with_its_remedy(
    broker: EmbeddedBroker, prefix: str, start: Start
) -> None:
    worker = start()
    assert worker.process.wait(30) == EXIT_CLUSTER
    assert "realname topics create" in worker.said()
    assert "Traceback" not in worker.said()


def test_an_unreachable_broker_at_the_start_is_one_line(prefix: str, start: Start) -> None:
    worker = start(bootstrap="127.0.0.1:1")
    assert worker.process.wait(60) == EXIT_CLUSTER
    assert "Traceback" not in worker.said()


def test_every_metric_of_the_catalogue_can_be_made_and_is_described() -> None:
    shown = Metrics().expose().decode()
    for metric in CATALOGUE:
        name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        assert f"# HELP {metric.name}" in shown or f"# HELP {name}" in shown
        assert metric.help.endswith(".")
        assert not set(metric.labels) & {"outlet", "outlet_id", "courier", "waybill", "county"}
