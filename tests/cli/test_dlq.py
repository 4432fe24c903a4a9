"""Dead letters: found by code, time and source, shown masked, settled once, and all of it on record."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs
import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient

from streams.domain.window import HOUR_MS, instant_text
from streams.kafka import dead_letters
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.kafka.dead_letters import dead_letter, headers_of
from streams.kafka.errors import KafkaRefused
from streams.kafka.letters import Doing, LetterBox, Selection, Settler
from streams.kafka.reading import read_to_end
from streams.kafka.topics import create_topics
from streams.records.rejects import Reject, RejectCode
from streams.records.topics import AUDIT, SHIPMENTS, SHIPMENTS_DLQ, Topic
from streams.resources import schema_dir
from tests.cli.conftest import Realname

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]
Headers = Sequence[tuple[str, str | bytes | None]]

NAME, PHONE, IDENTITY = "张三丰", "13800138000", "11010519491231002X"
AUDITED = jsonschema_rs.Draft202012Validator(
    json.loads((schema_dir() / "audit.v1.schema.json").read_bytes()), validate_formats=True
)
DOING = Doing(1_504_851_900_000, "ops", Selection())


def value(number: int, **more: object) -> bytes:
    record = {
        "type": "shipment.collected",
        "id": f"c{number}",
        "source": "/enterprise/zt",
        "waybill_no": f"ZT000000000000{number}",
        "outlet_id": "150105-ZT-0031",
        "courier_id": f"{PHONE}",
        "sender_name": NAME,
    }
    return json.dumps({**record, **more}, ensure_ascii=False).encode()


class Desk:
    """The topics of a test, written and read as others would."""

    def __init__(self, broker: EmbeddedBroker, topics: Topics) -> None:
        self.client = client_config(broker.bootstrap, client_id="tests")
        self.topics = topics
        self.run = Realname("--bootstrap", broker.bootstrap, "--prefix", self.prefix)

    @property
    def prefix(self) -> str:
        return self.topics[AUDIT].name.removesuffix(AUDIT)

    def write(self, *letters: tuple[str, str, str, Headers], at_ms: int | None = None) -> None:
        """Write letters of (waybill, code, source, further headers), refused at a time."""
        producer = Producer(self.client)
        for number, (key, code, source, more) in enumerate(letters):
            ours = {
                dead_letters.CODE: code,
                dead_letters.PATH: "$.outlet_id",
                dead_letters.SOURCE: source,
                dead_letters.PARTITION: "1",
                dead_letters.OFFSET: str(number),
                dead_letters.TIMESTAMP: "1504851300000",
                dead_letters.ATTEMPT: "1",
            } | {name: content for name, content in more if name.startswith("__")}
            headers = [(n, c) for n, c in more if not n.startswith("__")]
            producer.produce(
                self.topics[SHIPMENTS_DLQ].name,
                value(number),
                key,
                headers=[*headers, *ours.items()],
                timestamp=T2 if at_ms is None else at_ms,
            )
        assert producer.flush(10) == 0

    def read(self, topic: str) -> list[Message]:
        return list(read_to_end(self.client, self.topics[topic].name))

    def audit(self) -> list[dict[str, Any]]:
        records = [json.loads(message.value() or b"") for message in self.read(AUDIT)]
        for record in records:
            AUDITED.validate(record)
        return records

    def box(self) -> LetterBox:
        names = {short: topic.name for short, topic in self.topics.items()}
        return LetterBox(self.client, dlq=names[SHIPMENTS_DLQ], audit=names[AUDIT])

    def settler(self) -> Settler:
        return Settler(
            self.box(),
            shipments=self.topics[SHIPMENTS].name,
            transactional_id=f"{self.prefix}dlq",
        )


@pytest.fixture
def desk(broker: EmbeddedBroker, topics: Topics) -> Desk:
    return Desk(broker, topics)


# The topic deletes what is older than its retention, so letters of today.
T2 = now_ms() // 1000 * 1000
T1 = T2 - HOUR_MS
THREE = (
    ("ZT0000000000000", "unknown_outlet", "/enterprise/zt", ()),
    ("ZT0000000000001", "schema", "/enterprise/zt", ()),
)
LATER = ("ZT0000000000002", "unknown_outlet", "/anyidi", ())

CHOICES = [
    ([], ["0@0", "0@1", "0@2"], "all of them"),
    (["--code", "unknown_outlet"], ["0@0", "0@2"], "one code"),
    (["--code", "schema", "--code", "unknown_outlet"], ["0@0", "0@1", "0@2"], "either code"),
    (["--source", "/anyidi"], ["0@2"], "one source"),
    (["--source", "/nobody"], [], "a source without letters"),
    (["--since", instant_text(T1 + 1000)], ["0@2"], "refused since"),
    (["--until", instant_text(T2)], ["0@0", "0@1"], "until leaves its own instant out"),
    (["--code", "unknown_outlet", "--source", "/enterprise/zt"], ["0@0"], "both must hold"),
]


@pytest.mark.parametrize(("options", "places", "why"), CHOICES)
def test_letters_are_chosen_by_code_time_and_source(
    desk: Desk, options: list[str], places: list[str], why: str
) -> None:
    desk.write(*THREE, at_ms=T1)
    desk.write(LATER, at_ms=T2)
    rows = desk.run.ok("dlq", "list", "--json", *options).rows
    listed = sorted(sample.split()[1] for row in rows for sample in row["samples"])
    assert listed == places, why
    options = options or ["--all"]
    replayed = desk.run.ok("dlq", "replay", "--json", *options).rows
    assert replayed[0]["replayed"] == len(places), why
    assert sorted(p for r in desk.audit() for p in r["places"]) == places, why


WRONG = [
    (["list", "--code", "lost"], "there is no such code"),
    (["list", "--since", "yesterday"], "is not a time with an offset"),
    (["show", "17"], "is no place of a letter"),
    (["replay"], "say which letters"),
    (["replay", "--all", "--code", "schema"], "contradict one another"),
    (["drop", "--all"], "needs a reason"),
    (["drop", "--all", "--reason", f"call {PHONE}"], "a number of a person"),
    (["drop", "--all", "--reason", "x" * 201], "shorten it"),
    (["replay", "--all", "--by", "Zhang San"], "takes an account"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_what_is_not_clear_is_refused_and_nothing_done(
    desk: Desk, arguments: list[str], told: str
) -> None:
    desk.write(*THREE)
    result = desk.run("dlq", *arguments)
    assert (result.code, told in result.err) == (2, True), result.err
    assert not desk.read(SHIPMENTS)
    assert not desk.audit()


def test_a_letter_is_shown_masked_and_that_is_on_record(desk: Desk) -> None:
    desk.write(("ZT0000000000000", "unknown_outlet", PHONE, [("x-name", NAME)]), at_ms=T1)
    (row,) = desk.run.ok("dlq", "show", "0@0", "--by", "ops-2", "--json").rows
    assert row["key"] == "ZT0********0000"
    assert row["source"] == "<11 characters>"
    assert row["shipments"] == "1@0"
    assert row["record"]["outlet_id"] == "150105-ZT-0031"
    assert row["record"]["waybill_no"] == "ZT0********0000"
    assert row["record"]["further_fields"] == 1
    shown = json.dumps(row, ensure_ascii=False) + desk.run.ok("dlq", "show", "0@0").out
    listed = desk.run.ok("dlq", "list").out
    for secret in (NAME, PHONE, "ZT0000000000000"):
        assert secret not in shown + listed + json.dumps(desk.audit(), ensure_ascii=False)
    first, _, third = desk.audit()
    assert (first["action"], first["by"], first["places"]) == ("dlq.shown", "ops-2", ["0@0"])
    assert (third["action"], third["count"], third["places"]) == ("dlq.listed", 1, [])
    assert "there is no letter at 0@1" in desk.run("dlq", "show", "0@0", "0@1").err


def test_a_replayed_record_is_as_it_came_with_its_attempt(desk: Desk) -> None:
    desk.write(("ZT0000000000000", "schema", "s", [("traceparent", "00-ab"), ("n", None)]))
    desk.run.ok("dlq", "replay", "--all", "--reason", "mended", "--by", "ops")
    (sent,) = desk.read(SHIPMENTS)
    assert (sent.key(), sent.value()) == (b"ZT0000000000000", value(0))
    assert headers_of(sent) == [
        ("traceparent", b"00-ab"),
        ("n", None),
        (dead_letters.ATTEMPT, b"1"),
    ]
    (record,) = desk.audit()
    assert (record["action"], record["count"], record["reason"]) == ("dlq.replayed", 1, "mended")


def test_a_letter_is_settled_once_whatever_is_asked_again(desk: Desk) -> None:
    desk.write(*THREE)
    drop = ["dlq", "drop", "--code", "schema", "--reason", "a test", "--json"]
    replay = ["dlq", "replay", "--all", "--json"]
    assert desk.run.ok(*drop).rows[0]["dropped"] == 1
    first = desk.run.ok(*replay).rows[0]
    assert (first["replayed"], first["settled_before"]) == (1, 1)
    again = desk.run.ok(*replay).rows[0]
    assert (again["replayed"], again["settled_before"]) == (0, 2)
    assert len(desk.read(SHIPMENTS)) == 1
    states = {row["code"]: row for row in desk.run.ok("dlq", "list", "--json").rows}
    assert states["schema"]["dropped"] == states["unknown_outlet"]["replayed"] == 1
    assert states["schema"]["open"] == states["unknown_outlet"]["open"] == 0


def test_a_limit_leaves_the_rest_for_the_next_time_and_a_dry_run_all(desk: Desk) -> None:
    desk.write(*THREE, LATER)
    would = desk.run.ok("dlq", "replay", "--all", "--limit", "2", "--dry-run", "--json").rows[0]
    assert (would["would_settle"], would["more"]) == (2, True)
    assert not desk.audit()
    first = desk.run.ok("dlq", "replay", "--all", "--limit", "2", "--json").rows[0]
    assert (first["replayed"], first["more"]) == (2, True)
    second = desk.run.ok("dlq", "replay", "--all", "--limit", "2", "--json").rows[0]
    assert (second["replayed"], second["more"]) == (1, False)
    assert len(desk.read(SHIPMENTS)) == 3


ATTEMPTS = [
    (b"2", 3, 1, "below the limit"),
    (b"3", 3, 0, "refused as often as is allowed"),
    (b"3", 4, 1, "unless told otherwise"),
    (b"nine", 3, 1, "a number that we did not write is none"),
    (b"9" * 5_000, 3, 1, "nor is one that no counting reaches"),
]


@pytest.mark.parametrize(("attempt", "attempts_max", "replayed", "why"), ATTEMPTS)
def test_a_letter_that_was_refused_too_often_is_passed_over(
    desk: Desk, attempt: bytes, attempts_max: int, replayed: int, why: str
) -> None:
    desk.write(("ZT0000000000000", "schema", "s", [(dead_letters.ATTEMPT, attempt)]))
    options = ("--attempts-max", str(attempts_max))
    row = desk.run.ok("dlq", "replay", "--all", *options, "--json").rows[0]
    assert (row["replayed"], row["refused_too_often"]) == (replayed, 1 - replayed), why


def test_what_is_refused_again_and_again_ends_after_the_limit(desk: Desk) -> None:
    """The worker's part is played: it refuses everything, each time it is sent."""
    desk.write(THREE[0])
    producer = Producer(desk.client)
    for _ in range(10):
        seen = len(desk.read(SHIPMENTS))
        desk.run.ok("dlq", "replay", "--all")
        for message in desk.read(SHIPMENTS)[seen:]:
            again = dead_letter(message, Reject(0, RejectCode.UNKNOWN_OUTLET, "$", "s"), "match")
            producer.produce(
                desk.topics[SHIPMENTS_DLQ].name,
                again.value,
                again.key,
                headers=list(again.headers),
            )
        assert producer.flush(10) == 0
    assert len(desk.read(SHIPMENTS)) == 2
    attempts = [
        dict(headers_of(message))[dead_letters.ATTEMPT] for message in desk.read(SHIPMENTS_DLQ)
    ]
    assert attempts == [b"1", b"2", b"3"]


