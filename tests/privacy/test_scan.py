"""Plants identity numbers, names and phones where none belong, and searches everything for them.

The whole program runs: gateway, worker with all stages, board and API, and the commands, on a real
Kafka. What comes through the gateway must be in no topic at all. What somebody writes to `shipments`
himself stays there as he wrote it, and in the dead letters: it must be nowhere else. The fields by
which a parcel's records are joined (waybill, ids, source, outlet) are of records that are used; in
records that are refused, everything is planted.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.domain.personal import holds_identity_number, holds_mobile_number
from streams.domain.window import HOUR_MS, instant_from_text, instant_text
from streams.gateway.subjects import SubjectKeys, new_key
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.dead_letters import headers_of
from streams.kafka.loading import Loader, heartbeat_value
from streams.kafka.private_files import write_private
from streams.kafka.reading import read_to_end
from streams.records.topics import AUDIT, PARCELS_MISSING, RATES, SHIPMENTS, SHIPMENTS_DLQ, Topic
from streams.tokens import hash_of
from tests.cli.conftest import Realname
from tests.conftest import FEW_PARTITIONS
from tests.gateway.setting import COLLECTED, MINE, REGISTERED, encoded
from tests.gateway.test_kafka import apply_reference, eventually
from tests.privacy.processes import Running, running

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]

# All made up; the check digits are right, so that they are what they look like.
IDENTITIES = ("11010519491231002X", "150105199003078518", "150404198511120044")
PHONES = ("13800138000", "+86 139-1234-5678", "18647112233")
NAMES = ("张三丰", "乌云其木格", "ᠪᠠᠲᠤ")
PLANTED = (*IDENTITIES, *PHONES, *NAMES)

# Collected and never registered, so missing at maturity.
WAYBILLS = tuple(f"ZT7{number:012d}" for number in range(5))

REGION, READER, WRITER = "rns_region", "rns_enterprise", "rns_writer"
UNKNOWN_FIELDS: Mapping[str, Any] = {
    "sender_name": NAMES[0],
    "sender": {"id_no": IDENTITIES[0], "phones": list(PHONES)},
    NAMES[1]: IDENTITIES[1],
    PHONES[0]: True,
    "remark": f"{NAMES[2]}, {PHONES[1]}",
}


def planted_in_known_fields() -> Iterator[dict[str, Any]]:
    """Records that can be used, with something planted where the program looks no further."""
    for number, planted in enumerate(PLANTED):
        waybill = f"ZT{number:013d}"
        yield {
            **COLLECTED,
            **UNKNOWN_FIELDS,
            "id": f"c-{number}",
            "waybill_no": waybill,
            "courier_id": planted,
            "customer_token": planted,
            "destination_code": planted,
        }
        yield {
            **REGISTERED,
            **UNKNOWN_FIELDS,
            "id": f"r-{number}",
            "waybill_no": waybill,
            "verification_result": "MISMATCHED",
            "registration_id": f"r-{number}",
            "subject_token": planted,
            "client_role": planted,
        }
        yield {
            "type": "waybill.voided",
            **UNKNOWN_FIELDS,
            "id": f"v-{number}",
            "source": COLLECTED["source"],
            "time": COLLECTED["time"],
            "recorded_at": COLLECTED["recorded_at"],
            "waybill_no": f"ZT9{number:012d}",
            "reason": planted,
        }


def planted_in_refused() -> Iterator[tuple[bytes | None, bytes]]:
    """Records that cannot be used, as key and value, with something planted in any place."""
    for planted in PLANTED:
        for field in COLLECTED:
            broken = {"parcel_category": "?", field: planted}
            yield b"ZT0000000000000", encoded(COLLECTED, **broken)
            yield b"ZT0000000000000", encoded(COLLECTED, **{field: {planted: planted}})
        yield planted.encode(), encoded(COLLECTED)
        yield planted.encode(), planted.encode()
        yield None, encoded({planted: planted})
        yield planted.encode(), encoded(COLLECTED, waybill_no=planted, outlet_id=planted)


@dataclass
class Region:
    """The running program, and ways to look into every corner of it."""

    topics: Topics
    broker: EmbeddedBroker
    prefix: str
    worker: Running
    gateway: Running
    board: Running

    @property
    def client(self) -> dict[str, Any]:
        return client_config(self.broker.bootstrap, client_id="tests")

    def topic_names(self) -> list[str]:
        found = AdminClient(self.client).list_topics(timeout=30).topics
        return sorted(name for name in found if name.startswith(self.prefix))

    def held(self, *, but: Sequence[str] = ()) -> dict[str, bytes]:
        """All bytes of all records, with keys and headers, by topic."""
        left_out = {self.topics[name].name for name in but}
        held = {}
        for name in self.topic_names():
            if name not in left_out:
                parts: list[bytes] = []
                for message in read_to_end(self.client, name):
                    parts += [message.key() or b"", message.value() or b""]
                    parts += [repr(header).encode() for header in headers_of(message)]
                held[name] = b"\n".join(parts)
        return held

    def told(self) -> dict[str, bytes]:
        """What logs, metrics and API say."""
        told = {f"log {p.log.name}": p.log.read_bytes() for p in self.processes}
        told["metrics of the worker"] = self.worker.get("/metrics")[1]
        told["metrics of the gateway"] = self.gateway.get("/metrics", REGION)[1]
        told["metrics of the board"] = self.board.get("/metrics", REGION)[1]
        for token in (REGION, READER):
            for path in (
                *("rates?limit=20000", "days?limit=20000", "alerts?status=all", "summary"),
                *("periods", f"outlets/{COLLECTED['outlet_id']}", "rates?format=csv"),
                *("rates?granularity=x", "nowhere"),
            ):
                told[f"API {token} {path}"] = self.board.get(f"/api/v1/{path}", token)[1]
        return told

    @property
    def processes(self) -> Sequence[Running]:
        return self.worker, self.gateway, self.board


def variants(planted: str) -> Iterator[bytes]:
    """How a text may stand in bytes: as it is, escaped in JSON, escaped in Python."""
    yield planted.encode()
    yield json.dumps(planted)[1:-1].encode()
    yield ascii(planted)[1:-1].encode()
    yield repr(planted.encode())[2:-1].encode()


def found_in(places: Mapping[str, bytes]) -> list[str]:
    return [
        f"{planted} in {place}"
        for place, content in places.items()
        for planted in PLANTED
        if any(variant in content for variant in variants(planted))
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
def region(broker: EmbeddedBroker, topics: Topics, prefix: str, tmp_path: Path) -> Iterator[Region]:
    apply_reference(broker, topics, tmp_path)
    tokens, keys = tmp_path / "tokens.toml", tmp_path / "keys.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "region"\nsha256 = "{hash_of(REGION)}"\nregion = true\n'
        f'[[tokens]]\nname = "reader"\nsha256 = "{hash_of(READER)}"\nenterprise_id = "{MINE}"\n'
        f'[[tokens]]\nname = "writer"\nsha256 = "{hash_of(WRITER)}"\nenterprise_id = "{MINE}"\n'
        'may = ["write"]\n'
    )
    write_private(keys, SubjectKeys([new_key("k1", 0)]).text())
    cluster = ("--bootstrap", broker.bootstrap, "--prefix", prefix)
    port = free_port()
    counts = {
        f"REALNAME_PARTITIONS__{name.replace('.', '_').upper()}": str(count)
        for name, count in FEW_PARTITIONS.items()
    } | {"REALNAME_CLOCK": "data", "REALNAME_FLUSH_MS": "100"}
    worker = (
        "worker",
        *cluster,
        "--http-port",
        str(port),
        "--agents",
        "match,rate,rollup,compliance",
    )
    gateway = ("gateway", *cluster, "--http", "127.0.0.1:0", "--tokens", str(tokens))
    board = ("serve", *cluster, "--http", "127.0.0.1:0", "--tokens", str(tokens))
    with (
        running("worker", tmp_path, *worker, environment=counts, port=port) as working,
        running(
            "gateway", tmp_path, *gateway, "--subject-keys", str(keys), environment=counts
        ) as taking,
        running("serve", tmp_path, *board, environment=counts) as showing,
    ):
        for process in (working, taking, showing):
            process.wait_ready()
        yield Region(topics, broker, prefix, working, taking, showing)


def post(region: Region, records: Sequence[bytes]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {WRITER}", "Content-Type": "application/x-ndjson"}
    connection = http.client.HTTPConnection("127.0.0.1", region.gateway.port, timeout=60)
    with closing(connection):
        connection.request("POST", "/v1/shipments", b"\n".join(records), headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer


def test_nothing_that_is_planted_is_found_where_it_does_not_belong(region: Region) -> None:
    # What comes through the gateway.
    batch = [encoded(record) for record in planted_in_known_fields()]
    batch += [value for _, value in planted_in_refused() if b"\n" not in value]
    answer = post(
        region,
        [*batch, *(encoded(COLLECTED, **UNKNOWN_FIELDS, id="c", waybill_no=w) for w in WAYBILLS)],
    )
    assert answer["accepted"] >= len(WAYBILLS)
    assert {r["code"] for r in answer["rejected"]} >= {"personal_data", "schema", "not_yours"}
    assert not found_in({"the answer": json.dumps(answer, ensure_ascii=False).encode()})
    assert not found_in(region.held())

    # What somebody writes to the topic himself.
    loader = Loader(region.client, region.topics[SHIPMENTS].name)
    for record in planted_in_known_fields():
        loader.send(encoded(record))
    loader.finish()
    producer = Producer(region.client)
    for key, value in planted_in_refused():
        producer.produce(
            region.topics[SHIPMENTS].name,
            value,
            key,
            headers=[("name", NAMES[0]), (PHONES[0], b"")],
        )
    assert producer.flush(30) == 0
    loader.beat(heartbeat_value(instant_text(instant_from_text(COLLECTED["time"]) + 5 * HOUR_MS)))
    loader.finish()

    eventually(
        lambda: NAMES[0].encode() in region.held().get(region.topics[SHIPMENTS_DLQ].name, b""),
        "dead letters",
    )
    eventually(
        lambda: WAYBILLS[0].encode() in region.held()[region.topics[PARCELS_MISSING].name],
        "missing parcels",
    )
    eventually(lambda: b'"OUTLET"' in region.held()[region.topics[RATES].name], "rates")
    eventually(
        lambda: b'"items":[{' in region.board.get("/api/v1/rates", REGION)[1], "the board's rates"
    )

    here = Realname("--bootstrap", region.broker.bootstrap, "--prefix", region.prefix)
    said = {
        " ".join(command): (here(*command).out + here(*command).err).encode()
        for command in (
            *(
                ["dlq", "list", "--samples", "100"],
                ["dlq", "list", "--json"],
                ["dlq", "show", "0@0"],
            ),
            *(
                ["missing"],
                ["rates"],
                ["alerts", "--all"],
                ["dlq", "replay", "--all", "--limit", "20"],
            ),
        )
    }
    held = region.held(but=[SHIPMENTS, SHIPMENTS_DLQ])
    assert b"dlq.replayed" in held[region.topics[AUDIT].name]
    assert not found_in(held)
    assert not found_in(region.told())
    assert not found_in(said)
    for place, content in {**region.told(), **said}.items():
        assert not any(waybill.encode() in content for waybill in WAYBILLS), place

    # And they could have been found: they are where they may be.
    assert found_in({"dead letters": region.held()[region.topics[SHIPMENTS_DLQ].name]})


@pytest.mark.parametrize("identity", IDENTITIES)
def test_what_is_planted_is_what_it_looks_like(identity: str) -> None:
    assert holds_identity_number(identity)
    assert all(map(holds_mobile_number, PHONES))
