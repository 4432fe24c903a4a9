"""Commands that write to Kafka or show what is in it, against a broker."""

import json
from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.cli.inputs import INPUTS
from streams.kafka import dead_letters
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.reading import end_offsets
from streams.records.topics import COMPLIANCE, COMPLIANCE_INPUTS, Topic
from tests.cli.conftest import Realname

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]
Written = tuple[str | None, object | None]

WAYBILLS = ("ZT0000000000001", "ZT0000000000002", "ZT0000000000003")


@pytest.fixture
def here(broker: EmbeddedBroker, prefix: str, topics: Topics) -> Realname:
    return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)


def write(
    broker: EmbeddedBroker,
    topic: Topic,
    records: Sequence[Written],
    headers: dict[str, str | bytes | None] | None = None,
) -> None:
    producer = Producer(client_config(broker.bootstrap, client_id="tests"))
    for key, value in records:
        data = None if value is None else json.dumps(value).encode()
        producer.produce(topic.name, data, key=key, headers=headers)
    assert producer.flush(10) == 0


def read(broker: EmbeddedBroker, topic: Topic) -> list[tuple[int, bytes | None, bytes | None]]:
    consumer = Consumer(
        {
            **client_config(broker.bootstrap, client_id="tests"),
            "group.id": "tests-reader",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic.name, p, 0) for p in range(topic.partitions)])
    found, ends = [], 0
    while ends < topic.partitions:
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ends += 1
        else:
            found.append((message.partition() or 0, message.key(), message.value()))
    consumer.close()
    return found


