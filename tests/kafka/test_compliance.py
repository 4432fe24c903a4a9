"""The compliance agent against a real Kafka: what an enterprise reads, committed, exactly once."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema_rs
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Producer

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.clock import now_ms
from streams.kafka.dead_letters import HEADER_PREFIX
from streams.kafka.errors import ClusterError
from streams.kafka.reference import ReferenceTopic
from streams.records import refusals
from streams.records.topics import COMPLIANCE_INPUTS, REFERENCE, SHIPMENTS_DLQ, Topic
from streams.reference.areas import shipped_areas
from streams.reference.files import read_file
from streams.reference.listing import Kind
from streams.resources import schema_dir
from tests.kafka.counting import committed_offsets, end_offsets, read_all
from tests.kafka.events import as_event, expected_events, in_order
from tests.kafka.test_runner import wait_for
from tests.stages.telling import ENTERPRISE, OUTLET
from tests.stages.test_compliance_batches import played

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent.parent
OUTLETS = f"""outlet_id,name,brand_code,enterprise_id,county_code,duty_group
{OUTLET},a,ZTO,{ENTERPRISE},150105,
150202-YD-0001,b,YUNDA,E2,150202,
"""
SOURCES = f"""
[[sources]]
source = "zto-app"
enterprise_id = "{ENTERPRISE}"
channel = "ENTERPRISE_EDITION"
"""


@pytest.fixture
def published(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], tmp_path: Path
) -> Mapping[str, Topic]:
    """Reference data, and what the other stages have published of two days."""
    reference = ReferenceTopic({"bootstrap.servers": broker.bootstrap}, topics[REFERENCE].name)
    for kind, name, text in (
        (Kind.OUTLETS, "outlets.csv", OUTLETS),
        (Kind.SOURCES, "sources.toml", SOURCES),
    ):
        (tmp_path / name).write_text(text, "utf8")
        listing = read_file(kind, tmp_path / name, shipped_areas())
        reference.apply(listing, now_ms=now_ms())
    write(broker, topics, first=True)
    return topics


def write(broker: EmbeddedBroker, topics: Mapping[str, Topic], *, first: bool) -> None:
    """Write the first half of each log, or the second."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for topic, log in played().items():
        half = len(log) // 2
        for key, value, _ in log[:half] if first else log[half:]:
            if topic == SHIPMENTS_DLQ:
                facts = refusals.decode(value or b"")
                told = {"code": facts.code, "path": facts.path, "source": facts.record_source}
                told["timestamp"] = str(facts.received_ms)
                headers: dict[str, str | bytes | None] = {
                    HEADER_PREFIX + name: text for name, text in told.items()
                }
                producer.produce(topics[topic].name, b"{}", b"ZT00000000001", headers=headers)
            else:
                producer.produce(topics[topic].name, value, key)
            producer.poll(0)
    assert producer.flush(30) == 0


class Workers:
    """Compliance workers, one at a time."""

    def __init__(self, broker: EmbeddedBroker, prefix: str, folder: Path) -> None:
        self._arguments = [broker.bootstrap, prefix, str(folder / "data")]
        self._log = folder / "worker.log"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, crash: str = "") -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            self.running.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        str(ROOT / "tests/kafka/compliance_worker.py"),
                        *self._arguments,
                        crash,
                    ],
                    env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                    stderr=log,
                )
            )
        return self.running[-1]

    def said(self) -> str:
        return self._log.read_text("utf8")


@pytest.fixture
def workers(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(broker, prefix, tmp_path)
    yield workers
    for worker in workers.running:
        worker.kill()
        worker.wait()


def all_committed(broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str) -> bool:
    """Whether the group has committed the end of every input partition that has a record."""
    try:
        for topic in COMPLIANCE_INPUTS:
            name = topics[topic].name
            committed = committed_offsets(broker.bootstrap, f"{prefix}compliance", name)
            for partition, end in end_offsets(broker.bootstrap, name).items():
                if (committed[partition] or 0) < end:
                    return False
    except ClusterError:
        return False  # What a worker left open when it was killed is waited for.
    return True


# Of the points of a flush the ones that matter most, of a snapshot and a restore one each.
@pytest.mark.parametrize(
    "point", ["after_outputs:2", "before_commit:2", "after_commit:2", "snapshot_end:1"]
)
def test_a_worker_killed_in_the_middle_tells_everything_once(
    broker: EmbeddedBroker,
    published: Mapping[str, Topic],
    prefix: str,
    workers: Workers,
    point: str,
) -> None:
    first = workers.start(point)
    wait_for(lambda: first.poll() is not None or all_committed(broker, published, prefix))
    write(broker, published, first=False)
    if first.poll() is None:
        first.wait(60)
    assert first.returncode == -signal.SIGKILL, workers.said()
    second = workers.start("during_restore:2")
    assert second.wait(60) == -signal.SIGKILL, workers.said()
    restored = workers.said().count("restored partitions")
    third = workers.start()
    wait_for(lambda: workers.said().count("restored partitions") > restored)
    wait_for(lambda: all_committed(broker, published, prefix))
    third.terminate()
    assert third.wait(30) == 0, workers.said()

    topic = f"compliance.{ENTERPRISE}"
    read = [as_event(topic, r) for r in read_all(broker.bootstrap, prefix + topic)]
    assert in_order(read) == in_order(expected_events(broker.bootstrap, published))
    types = {event.type for event in read}
    assert types >= {"rate.updated", "day.closed", "alert.raised", "alert.ended", "parcel.missing"}
    assert types >= {"parcel.retracted", "records.rejected"}
    assert not read_all(broker.bootstrap, f"{prefix}compliance.E2"), (
        "a topic that exists, and is empty"
    )


def test_the_official_reader_and_the_schemas_accept_every_event(
    broker: EmbeddedBroker, published: Mapping[str, Topic], prefix: str, workers: Workers
) -> None:
    worker = workers.start()
    wait_for(lambda: all_committed(broker, published, prefix))
    worker.terminate()
    assert worker.wait(30) == 0, workers.said()
    validators = {
        schema["$id"]: jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        for schema in map(read_schema, (schema_dir() / "compliance").glob("*.schema.json"))
    }
    records = read_all(broker.bootstrap, f"{prefix}compliance.{ENTERPRISE}")
    assert len(records) > 100
    for key, value, headers in records:
        assert key is not None
        event = from_kafka_event(KafkaMessage(headers=dict(headers), key=key, value=value or b""))
        assert event.get_specversion() == "1.0"
        if value is not None:
            validators[event.get_dataschema()].validate(event.get_data())


def read_schema(path: Path) -> dict[str, object]:
    schema: dict[str, object] = json.loads(path.read_text("utf8"))
    return schema
