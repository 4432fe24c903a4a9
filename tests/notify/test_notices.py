"""What an alert is called at an Alertmanager, and what it says there."""

from dataclasses import fields, replace
from typing import Any

import pytest

from streams.domain.alert import AlertKind
from streams.domain.period import Granularity
from streams.domain.verdict import Severity
from streams.notify.names import Ids, ReferenceNames
from streams.notify.notices import (
    ALL,
    LABELS,
    LEVELS,
    SEVERITY_LABELS,
    NoticeKey,
    alert_name,
    key_of_labels,
    keys_of,
    labels_of,
    notices_of,
    watchdog,
)
from streams.notify.texts import Links, annotations_of, duration, share
from streams.records.acks import AlertAck
from streams.records.published import AlertRecord, Evidence
from streams.reference.areas import shipped_areas
from streams.reference.types import Outlet, Reference, ReferenceHistory
from tests.notify.builders import MINUTE_MS, RAISED_MS, ended, raised_as, record

LINKS = Links("https://wiki/runbooks/", "https://board/?g={granularity}&s={scope_id}")


def test_every_kind_severity_and_granularity_is_known() -> None:
    assert set(SEVERITY_LABELS) == {severity.name for severity in Severity}
    assert set(LEVELS) == {granularity.value.lower() for granularity in Granularity}
    assert {alert_name(kind.value) for kind in AlertKind} == {
        "RealNameRateBelowTarget",
        "RealNameRateAtRisk",
        "RealNameChannelSilent",
    }


REGION = raised_as(city_code=None, county_code=None, enterprise_id=None)
CITY = raised_as(county_code=None, enterprise_id=None)

# What an alert is of, and the labels that say where it is.
PLACES: list[tuple[str, AlertRecord, dict[str, str]]] = [
    (
        "an outlet's names all that it belongs to",
        record(),
        {
            "level": "outlet",
            "region": "150000",
            "city": "150100",
            "county": "150105",
            "outlet": "150105-DB-0001",
            "enterprise": "911500000000010092",
        },
    ),
    (
        "a city's has no county, outlet or enterprise",
        record("150100", granularity="CITY", raised=CITY),
        {"level": "city", "region": "150000", "city": "150100", "county": ALL, "outlet": ALL},
    ),
    (
        "the region's is everywhere",
        record("150000", granularity="REGION", raised=REGION),
        {"level": "region", "region": "150000", "city": ALL, "county": ALL, "enterprise": ALL},
    ),
    (
        "an enterprise's is in no one place",
        record("E1", granularity="ENTERPRISE", raised=replace(REGION, enterprise_id="E1")),
        {"level": "enterprise", "region": ALL, "city": ALL, "enterprise": "E1"},
    ),
    (
        "without an event period the event is all, its level routine",
        record(raised=raised_as(event_period_id=None, event_level=None)),
        {"event": ALL, "event_level": "ROUTINE"},
    ),
]


@pytest.mark.parametrize(
    ("alert", "expected"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES]
)
def test_labels_say_where(alert: AlertRecord, expected: dict[str, str]) -> None:
    labels = labels_of(alert, "page")
    assert labels.items() >= expected.items()
    assert tuple(labels) == LABELS
    assert all(labels.values()), "Alertmanager strips empty labels"


# Everything that may change in an episode. A label among them would be a second page.
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("it becomes milder", {"severity": "MINOR"}),
    (
        "it becomes worse, from one page to another",
        {"severity": "CRITICAL", "severity_highest": "CRITICAL"},
    ),
    ("its figures change", {"observed": 0.5, "n": 900, "evidence": Evidence(window="TODAY")}),
    ("its target changes", {"target": 0.98, "parcel_category": "LOOSE"}),
    ("its period hands over to the next", {"event_period_id": "EP2017-NEXT"}),
    ("its period is over, and the routine target holds", {"event_period_id": None}),
    ("its outlet moves", {"county_code": "150102", "enterprise_id": "E2", "duty_group": "g"}),
    ("it clears", {"state": "clearing", "reason": "changed"}),
    ("it is emitted again", {"reason": "reemitted"}),
    ("it ends", {"state": "ended", "reason": "recovered", "duration_s": 60}),
    ("another rule book is in force", {"caliber_id": "c2"}),
]


