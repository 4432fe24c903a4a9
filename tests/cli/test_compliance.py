"""`realname compliance tail`, and the commands that make an enterprise's topic, against a broker."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.topics import create_topics
from streams.records.topics import ALERTS, PARCELS_MISSING, Topic, compliance_topics
from tests.cli.conftest import Realname
from tests.stages.telling import ENTERPRISE, a_stage, batch, example

pytestmark = pytest.mark.kafka

WAYBILL = "ZT0000000000001"


@pytest.fixture
def here(broker: EmbeddedBroker, prefix: str, topics: Mapping[str, Topic]) -> Realname:
    return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)


@pytest.fixture
def told(broker: EmbeddedBroker, admin: AdminClient, prefix: str, here: Realname) -> Realname:
    """A topic with an alert, a missing parcel and its retraction."""
    create_topics(admin, compliance_topics([ENTERPRISE], prefix), replication_factor=1)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    alert = {**example("alert/v1/good/raised"), "enterprise_id": ENTERPRISE}
    parcel = {**example("missing_parcel/v1/good/loose"), "enterprise_id": ENTERPRISE}
    parcel["waybill_no"] = WAYBILL
    for topic, records in (
        (ALERTS, [(f"{alert['alert_id']}|1", alert)]),
        (PARCELS_MISSING, [(WAYBILL, parcel), (WAYBILL, None)]),
    ):
        stage = a_stage(topic)
        stage.apply(batch(records))
        for name, key, value, _, headers in stage.drain(publish=True).outputs:
            producer.produce(prefix + name, value, key, headers=dict(headers or ()))
            assert producer.flush(30) == 0
    return here


def test_tail_shows_a_line_for_each_event_with_waybills_masked(told: Realname) -> None:
    lines = told.ok("compliance", "tail", "--enterprise", ENTERPRISE).out.splitlines()
    assert [line.split("  ")[1].strip() for line in lines] == [
        "alert.raised",
        "parcel.missing",
        "parcel.retracted",
    ]
    assert "ZT0********0001" in lines[1]
    assert not [line for line in lines if WAYBILL in line]


def test_tail_gives_programs_the_json_form_of_cloudevents(told: Realname) -> None:
    rows = told.ok("compliance", "tail", "--enterprise", ENTERPRISE, "--json").rows
    assert [row["type"] for row in rows] == ["alert.raised", "parcel.missing", "parcel.retracted"]
    assert rows[0]["specversion"] == "1.0"
    assert rows[0]["data"]["alert_kind"] == "RATE_BELOW_TARGET"
    assert "data" not in rows[2]
    assert WAYBILL not in str(rows)
    (newest,) = told.ok(
        "compliance", "tail", "--enterprise", ENTERPRISE, "--json", "--last", "1"
    ).rows
    assert newest == rows[2]
    shown = told.ok("compliance", "tail", "--enterprise", ENTERPRISE, "--json", "--show-waybills")
    assert shown.rows[1]["data"]["waybill_no"] == WAYBILL


def test_tail_shows_only_the_types_that_are_wanted(told: Realname) -> None:
    out = told.ok("compliance", "tail", "--enterprise", ENTERPRISE, "--type", "alert").out
    assert len(out.splitlines()) == 1


def test_nobody_s_topic_is_told_in_one_line(here: Realname) -> None:
    result = here("compliance", "tail", "--enterprise", "nobody")
    assert result.code == 3
    assert "compliance.nobody does not exist" in result.err


def test_whoever_applies_outlets_makes_the_topics_of_their_enterprises(
    here: Realname, admin: AdminClient, prefix: str, tmp_path: Path
) -> None:
    outlets = tmp_path / "outlets.csv"
    outlets.write_text(
        "outlet_id,name,brand_code,enterprise_id,county_code,duty_group\n"
        "A,a,ZTO,E-1,150102,\nB,b,YUNDA,E-2,150102,\n",
        "utf8",
    )
    here.ok("outlets", "apply", str(outlets), "--dry-run")
    assert f"{prefix}compliance.E-1" not in admin.list_topics(timeout=10).topics
    here.ok("outlets", "apply", str(outlets))
    found = admin.list_topics(timeout=10).topics
    assert {f"{prefix}compliance.E-1", f"{prefix}compliance.E-2"} <= found.keys()
    assert len(found[f"{prefix}compliance.E-1"].partitions) == 3
    drifts = here("topics", "check", "--json").rows
    assert not [drift for drift in drifts if "compliance.E" in drift["topic"]]
