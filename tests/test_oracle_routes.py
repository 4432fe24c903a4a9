"""The oracle's figures, to the last count, along every route: the stages, `realname replay`, and Kafka.

200,000 simulated records with every fault: early, late, repeated, backdated, revoked, voided, moved,
orphaned, out of order, after the close, and garbage. The oracle shares no code with the program.
A million take minutes: `pytest -m slow`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from typer.testing import CliRunner

from streams.cli.app import app
from streams.cli.inputs import INPUTS
from streams.domain.policy import Policy
from streams.domain.window import instant_text
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.dead_letters import CODE
from streams.kafka.loading import Loader, heartbeat_value
from streams.kafka.reference import ReferenceTopic
from streams.records.topics import (
    ALERTS,
    DAYS,
    PARCELS_MISSING,
    REFERENCE,
    SHIPMENTS,
    SHIPMENTS_DLQ,
    Topic,
)
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import assemble, plan_all
from streams.resources import config_dir
from streams.simulate.feed import Feed, SimulatedRecord
from streams.simulate.scenario import load_scenario
from streams.stages.pipeline import LogRecord, Pipeline
from tests import oracle
from tests.conftest import FEW_PARTITIONS
from tests.scenarios.outputs import Outputs
from tests.scenarios.worker import Cluster, WorkerProcess

POLICY = Policy()
SEED = 11
MILLIONTH = 1e-6

Row = dict[str, Any]


@dataclass(frozen=True)
class Played:
    """A play of the scenario of faults."""

    reference: Sequence[tuple[bytes, bytes | None]]
    records: Sequence[SimulatedRecord]
    until_ms: int

    def truth(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> oracle.Truth:
        return oracle.judge(records, oracle.read_reference(config_dir()), until_ms=self.until_ms)


@dataclass(frozen=True)
class Outcome:
    """What one route gave: the days by key, every change of an alert, missing waybills, dead letters."""

    days: Mapping[oracle.Key, Row]
    alerts: Sequence[Row]
    missing: set[str]
    dead_letters: Counter[str]


def play(parcels_per_day: int, region_parcels_per_day: int) -> Played:
    """Play the faults: of a region with so many parcels, the busiest outlets that have so many."""
    listings = read_files({k: config_dir() / n for k, n in FILE_NAMES.items()}, shipped_areas())
    applies = [(a.key, a.value) for a in plan_all({}, listings.values(), now_ms=0)]
    scenario = msgspec.structs.replace(
        load_scenario("faults"),
        region_parcels_per_day=region_parcels_per_day,
        parcels_per_day=parcels_per_day,
    )
    feed = Feed(scenario, seed=SEED, reference=assemble(applies).latest)
    assert feed.end_ms is not None
    return Played(applies, list(feed.records()), feed.end_ms + 3 * oracle.HOUR)


def through_stages(played: Played) -> Outcome:
    pipeline = Pipeline(POLICY, assemble(played.reference))
    outputs = pipeline.take(
        (LogRecord(record.key, record.value) for record in played.records), publish=False
    )
    outputs += pipeline.pass_time(played.until_ms)
    codes = [letter.reject.code.value for letter in pipeline.dead_letters]
    return outcome(((o.topic, o.key or b"", o.value) for o in outputs), codes)


def outcome(
    outputs: Iterable[tuple[str, bytes, bytes | None]], dead_letters: Iterable[str]
) -> Outcome:
    days: dict[oracle.Key, Row] = {}
    alerts: list[Row] = []
    missing: set[str] = set()
    for topic, key, value in outputs:
        if topic == DAYS:
            row = orjson.loads(value or b"")
            days[row["granularity"], row["scope_id"], row["date"]] = row
        elif topic == ALERTS:
            alerts.append(orjson.loads(value or b""))
        elif topic == PARCELS_MISSING:
            (missing.discard if value is None else missing.add)(key.decode())
    return Outcome(days, alerts, missing, Counter(dead_letters))


# --- the comparison ---


def check(truth: oracle.Truth, found: Outcome) -> None:
    """Compare with the oracle; scopes whose parcels have all gone elsewhere may stand with zeros."""
    assert found.dead_letters == truth.dead_letters
    assert found.missing == truth.missing
    counted = {key for key, figures in truth.days.items() if any(figures.values())}
    assert counted <= found.days.keys()
    for key, row in found.days.items():
        expected = expected_day(truth, key)
        assert differences(row, expected) == {}, key


def expected_day(truth: oracle.Truth, key: oracle.Key) -> Row:
    """Return what a day's record must say of the parcels. A category without any is left out there."""
    figures = Counter(dict.fromkeys(oracle.FIGURES, 0))
    figures.update(truth.days.get(key, Counter()))
    parts = {"loose": oracle.LOOSE, "batch": oracle.BATCH}
    expected: Row = {
        **figures,
        **oracle.rates(figures),
        **{
            name: part_row(oracle.part(truth, key, categories))
            for name, categories in parts.items()
        },
    }
    return expected


