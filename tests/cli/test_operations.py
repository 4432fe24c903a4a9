"""Commands for operators, against a broker: doctor, state, setup, worker."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.cli.inputs import STATES
from streams.cli.worker import worker_config
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.state_log import changes, snapshot
from streams.records.topics import Topic
from streams.settings import load_settings
from tests.cli.conftest import Realname, Result
from tests.conftest import FEW_PARTITIONS

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]
Log = Callable[[str, int, Sequence[bytes]], None]


@pytest.fixture
def here(
    broker: EmbeddedBroker, prefix: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> Realname:
    for name, count in FEW_PARTITIONS.items():
        monkeypatch.setenv(f"REALNAME_PARTITIONS__{name.replace('.', '_').upper()}", str(count))
    return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)


@pytest.fixture
def log(broker: EmbeddedBroker, topics: Topics) -> Log:
    def write(name: str, partition: int, values: Sequence[bytes]) -> None:
        producer = Producer(client_config(broker.bootstrap, client_id="tests"))
        for value in values:
            producer.produce(topics[name].name, value, partition=partition)
        assert producer.flush(10) == 0

    return write


def commit(broker: EmbeddedBroker, group: str, topic: Topic, offsets: Mapping[int, int]) -> None:
    settings = client_config(broker.bootstrap, client_id="tests")
    consumer = Consumer({**settings, "group.id": group})
    places = [TopicPartition(topic.name, p, offset) for p, offset in offsets.items()]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


class TestDoctor:
    def statuses(self, result: Result) -> dict[str, str]:
        return {row["check"]: row["status"] for row in result.rows}

    def test_without_topics_the_remedy_is_to_create_them(self, broker: EmbeddedBroker) -> None:
        result = Realname("--bootstrap", broker.bootstrap, "--prefix", "no.")("doctor", "--json")
        assert result.code == 3
        assert self.statuses(result) == {"settings": "ok", "broker": "ok", "topics": "failed"}
        assert "realname topics create" in result.rows[-1]["detail"]

    def test_without_a_broker_nothing_else_is_looked_at(self) -> None:
        result = Realname("--bootstrap", "127.0.0.1:1")("doctor", "--json")
        assert result.code == 3
        assert self.statuses(result) == {"settings": "ok", "broker": "failed"}
        assert "realname broker start" in result.rows[-1]["remedy"]

    def test_without_outlets_it_fails_and_without_workers_it_warns(self, here: Realname) -> None:
        result = here("doctor", "--json")
        assert result.code == 1
        assert self.statuses(result) == {
            **dict.fromkeys(["settings", "broker", "topics", "clock"], "ok"),
            "reference data": "failed",
            **dict.fromkeys([f"worker: {stage}" for stage, _ in STATES], "warning"),
        }
        assert "-> run `realname setup`" in here("doctor").out

    def test_after_setup_all_is_well_and_a_worker_is_asked_for(self, here: Realname) -> None:
        assert "Next: realname worker" in here.ok("setup").err
        result = here.ok("doctor", "--json")
        assert self.statuses(result)["reference data"] == "ok"
        here.ok("load", "-", stdin='{"waybill_no": "ZT1"}')
        clock = here.ok("doctor", "--json").rows[-1]
        assert (clock["check"], clock["status"]) == ("clock", "ok")
        assert "the newest record came" in clock["detail"]

    def test_compliance_is_looked_at_unless_a_region_does_without(
        self,
        here: Realname,
        broker: EmbeddedBroker,
        topics: Topics,
        prefix: str,
        *,
        log: Log,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def told() -> list[str]:
            rows = here("doctor", "--json").rows
            return [row["detail"] for row in rows if row["check"] == "worker: compliance"]

        log("shipments.dlq", 0, [b"{}"] * 3)
        assert told() == ["0 running, 3 records behind"]
        monkeypatch.setenv("REALNAME_AGENTS", "match,rate,rollup")
        assert told() == []
        commit(broker, f"{prefix}compliance", topics["shipments.dlq"], {0: 1})
        assert told() == ["0 running, 2 records behind"]

    def test_a_missing_topic_of_an_enterprise_is_a_missing_topic(
        self, here: Realname, admin: AdminClient, topics: Topics, prefix: str
    ) -> None:
        here.ok("setup")
        assert self.statuses(here.ok("doctor", "--json"))["topics"] == "ok"
        named = {name for name in admin.list_topics(timeout=10).topics if name.startswith(prefix)}
        gone = min(named - {topic.name for topic in topics.values()})
        assert gone.startswith(f"{prefix}compliance.")
        admin.delete_topics([gone], operation_timeout=30)[gone].result()
        result = here("doctor", "--json")
        assert (result.code, result.rows[2]["check"]) == (3, "topics")
        assert gone in result.rows[2]["detail"]


class TestState:
    @pytest.fixture(autouse=True)
    def _logs(self, log: Log, broker: EmbeddedBroker, topics: Topics, prefix: str) -> None:
        log("match.state", 0, changes(0, 5, [b"a"]) + changes(5, 9, []))
        log("match.state", 1, [*changes(0, 4, [b"a", b"b"]), *snapshot(4, [b"c"])])
        commit(broker, f"{prefix}match", topics["shipments"], {0: 9, 1: 4})

    def verify(self, here: Realname, *options: str) -> dict[tuple[str, int], str]:
        rows = here("state", "verify", "--json", *options).rows
        return {(row["stage"], row["partition"]): row["problem"] for row in rows}

    def test_logs_are_listed_beside_what_is_committed(self, here: Realname) -> None:
        rows = here.ok("state", "list", "--stage", "match", "--json").rows
        assert [(r["partition"], r["log_records"], r["committed"]) for r in rows] == [
            (0, 2, 9),
            (1, 5, 4),
        ]
        assert "rollup" in here.ok("state", "list").out

    def test_sound_logs_are_said_to_be(self, here: Realname) -> None:
        result = here.ok("state", "verify", "--json")
        assert [row["sound"] for row in result.rows] == [
            True
        ] * 11  # 2 + 2 + 1, and 6 that compliance reads.
        assert (result.rows[0]["reaches"], result.rows[1]["reaches"]) == (9, 4)

    def test_a_log_behind_its_group_is_not_sound(
        self, here: Realname, broker: EmbeddedBroker, topics: Topics, prefix: str
    ) -> None:
        commit(broker, f"{prefix}match", topics["shipments"], {0: 10})
        problems = self.verify(here, "--stage", "match")
        assert "counted twice" in problems["match", 0]
        assert problems["match", 1] == ""
        assert here("state", "verify").code == 1

    def test_a_log_with_a_gap_names_the_place(self, here: Realname, log: Log) -> None:
        log("match.state", 0, changes(12, 13, []))
        problems = self.verify(here, "--stage", "match", "--partition", "0")
        assert problems == {
            ("match", 0): "at offset 2: a gap: it has reached input offset 9, "
            "and the next record goes on at 12"
        }

    def test_a_log_that_ends_in_the_middle_is_not_sound(self, here: Realname, log: Log) -> None:
        log("match.state", 1, list(snapshot(4, [b"c"]))[:1])
        assert "in the middle" in self.verify(here)["match", 1]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["verify", "--stage", "sort"], "take match, rate, rollup or compliance"),
            (["verify", "--partition", "99"], "there is no partition 99"),
            (["rebuild"], "to do it, add --yes"),
        ],
    )
    def test_what_cannot_be_done_is_exit_code_2(
        self, here: Realname, options: list[str], expected: str
    ) -> None:
        result = here("state", *options)
        assert (result.code, expected in result.err) == (2, True)

    def test_rebuild_empties_all_states_and_groups(self, here: Realname) -> None:
        here.ok("state", "rebuild", "--yes")
        rows = here.ok("state", "list", "--json").rows
        assert {(row["log_records"], row["committed"]) for row in rows} == {(0, None)}
        assert here.ok("topics", "check").code == 0
        here.ok("state", "rebuild", "--yes")

    def test_rebuild_of_compliance_leaves_the_others(self, here: Realname) -> None:
        here.ok("state", "rebuild", "--stage", "compliance", "--yes")
        rows = here.ok("state", "list", "--stage", "match", "--json").rows
        assert {row["committed"] for row in rows} == {9, 4}

    def test_rebuild_refuses_while_a_worker_runs(
        self, here: Realname, topics: Topics, member: Callable[[str, Topic], None], prefix: str
    ) -> None:
        member(f"{prefix}match", topics["shipments"])
        result = here("state", "rebuild", "--yes")
        assert (result.code, "Workers still run match" in result.err) == (1, True)
        workers = {row["check"]: row["status"] for row in here("doctor", "--json").rows}
        assert (workers["worker: match"], workers["worker: rate"]) == ("ok", "warning")

    def test_rebuild_refuses_when_records_are_gone(
        self, here: Realname, log: Log, broker: EmbeddedBroker, topics: Topics
    ) -> None:
        log("shipments", 1, [b"{}", b"{}"])
        place = TopicPartition(topics["shipments"].name, 1, 1)
        admin = AdminClient(client_config(broker.bootstrap, client_id="tests"))
        for future in admin.delete_records([place]).values():
            future.result()
        result = here("state", "rebuild", "--yes")
        assert (result.code, "in 1 partitions" in result.err) == (1, True)
        here.ok("state", "rebuild", "--yes", "--from-what-is-left")


@pytest.fixture
def member(broker: EmbeddedBroker) -> Iterator[Callable[[str, Topic], None]]:
    """Make members of groups, which leave with the test."""
    consumers: list[Consumer] = []

    def join(group: str, topic: Topic) -> None:
        settings = client_config(broker.bootstrap, client_id="tests")
        consumer = Consumer({**settings, "group.id": group, "auto.offset.reset": "earliest"})
        consumers.append(consumer)
        consumer.subscribe([topic.name])
        while not consumer.assignment():
            consumer.poll(0.1)

    yield join
    for consumer in consumers:
        consumer.close()


def test_a_worker_runs_as_the_settings_say() -> None:
    overrides = {"agents": "match,rate", "slot": "a", "flush_ms": "1s", "clock": "data"}
    config = worker_config(load_settings({**overrides, "kafka": {"sasl.username": "u"}}).settings)
    assert (config.agents, config.slot, config.flush_s, config.clock) == (
        *(("match", "rate"), "a"),
        *(1.0, "data"),
    )
    assert config.kafka == {"sasl.username": "u"}


def test_a_worker_without_topics_is_exit_code_3(broker: EmbeddedBroker) -> None:
    there = Realname("--bootstrap", broker.bootstrap, "--prefix", "no.")
    assert there("worker", "--agents", "match").code == 3
    assert there("worker", "--agents", "sort").code == 2
