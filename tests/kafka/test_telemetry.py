"""What a worker tells of its stages is what the stages that there are can show."""

from collections.abc import Mapping
from functools import cache

import pytest

from streams.agents.telemetry import Telemetry
from streams.domain.policy import Policy
from streams.domain.window import instant_from_text
from streams.metrics import Metrics
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import history_of
from streams.resources import config_dir
from streams.simulate.feed import open_scenario
from streams.stages.pipeline import LogRecord, Pipeline
from streams.stages.stage import Stage

NOON_MS = instant_from_text("2017-09-06T12:00:00+08:00")


@cache
def stages() -> Mapping[str, Stage]:
    """All three at noon of a morning with faults."""
    files = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    history = history_of(read_files(files, shipped_areas()).values())
    feed = open_scenario("demo-short", seed=1, reference=history.latest)
    pipeline = Pipeline(Policy(), history)
    records = (record for record in feed.records() if record.received_at_ms <= NOON_MS)
    pipeline.take(LogRecord(record.key, record.value) for record in records)
    pipeline.pass_time(NOON_MS)
    links = {"match": pipeline._match, "rate": pipeline._rate, "rollup": pipeline._rollup}
    return {name: link.stage for name, link in links.items()}


def exposed(metrics: Metrics) -> dict[str, str]:
    lines = metrics.expose().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("realname_"))


@pytest.mark.parametrize("stage", ["rate", "rollup"])
def test_a_stage_that_judges_tells_its_last_tick(stage: str) -> None:
    metrics = Metrics()
    Telemetry(stage, metrics).states({0: stages()[stage]})
    told = exposed(metrics)[f'realname_tick_time_seconds{{stage="{stage}"}}']
    assert float(told) == NOON_MS / 1000


def test_match_tells_its_stream_time_and_open_parcels() -> None:
    metrics = Metrics()
    Telemetry("match", metrics).states({0: stages()["match"]})
    told = exposed(metrics)
    assert float(told['realname_stream_time_seconds{stage="match"}']) >= NOON_MS / 1000
    assert float(told["realname_open_parcels"]) > 1000


def test_rollup_tells_open_alerts_until_its_partition_is_gone() -> None:
    metrics = Metrics()
    telemetry = Telemetry("rollup", metrics)
    telemetry.states({0: stages()["rollup"]})
    told = exposed(metrics)
    assert float(told['realname_alerts_active{kind="RATE_BELOW_TARGET",severity="MAJOR"}']) >= 1
    telemetry.states({})
    left = exposed(metrics)
    assert not [name for name in left if name.startswith(("realname_alerts", "realname_tick"))]


def test_a_stage_that_has_judged_nothing_tells_no_tick() -> None:
    """An alert on a missing metric is right then; one on a tick of 1970 would be wrong."""
    files = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    history = history_of(read_files(files, shipped_areas()).values())
    metrics = Metrics()
    pipeline = Pipeline(Policy(), history)
    Telemetry("rate", metrics).states({0: pipeline._rate.stage})
    assert 'realname_tick_time_seconds{stage="rate"}' not in exposed(metrics)


def test_the_clocks_and_a_producer_lost_are_told_before_they_are_wrong() -> None:
    """A counter that begins with its first event has no increase that a rule could see."""
    metrics = Metrics()
    telemetry = Telemetry("match", metrics)
    name = 'realname_transaction_aborts_total{reason="producer_lost",stage="match"}'
    assert exposed(metrics)[name] == "0.0"
    telemetry.clock(-1_500)
    assert exposed(metrics)["realname_kafka_clock_ahead_seconds"] == "-1.5"