PART = ("eligible", "covered_on_time", "covered_late", "missing", "covered_young", "pending")


def part_row(figures: Mapping[str, int]) -> Row:
    return {**{name: figures[name] for name in PART}, "rate": oracle.rates(figures)["rate"]}


def differences(found: Row, expected: Row) -> Row:
    """Return what differs, as (found, expected). Counts must be equal; rates are to a millionth."""
    differing: Row = {}
    for name, wanted in expected.items():
        value = found[name]
        if isinstance(wanted, dict):
            alike = not differences(value, wanted)
        elif isinstance(wanted, float) and value is not None:
            alike = abs(value - wanted) <= MILLIONTH
        else:
            alike = value == wanted
        if not alike:
            differing[name] = (value, wanted)
    return differing


def check_categories(truth: oracle.Truth, found: Outcome) -> int:
    """Compare the parts by category; return how many there were."""
    compared = 0
    for key, row in found.days.items():
        by_category = truth.categories.get(key, {})
        for category, part in row["by_category"].items():
            expected = Counter(dict.fromkeys(oracle.FIGURES, 0))
            expected.update(by_category.get(category, Counter()))
            assert differences(part, part_row(expected)) == {}, (key, category)
        told = {name for name, figures in by_category.items() if figures["eligible"]}
        assert told <= row["by_category"].keys(), key
        compared += len(told)
    return compared


def check_first_issues(truth: oracle.Truth, found: Outcome) -> int:
    """Compare the first-issued figures of days whose bulletin is over; return how many there were."""
    compared = 0
    for key, row in found.days.items():
        issue, expected = row["first_issue"], truth.first.get(key, Counter())
        if issue is None or not issue["as_of"].endswith("T09:00:00+08:00"):
            # A scope that was first heard of after the bulletin is first issued later.
            assert not any(expected[name] for name in PART), key
            continue
        wanted = Counter(dict.fromkeys(oracle.FIGURES, 0))
        wanted.update(expected)
        rates = oracle.rates(wanted)
        told = {**part_row(wanted), "on_time_rate": rates["on_time_rate"]}
        assert differences(issue, told) == {}, key
        compared += 1
    return compared


def in_order(alerts: Sequence[Row]) -> list[Row]:
    """Return changes of alerts in an order that does not depend on partitions."""
    return sorted(alerts, key=lambda row: (row["last_at"], row["id"], row["episode"]))


def check_alerts(found: Outcome, undisturbed: Outcome) -> None:
    """The same changes of alerts, each once."""
    assert in_order(found.alerts) == in_order(undisturbed.alerts)
    raised = Counter((r["id"], r["episode"]) for r in found.alerts if r["reason"] == "raised")
    assert raised
    assert set(raised.values()) == {1}


# --- the routes ---


@pytest.fixture(scope="module")
def played() -> Played:
    return play(80_000, 600_000)


@pytest.fixture(scope="module")
def truth(played: Played) -> oracle.Truth:
    return played.truth((record.key, record.value) for record in played.records)


@pytest.fixture(scope="module")
def stages(played: Played) -> Outcome:
    return through_stages(played)


def test_the_play_has_everything_that_can_go_wrong(played: Played, truth: oracle.Truth) -> None:
    assert len(played.records) >= 200_000
    region = [f for (granularity, *_), f in truth.days.items() if granularity == "REGION"]
    together = sum(region, Counter[str]())
    assert {name for name in oracle.COUNTED if not together[name]} == set()
    assert len(truth.dead_letters) >= 8
    assert truth.missing


def test_the_stages_give_the_oracles_figures(truth: oracle.Truth, stages: Outcome) -> None:
    check(truth, stages)
    assert check_categories(truth, stages) > 1_000
    assert check_first_issues(truth, stages) > 500