@pytest.mark.parametrize(
    "changes", [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_no_change_in_an_episode_changes_its_identity(changes: dict[str, Any]) -> None:
    before, after = record(), replace(record(), **changes)
    assert keys_of(after) == keys_of(before)
    assert labels_of(after, "page") == labels_of(before, "page")


def test_every_field_that_may_change_is_tried() -> None:
    tried = {name for _, changes in CHANGES for name in changes}
    fixed = {"id", "alert_id", "episode", "alert_kind", "granularity", "scope_id", "first_at"}
    raised = {"raised", "city_code", "last_at"}
    assert tried | fixed | raised == {field.name for field in fields(AlertRecord)}


def test_a_ticket_that_becomes_a_page_is_both_to_its_end() -> None:
    ticket = record(raised=raised_as(severity="MINOR"))
    grown = replace(ticket, severity="MAJOR", severity_highest="MAJOR")
    milder = replace(grown, severity="MINOR")
    assert [key.severity for key in keys_of(ticket)] == ["ticket"]
    for later in (grown, milder, ended(milder, RAISED_MS + MINUTE_MS)):
        assert [key.severity for key in keys_of(later)] == ["page", "ticket"]


def test_a_new_episode_is_a_new_alert() -> None:
    assert keys_of(record()) != keys_of(record(episode=2))


def test_an_alertmanagers_alert_is_recognised() -> None:
    labels = labels_of(record(), "page")
    assert key_of_labels(labels) == NoticeKey(
        "RATE_BELOW_TARGET:OUTLET:150105-DB-0001", "1", "page"
    )
    assert key_of_labels({"alertname": "NodeDown"}) is None
    assert key_of_labels({**labels, "cluster": "b"}) is None, "another identity"


def test_start_and_end_are_the_records() -> None:
    (fires,) = notices_of(record(), {}, url="", ahead_ms=1)
    (over,) = notices_of(ended(record(), RAISED_MS + MINUTE_MS), {}, url="", ahead_ms=1)
    assert (fires.starts_ms, fires.ended_ms) == (RAISED_MS, None)
    assert (over.starts_ms, over.ended_ms) == (RAISED_MS, RAISED_MS + MINUTE_MS)


def test_the_watchdog_has_every_label() -> None:
    dog = watchdog({}, starts_ms=0, ahead_ms=1, url="")
    assert tuple(dog.labels) == LABELS
    assert dog.labels["alertname"] == "Watchdog"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.949999, "94.99%"), (0.95, "95.00%"), (1.0, "100.00%"), (0.0, "0.00%"), (None, "–")],
)
def test_a_share_below_its_target_never_looks_as_if_it_had_reached_it(
    value: float | None, shown: str
) -> None:
    assert share(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59, "0min"), (720, "12min"), (3900, "1h 05min"), (183_600, "2d 3h")]
)
def test_durations_are_for_people(seconds: int, shown: str) -> None:
    assert duration(seconds) == shown


def test_annotations_tell_figures_in_both_languages() -> None:
    found = annotations_of(record(), Ids(), LINKS)
    assert found["rate"] == "84.99%"
    assert found["target"] == "95.00%"
    assert (found["parcels"], found["covered"], found["missing"]) == ("60", "51", "9")
    assert found["upper_bound"] == "93.00%"
    assert found["window"] == "TODAY 2017-09-08"
    assert found["grade"] == "MAJOR"
    assert "150105-DB-0001" in found["summary"]
    assert found["summary_zh"] == "实名率低于目标：网点150105-DB-0001 84.99%（目标 95.00%）"
    assert "漏录 9 件" in found["description_zh"]
    assert found["runbook_url"] == "https://wiki/runbooks/RateBelowTarget.md"
    assert found["dashboard_url"] == "https://board/?g=OUTLET&s=150105-DB-0001"
    assert "end_reason" not in found


def test_an_ended_alert_tells_why_its_last_figures_and_how_long_it_was() -> None:
    last = ended(record(), RAISED_MS + 65 * MINUTE_MS, observed=0.97)
    found = annotations_of(last, Ids(), LINKS)
    assert (found["end_reason"], found["end_reason_zh"]) == ("recovered", "已恢复")
    assert found["rate"] == "97.00%", "the rate that it recovered to, not the one that paged"
    assert found["duration"] == "1h 05min"
    assert found["ended_at"] == last.last_at
    assert found["summary_zh"].startswith("【结束】")


@pytest.mark.parametrize(
    ("evidence", "en", "zh"),
    [
        (Evidence("TODAY", breaching=9, judged=10), "9 of 10 outlets", "10 个网点中 9 个"),
        (Evidence("SILENCE", collections=34), "34 parcels collected", "已收寄 34 件"),
    ],
    ids=["outlets fail at once", "nothing is registered"],
)
def test_a_silent_channel_tells_how_it_was_noticed(evidence: Evidence, en: str, zh: str) -> None:
    silent = record(kind="CHANNEL_SILENT", target=None, observed=None, evidence=evidence)
    found = annotations_of(silent, Ids(), LINKS)
    assert en in found["description"]
    assert zh in found["description_zh"]


@pytest.mark.parametrize(
    ("note", "en", "zh"),
    [
        ("calling", " Taken on by li, 08:00: calling.", "li 已于 08:00 接手：calling。"),
        ("", " Taken on by li, 08:00.", "li 已于 08:00 接手。"),
    ],
    ids=["with a note", "without one"],
)
def test_who_has_taken_it_on_is_told_in_both_languages(note: str, en: str, zh: str) -> None:
    ack = AlertAck(record().alert_id, 1, "li", note, "08:00")
    found = annotations_of(record(), Ids(), LINKS, ack)
    assert found["description"].endswith(en)
    assert found["description_zh"].endswith(zh)
    assert (found["acked_by"], found["acked_at"], found["ack_note"]) == ("li", "08:00", note)


def test_names_come_from_the_reference_data_and_ids_stand_in() -> None:
    outlet = Outlet(1, "150105-DB-0001", "体育场路营业部", "DB", "E", "150105", "")
    history = ReferenceHistory([Reference(version=1, outlets={outlet.outlet_id: outlet})])
    names = ReferenceNames(history, shipped_areas())
    cases = [
        (record(), "体育场路营业部（150105-DB-0001）"),
        (record("150105-DB-0009"), "网点150105-DB-0009"),
        (record("150105", granularity="COUNTY"), "呼和浩特市赛罕区"),
        (record("150100", granularity="CITY"), "呼和浩特市"),
        (record("E|150100", granularity="ENTERPRISE_CITY"), "呼和浩特市企业911500000000010092"),
    ]
    assert [names.scope(alert).zh for alert, _ in cases] == [name for _, name in cases]
    assert names.period("EP-GONE").en == "EP-GONE"