def test_a_crash_before_the_commit_leaves_nothing_and_the_next_command_does_it(
    desk: Desk,
) -> None:
    desk.write(*THREE)
    crashed = desk.settler()._producer
    crashed.init()
    crashed.begin()
    crashed.produce(desk.topics[SHIPMENTS].name, value(0), key=b"ZT0000000000000")
    crashed.produce(desk.topics[AUDIT].name, desk.box().record("dlq.replayed", DOING, ["0@0"], 1))
    crashed.deliver()  # Everything but the commit.
    assert desk.run.ok("dlq", "replay", "--all", "--json").rows[0]["replayed"] == 2
    assert len(desk.read(SHIPMENTS)) == 2
    assert [record["places"] for record in desk.audit()] == [["0@0", "0@1"]]


def test_of_two_commands_at_once_the_later_goes_on_and_nothing_is_sent_twice(desk: Desk) -> None:
    desk.write(*THREE)
    earlier = desk.settler()
    init = earlier._producer.init

    def init_and_be_overtaken() -> None:
        init()
        assert desk.settler().replay(DOING, limit=1).done == 1

    earlier._producer.init = init_and_be_overtaken  # type: ignore[method-assign]  # The moment between.
    with pytest.raises(KafkaRefused, match="another `realname dlq` command"):
        earlier.replay(DOING, limit=10)
    assert len(desk.read(SHIPMENTS)) == 1
    assert desk.settler().replay(DOING, limit=10).done == 1
    assert len(desk.read(SHIPMENTS)) == 2


def test_marks_are_of_a_topic_and_not_of_its_name(desk: Desk, admin: AdminClient) -> None:
    desk.write(*THREE)
    assert desk.settler().replay(DOING, limit=10).done == 2
    dlq = desk.topics[SHIPMENTS_DLQ]
    before = desk.box().topic_id
    admin.delete_topics([dlq.name])[dlq.name].result()
    while True:
        create_topics(admin, {SHIPMENTS_DLQ: dlq}, replication_factor=1)
        if desk.box().topic_id != before:
            break
    desk.write(THREE[0])
    assert desk.settler().replay(DOING, limit=10).done == 1
