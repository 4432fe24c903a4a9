"""The gateway over a real Kafka: accepted means there, at its place, and an outage is told as one."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from streams.gateway.subjects import SubjectKeys, new_key
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.kafka.loading import Loader
from streams.kafka.private_files import write_private
from streams.kafka.reading import read_to_end
from streams.kafka.reference import ReferenceTopic
from streams.kafka.topics import create_topics
from streams.records.topics import REFERENCE, SHIPMENTS, Topic, catalogue
from streams.reference.areas import shipped_areas
from streams.reference.files import read_file
from streams.reference.listing import Kind
from tests.conftest import FEW_PARTITIONS, NewBroker
from tests.gateway.process import GatewayProcess, running_gateway
from tests.gateway.setting import COLLECTED, MINE, REGISTERED, encoded, write_tokens

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]
OUTLETS = (
    f"outlet_id,name,brand_code,enterprise_id,county_code\n150105-ZT-0031,n,ZT,{MINE},150105\n"
)
SOURCES = (
    '[[sources]]\nsource = "/enterprise/zt"\nchannel = "ENTERPRISE_EDITION"\n'
    f'enterprise_id = "{MINE}"\n'
)


def apply_reference(broker: EmbeddedBroker, topics: Topics, folder: Path) -> None:
    reference = ReferenceTopic(
        client_config(broker.bootstrap, client_id="tests"), topics[REFERENCE].name
    )
    for kind, name, text in (
        (Kind.OUTLETS, "outlets.csv", OUTLETS),
        (Kind.SOURCES, "sources.toml", SOURCES),
    ):
        path = folder / name
        path.write_text(text, "utf8")
        listing = read_file(kind, path, shipped_areas())
        reference.apply(listing, now_ms=now_ms(), effective_at_ms=1_500_000_000_000)


def eventually(holds: Callable[[], bool], what: str, within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


@pytest.fixture
def running(
    broker: EmbeddedBroker, topics: Topics, prefix: str, tmp_path: Path
) -> Iterator[GatewayProcess]:
    apply_reference(broker, topics, tmp_path)
    tokens = write_tokens(tmp_path / "tokens.toml")
    keys = tmp_path / "keys.toml"
    write_private(keys, SubjectKeys([new_key("k1", 0)]).text())
    options = ("--bootstrap", broker.bootstrap, "--prefix", prefix)
    with running_gateway(
        tmp_path, *options, "--tokens", str(tokens), "--subject-keys", str(keys)
    ) as gateway:
        eventually(lambda: gateway.get("/ready")[0] == 200, "it becomes ready")
        yield gateway


def read(broker: EmbeddedBroker, topic: Topic) -> list[Message]:
    return list(read_to_end(client_config(broker.bootstrap, client_id="tests"), topic.name))


def test_what_is_accepted_is_there_and_what_is_not_is_nowhere(
    running: GatewayProcess, broker: EmbeddedBroker, topics: Topics
) -> None:
    records = [
        encoded(COLLECTED),
        encoded(COLLECTED, source="/enterprise/yt"),
        encoded(REGISTERED, subject_token="a sender", sender_name="?"),
        b"nonsense",
    ]
    posted = running.post("rns_zt", records)
    assert posted.status == 200
    assert posted.body == {
        "received": 4,
        "accepted": 2,
        "rejected": [
            {"record": 1, "code": "not_yours", "path": "$.source"},
            {"record": 3, "code": "not_json", "path": "$"},
        ],
    }
    found = read(broker, topics[SHIPMENTS])
    assert len(found) == 2
    assert {message.key() for message in found} == {b"ZT0000000000017"}
    values = b"".join(message.value() or b"" for message in found)
    assert b"a sender" not in values
    assert b"sender_name" not in values
    assert b'"subject_token":"k1:' in values


def test_a_waybill_has_one_partition_whoever_sends_it(
    running: GatewayProcess, broker: EmbeddedBroker, topics: Topics
) -> None:
    waybills = [f"ZT{number:013d}" for number in range(50)]
    records = [encoded(COLLECTED, waybill_no=waybill) for waybill in waybills]
    assert running.post("rns_zt", records).body["accepted"] == 50
    loader = Loader(client_config(broker.bootstrap, client_id="tests"), topics[SHIPMENTS].name)
    for record in records:
        loader.send(record)
    loader.finish()
    places: dict[bytes, set[int]] = {}
    for message in read(broker, topics[SHIPMENTS]):
        places.setdefault(message.key() or b"", set()).add(message.partition() or 0)
    assert len(places) == 50
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set.union(*places.values())) == FEW_PARTITIONS[SHIPMENTS]


def test_an_outage_is_told_as_one_and_ends_by_itself(new_broker: NewBroker, tmp_path: Path) -> None:
    broker = new_broker("gateway-outage")
    broker.start()
    admin = AdminClient(client_config(broker.bootstrap, client_id="tests"))
    topics = catalogue("outage.", FEW_PARTITIONS)
    create_topics(admin, topics, replication_factor=1)
    apply_reference(broker, topics, tmp_path)
    tokens = write_tokens(tmp_path / "tokens.toml")
    options = ("--bootstrap", broker.bootstrap, "--prefix", "outage.", "--tokens", str(tokens))
    with running_gateway(tmp_path, *options) as gateway:
        eventually(lambda: gateway.get("/ready")[0] == 200, "it becomes ready")
        assert gateway.post("rns_zt", [encoded(COLLECTED)]).status == 200
        broker.kill()
        refused = gateway.post("rns_zt", [encoded(COLLECTED, id="c-2")])
        assert refused.status == 429
        assert int(refused.retry_after or "0") > 0
        assert gateway.get("/ready")[0] == 503
        assert gateway.get("/live")[0] == 200
        broker.start()
        eventually(
            lambda: gateway.post("rns_zt", [encoded(COLLECTED, id="c-3")]).status == 200,
            "it takes in again",
        )
        eventually(lambda: gateway.get("/ready")[0] == 200, "it is ready again")
    found = read(broker, topics[SHIPMENTS])
    ids = [(message.value() or b"").split(b'"id":"')[1][:3] for message in found]
    assert ids.count(b"c-1") == 1
    assert b"c-3" in ids