def murmur2(data: bytes) -> int:
    """Kafka's Utils.murmur2, as unsigned 32 bits."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for at in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    tail = data[len(data) - len(data) % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


class TestLoad:
    def test_lines_are_sent_as_they_stand_where_java_would_put_them(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics
    ) -> None:
        lines = [json.dumps({"waybill_no": key, "piece": "件"}) for key in WAYBILLS]
        result = here.ok("load", "-", "--json", stdin="\n".join(lines) + "\r\n\n")
        assert result.rows == [{"sent": 3, "refused": 0, "heartbeats": 0}]
        found = read(broker, topics["shipments"])
        assert {key for _, key, _ in found} == {key.encode() for key in WAYBILLS}
        for partition, key, value in found:
            assert key is not None
            assert partition == (murmur2(key) & 0x7FFFFFFF) % 2
            assert value is not None
            assert value.decode() in lines

    def test_lines_without_a_place_are_refused_with_their_number_and_unquoted(
        self, here: Realname
    ) -> None:
        lines = [
            '{"waybill_no": "ZT0000000000001"}',
            '{"waybill_no": "ZT0000000000002"',
            '["ZT0000000000002"]',
            '{"waybill_no": 5}',
            '{"waybill_no": ""}',
            '{"type": "unheard.of"}',
            "",
            '{"waybill_no": "ZT0000000000003"}',
        ]
        result = here.ok("load", "-", stdin="\n".join(lines))
        assert "2 sent, 5 refused" in result.out
        for line in (
            "line 2 refused: no JSON",
            "line 3 refused: no JSON object",
            "line 4 refused: no JSON object, or its waybill_no is no text",
            "line 5 refused: has no waybill_no",
            "line 6 refused: has no waybill_no",
        ):
            assert line in result.err
        assert "ZT0000" not in result.err

    def test_until_ends_with_a_heartbeat_in_every_partition(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics
    ) -> None:
        result = here.ok(
            "load", "-", "--until", "2017-09-09T04:00:00Z", stdin='{"waybill_no": "ZT1"}'
        )
        assert "1 sent, 0 refused, 2 heartbeats" in result.out
        found = read(broker, topics["shipments"])
        last = {partition: value for partition, _, value in found}
        beat = {"type": "stream.heartbeat", "received_at": "2017-09-09T12:01:00.001+08:00"}
        assert [json.loads(value or b"") for value in last.values()] == [beat, beat]

    def test_a_heartbeat_in_the_file_goes_to_every_partition(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics
    ) -> None:
        beat = '{"type":"stream.heartbeat","received_at":"2017-09-09T12:00:00+08:00"}'
        here.ok("load", "-", stdin=beat)
        assert sorted(p for p, _, _ in read(broker, topics["shipments"])) == [0, 1]

    @pytest.mark.parametrize(
        ("arguments", "stdin", "expected"),
        [
            (["nowhere.jsonl"], None, "nowhere.jsonl cannot be read"),
            (["."], None, "is a folder"),
            (["-", "--until", "2017-09-09"], "", "is not a time with an offset"),
            (["-"], "a,b\nc,d\n", "one JSON object per line"),
        ],
    )
    def test_what_cannot_be_loaded_is_exit_code_2(
        self, here: Realname, arguments: list[str], stdin: str | None, expected: str
    ) -> None:
        result = here("load", *arguments, stdin=stdin)
        assert result.code == 2
        assert expected in result.err

    def test_a_topic_that_is_not_there_is_exit_code_3(self, broker: EmbeddedBroker) -> None:
        result = Realname("--bootstrap", broker.bootstrap, "--prefix", "none.")(
            "load", "-", stdin=""
        )
        assert result.code == 3
        assert "run `realname topics create`" in result.err


class TestMissing:
    PARCELS: Sequence[Written] = [
        (
            waybill_no,
            {
                "waybill_no": waybill_no,
                "outlet_id": outlet_id,
                "enterprise_id": "E1",
                "county_code": "150105",
                "parcel_category": "LOOSE",
                "collected_at": "2017-09-08T10:15:30+08:00",
                "missing_since": "2017-09-08T12:20:00+08:00",
            },
        )
        for waybill_no, outlet_id in (
            ("ZT0000000000001", "B"),
            ("ZT0000000000002", "A"),
            ("ZT0000000000003", "A"),
        )
    ]

    @pytest.fixture(autouse=True)
    def _parcels(self, broker: EmbeddedBroker, topics: Topics) -> None:
        covered: Sequence[Written] = [("ZT0000000000003", None)]
        write(broker, topics["parcels.missing"], [*self.PARCELS, *covered])

    def test_parcels_are_listed_by_outlet_and_masked(self, here: Realname) -> None:
        rows = here.ok("missing", "--json").rows
        assert [(r["outlet_id"], r["waybill_no"]) for r in rows] == [
            ("A", "ZT0********0002"),
            ("B", "ZT0********0001"),
        ]
        table = here.ok("missing")
        assert "ZT0********0002" in table.out
        assert "ZT0000000000002" not in table.out
        assert "2 parcels" in table.err

    def test_one_outlets_waybills_can_be_shown_whole(self, here: Realname) -> None:
        rows = here.ok("missing", "--outlet", "B", "--show-waybills", "--json").rows
        assert [row["waybill_no"] for row in rows] == ["ZT0000000000001"]

    def test_nothing_missing_is_said_and_is_well(self, here: Realname) -> None:
        result = here.ok("missing", "--outlet", "C")
        assert (result.out, result.err.strip()) == ("", "No parcel is missing here.")


def test_dead_letters_are_counted_by_reason_and_masked(
    here: Realname, broker: EmbeddedBroker, topics: Topics
) -> None:
    for number, (code, path) in enumerate(
        [("schema", "$.outlet_id"), ("bad_time", "$.time"), ("schema", "$.outlet_id")]
    ):
        headers: dict[str, str | bytes | None] = {
            dead_letters.CODE: code,
            dead_letters.PATH: path,
            dead_letters.SOURCE: "/anyidi",
            dead_letters.PARTITION: "1",
            dead_letters.OFFSET: str(number),
        }
        key = f"ZT000000000000{number}"
        write(broker, topics["shipments.dlq"], [(key, {"secret": key})], headers=headers)
    first, second = here.ok("dlq", "list", "--json", "--samples", "1").rows
    assert (first["code"], first["path"], first["source"], first["count"]) == (
        *("schema", "$.outlet_id", "/anyidi"),
        2,
    )
    assert first["samples"] == ["ZT0********0000 0@0"]
    assert (second["code"], second["count"]) == ("bad_time", 1)
    assert "secret" not in here.ok("dlq", "list").out


def test_no_dead_letters_are_said(here: Realname) -> None:
    assert "No record was refused" in here.ok("dlq", "list").err


class TestRates:
    def window(self, rate: float | None) -> dict[str, object]:
        return {"eligible": 60, "missing": 15, "pending": 7, "rate": rate}

    def rate(self, granularity: str, scope_id: str) -> Written:
        verdict = {"target": 0.9, "rate_status": "BREACH"}
        value = {
            "granularity": granularity,
            "scope_id": scope_id,
            "date": "2017-09-08",
            "today": self.window(0.75),
            "trailing_24h": self.window(0.5),
            "trailing_7d": self.window(None),
            "verdict": verdict,
        }
        return f"{granularity}|{scope_id}", value

    def day(self, scope_id: str, date: str) -> Written:
        value = {"granularity": "ENTERPRISE_CITY", "scope_id": scope_id, "date": date}
        return f"ENTERPRISE_CITY|{scope_id}|{date}", {**value, "rate": 0.75, "day_status": "OPEN"}

    @pytest.fixture(autouse=True)
    def _published(self, broker: EmbeddedBroker, topics: Topics) -> None:
        rates = [self.rate("OUTLET", "X"), self.rate("REGION", "150000"), self.rate("OUTLET", "Y")]
        write(broker, topics["rates"], rates)
        days = [self.day("E1|150100", "2017-09-08"), self.day("E1|150100", "2017-09-07")]
        write(broker, topics["days"], [*days, self.day("E2|150100", "2017-09-08")])

    def scopes(self, here: Realname, *options: str) -> list[str]:
        return [row["scope_id"] for row in here.ok("rates", "--json", *options).rows]

    def test_rates_now_go_from_the_whole_to_its_parts(self, here: Realname) -> None:
        assert self.scopes(here) == ["150000", "X", "Y"]
        assert self.scopes(here, "--granularity", "outlet") == ["X", "Y"]
        assert self.scopes(here, "--granularity", "REGION", "--granularity", "CITY") == ["150000"]
        assert self.scopes(here, "--id", "Y") == ["Y"]

    def test_a_table_shows_shares_as_such_and_the_lack_of_one(self, here: Realname) -> None:
        table = here.ok("rates", "--id", "X").out
        for cell in ("75.00%", "50.00%", "–", "90.00%", "BREACH"):
            assert cell in table

    def test_a_day_is_found_by_its_date_also_where_the_scope_has_a_bar(
        self, here: Realname
    ) -> None:
        assert self.scopes(here, "--date", "2017-09-08") == ["E1|150100", "E2|150100"]
        assert self.scopes(here, "--date", "2017-09-08", "--id", "E1|150100") == ["E1|150100"]
        assert self.scopes(here, "--date", "2017-09-09") == []
        assert "OPEN" in here.ok("rates", "--date", "2017-09-07").out

    @pytest.mark.parametrize(
        "options", [["--date", "8 Sep"], ["--granularity", "village"]], ids=" ".join
    )
    def test_what_cannot_be_asked_is_exit_code_2(self, here: Realname, options: list[str]) -> None:
        assert here("rates", *options).code == 2


class TestAlerts:
    def alert(self, alert_id: str, episode: int, severity: str, state: str) -> Written:
        value = {
            "alert_id": alert_id,
            "episode": episode,
            "severity": severity,
            "state": state,
            "first_at": "2017-09-08T14:20:00+08:00",
        }
        return f"{alert_id}|{episode}", value

    @pytest.fixture(autouse=True)
    def _published(self, broker: EmbeddedBroker, topics: Topics) -> None:
        records = [
            self.alert("A", 1, "MAJOR", "firing"),
            self.alert("A", 1, "MAJOR", "ended"),
            self.alert("A", 2, "MINOR", "firing"),
            self.alert("B", 1, "CRITICAL", "clearing"),
        ]
        write(broker, topics["alerts"], records)

    def test_open_alerts_come_most_severe_first(self, here: Realname) -> None:
        rows = here.ok("alerts", "--json").rows
        assert [(row["alert_id"], row["episode"]) for row in rows] == [("B", 1), ("A", 2)]

    def test_all_has_ended_ones_last(self, here: Realname) -> None:
        rows = here.ok("alerts", "--all", "--json").rows
        assert [(row["alert_id"], row["state"]) for row in rows] == [
            ("B", "clearing"),
            ("A", "firing"),
            ("A", "ended"),
        ]
        assert "CRITICAL" in here.ok("alerts").out


class TestWait:
    def commit(self, broker: EmbeddedBroker, prefix: str, stage: str, topic: Topic) -> None:
        """Commit the end of a stage's input, as its worker would."""
        group = f"{prefix}{stage}"
        settings = client_config(broker.bootstrap, client_id="tests")
        consumer = Consumer({**settings, "group.id": group})
        ends = end_offsets(AdminClient(settings), topic.name)
        places = [TopicPartition(topic.name, p, end) for p, end in ends.items()]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()

    def test_without_any_worker_time_runs_out(self, here: Realname) -> None:
        result = here("wait", "--timeout", "0.3", "--json")
        assert (result.code, result.rows[0]["stage"]) == (1, "match")
        assert "match is behind in 2 of 2 partitions" in result.err
        assert "realname doctor" in result.err

    def test_it_is_over_when_each_stage_has_committed_the_end_of_its_input(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics, prefix: str
    ) -> None:
        write(broker, topics["shipments"], [(key, {}) for key in WAYBILLS])
        inputs = (("match", "shipments"), ("rate", "counts"), ("rollup", "totals"))
        for stage, name in inputs:
            waiting = here("wait", "--timeout", "0")
            assert waiting.code == 1
            assert f"{stage} is behind" in waiting.err
            self.commit(broker, prefix, stage, topics[name])
        assert here.ok("wait", "--timeout", "0").out == ""
        write(broker, topics["totals"], [(None, {})])
        behind = here("wait", "--timeout", "0")
        assert (behind.code, "rollup is behind in 1 of 1" in behind.err) == (1, True)

    def test_compliance_is_waited_for_once_a_worker_has_run_it(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics, prefix: str
    ) -> None:
        for stage, name in INPUTS:
            self.commit(broker, prefix, stage, topics[name])
        write(broker, topics["rates"], [("key", {})])
        stages = [row["stage"] for row in here.ok("wait", "--timeout", "0", "--json").rows]
        assert stages == ["match", "rate", "rollup"]
        first, *others = COMPLIANCE_INPUTS
        self.commit(broker, prefix, COMPLIANCE, topics[first])
        behind = here("wait", "--timeout", "0")
        assert behind.code == 1
        # What has no commit is behind, as with the others: nobody has seen that it is empty.
        without = sum(topics[name].partitions for name in others)
        read = without + topics[first].partitions
        assert f"compliance is behind in {without} of {read} partitions" in behind.err
        for name in others:
            self.commit(broker, prefix, COMPLIANCE, topics[name])
        stages = [row["stage"] for row in here.ok("wait", "--timeout", "0", "--json").rows]
        assert stages == ["match", "rate", "rollup", "compliance"]
        write(broker, topics["alerts"], [("key", {})])
        behind = here("wait", "--timeout", "0")
        assert f"compliance is behind in 1 of {read} partitions, by 1" in behind.err