def test_replay_gives_the_oracles_figures(tmp_path: Path) -> None:
    """Of a file: a line can be neither empty nor under another key, so less of it is garbage."""
    small = play(8_000, 60_000)
    file = tmp_path / "parcels.jsonl"
    values = [record.value for record in small.records]
    file.write_bytes(b"".join(v + b"\n" for v in values if v and b"\n" not in v))
    truth = small.truth(oracle.read_lines(file))
    found = through_replay(file, small.until_ms)
    assert len(truth.dead_letters) >= 8
    check(truth, found)
    check_categories(truth, found)
    check_first_issues(truth, found)


def through_replay(file: Path, until_ms: int) -> Outcome:
    command = ["replay", str(file), "--until", instant_text(until_ms), "--json", "--show-waybills"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    rows = [orjson.loads(line) for line in result.stdout.splitlines()]
    return Outcome(
        days={
            (row["granularity"], row["scope_id"], row["date"]): row
            for row in rows
            if row["kind"] == "day"
        },
        alerts=[row for row in rows if row["kind"] == "alert"],
        missing={row["waybill_no"] for row in rows if row["kind"] == "missing"},
        dead_letters=Counter(row["code"] for row in rows if row["kind"] == "reject"),
    )


def test_every_granularity_is_there(stages: Outcome) -> None:
    names = {granularity for granularity, *_ in stages.days}
    assert names == {"OUTLET", "COUNTY", "CITY", "ENTERPRISE", "ENTERPRISE_CITY", "REGION"}


class Kafka:
    """A cluster of its own topics with a worker place."""

    def __init__(self, cluster: Cluster, log_dir: Path) -> None:
        self._cluster = cluster
        self.worker = WorkerProcess(cluster, log_dir)

    def load(self, played: Played) -> None:
        cluster = self._cluster
        name = cluster.topics[REFERENCE].name
        ReferenceTopic(cluster.client, name).write(list(played.reference))
        loader = Loader(cluster.client, cluster.topics[SHIPMENTS].name)
        for record in played.records:
            loader.put(record.key, record.value)
        loader.beat(heartbeat_value(instant_text(POLICY.beat_ms(played.until_ms))))
        loader.finish()

    def outcome(self) -> Outcome:
        self.worker.wait_until_all_is_committed(INPUTS)
        outputs = Outputs(self._cluster)
        outputs.read()
        outputs.close()
        codes = [record.headers[CODE].decode() for record in outputs.records[SHIPMENTS_DLQ]]
        records = (
            (name, record.key, record.value)
            for name in (DAYS, ALERTS, PARCELS_MISSING)
            for record in outputs.records[name]
        )
        return outcome(records, codes)


@pytest.fixture
def kafka(broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str) -> Iterable[Kafka]:
    kafka = Kafka(Cluster(broker.bootstrap, prefix, topics, FEW_PARTITIONS), broker.data_dir)
    yield kafka
    kafka.worker.kill()


def through_kafka(kafka: Kafka, played: Played, *, kills: Sequence[float]) -> Outcome:
    """Load everything, and kill the worker whenever match has committed such a share of it."""
    kafka.load(played)
    kafka.worker.start()
    for share in kills:
        kafka.worker.wait_until("match", SHIPMENTS, committed=int(share * len(played.records)))
        kafka.worker.kill()
        assert kafka.worker.progress("match", SHIPMENTS) < len(played.records), "killed too late"
        kafka.worker.start()
    found = kafka.outcome()
    assert kafka.worker.stop() == 0
    return found


@pytest.mark.kafka
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param((), id="undisturbed"),
        pytest.param((0.3,), id="killed in the middle and started again"),
    ],
)
def test_kafka_and_a_worker_give_the_oracles_figures(
    played: Played, truth: oracle.Truth, stages: Outcome, kafka: Kafka, kills: Sequence[float]
) -> None:
    check_all(truth, through_kafka(kafka, played, kills=kills), undisturbed=stages)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_million_records_with_a_worker_that_is_killed_again_and_again(kafka: Kafka) -> None:
    played = play(400_000, 600_000)
    truth = played.truth((record.key, record.value) for record in played.records)
    assert len(played.records) > 1_000_000
    kills = [0.1, 0.2, 0.4, 0.6, 0.8, 0.9]
    found = through_kafka(kafka, played, kills=kills)
    check_all(truth, found, undisturbed=through_stages(played))


def check_all(truth: oracle.Truth, found: Outcome, *, undisturbed: Outcome) -> None:
    check(truth, found)
    assert check_categories(truth, found) > 1_000
    assert check_first_issues(truth, found) > 500
    check_alerts(found, undisturbed)
