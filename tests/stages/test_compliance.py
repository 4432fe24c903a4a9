"""What an enterprise is told of what was published: tables of records and the events that they make."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from streams.domain.period import EventPeriod
from streams.domain.window import instant_from_text, instant_text
from streams.records import compliance
from streams.records.refusals import Refusal, encode
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING, RATES, SHIPMENTS_DLQ
from streams.reference.types import ReferenceHistory
from streams.stages.stage import Batch
from tests.builders import a_period, at
from tests.stages.telling import (
    ENTERPRISE,
    OUTLET,
    Event,
    Record,
    a_history,
    a_stage,
    changed,
    event_of,
    example,
    told_of,
)

RATE = example("rate/v1/good/outlet")
DAY = example("day/v1/good/provisional")
RAISED = example("alert/v1/good/raised")
ENDED = example("alert/v1/good/ended")
MISSING = example("missing_parcel/v1/good/loose")

Changes = dict[str, Any]
VERSIONS = itertools.count(2)


def rate(time: str, **changes: object) -> Record:
    record = changed(
        RATE, {"as_of": instant_text(at(time)), **{_path(n): v for n, v in changes.items()}}
    )
    return f"{record['granularity']}|{record['scope_id']}", record


def day(date: str, **changes: object) -> Record:
    record = changed(DAY, {"date": date, **{_path(n): v for n, v in changes.items()}})
    return f"{record['granularity']}|{record['scope_id']}|{date}", record


def alert(base: Changes, **changes: object) -> Record:
    record = changed(base, {_path(name): value for name, value in changes.items()})
    return f"{record['alert_id']}|{record['episode']}", record


def missing(waybill: str, **changes: object) -> Record:
    return waybill, changed(MISSING, {"waybill_no": waybill, **changes})


def _path(name: str) -> str:
    return name.replace("__", ".")


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


NEWS = compliance.RATE_UPDATED


@pytest.mark.parametrize(
    ("records", "times", "why"),
    [
        ([rate("14:20")], ["14:20"], "a scope that was never told of is news"),
        ([rate("14:20"), rate("14:20")], ["14:20"], "the same again is not"),
        ([rate("14:20"), rate("14:21", today__missing=16)], ["14:20"], "counts move all the time"),
        (
            [rate("14:20"), rate("14:21", today__rate=0.7549)],
            ["14:20"],
            "less than half a point is no news",
        ),
        (
            [rate("14:20"), rate("14:21", today__rate=0.7549), rate("14:22", today__rate=0.755)],
            ["14:20", "14:22"],
            "half a point since it was told is, however slowly it came",
        ),
        (
            [rate("14:20"), rate("14:21", trailing_24h__rate=None)],
            ["14:20", "14:21"],
            "no rate where there was one is news",
        ),
        (
            [rate("14:20"), rate("14:21", verdict__rate_status="OK", verdict__severity=None)],
            ["14:20", "14:21"],
            "a verdict is",
        ),
        ([rate("14:20"), rate("14:21", verdict__target=0.95)], ["14:20", "14:21"], "a target is"),
        ([rate("14:20"), rate("14:21", date="2017-09-09")], ["14:20", "14:21"], "a day is"),
        (
            [rate("14:20"), rate("15:01", scope_id="other", enterprise_id="E2")],
            ["14:20", "15:00", "15:01"],
            "at a whole hour every scope is told, by the clock of whatever comes",
        ),
        (
            [rate("14:20"), rate("14:59"), rate("15:00", today__missing=16)],
            ["14:20", "15:00"],
            "the hour finds the figures before it; those of its own tick are no news then",
        ),
        (
            [rate("14:20"), rate("19:40", today__missing=16)],
            ["14:20", "19:00"],
            "of hours in which nothing came only the last is told",
        ),
        (
            [rate("14:20"), rate("+9 14:20", enterprise_id=None, scope_id="150100")],
            ["14:20"],
            "a scope without parcels for eight days is forgotten",
        ),
        ([rate("14:20", enterprise_id=None)], [], "what is nobody's is told to nobody"),
        ([("OUTLET|x", None)], [], "a tombstone says nothing"),
    ],
)
def test_rates(records: list[Record], times: list[str], why: str) -> None:
    events = told_of(a_stage(RATES), records)
    assert [event.attributes["time"] for event in events] == [instant_text(at(t)) for t in times], (
        why
    )
    assert {event.type for event in events} <= {NEWS}


CLOSED, REVISED = compliance.DAY_CLOSED, compliance.DAY_REVISED


@pytest.mark.parametrize(
    ("records", "expected", "why"),
    [
        ([day("2017-09-08", revision=0, day_status="OPEN")], [], "a day that is not over"),
        ([day("2017-09-08")], [CLOSED], "its first issue"),
        ([day("2017-09-08"), day("2017-09-08", missing=3)], [CLOSED], "the same issue later"),
        ([day("2017-09-08"), day("2017-09-08", revision=3)], [CLOSED, REVISED], "issued anew"),
        (
            [day("2017-09-08"), day("2017-09-08", day_status="FINAL")],
            [CLOSED, REVISED],
            "that it is final is worth telling though no figure moved",
        ),
        ([day("2017-09-08", enterprise_id=None)], [], "a city's"),
        (
            [day("2017-09-08"), day("2017-09-20", revision=0), day("2017-09-08", revision=9)],
            [CLOSED],
            "twelve days later nobody can revise it",
        ),
    ],
)
def test_days(records: list[Record], expected: list[str], why: str) -> None:
    assert types(told_of(a_stage(DAYS), records)) == expected, why


CHANGED = {"reason": "changed", "last_at": "2017-09-08T14:40:00+08:00", "severity": "CRITICAL"}
AGAIN = {"reason": "reemitted", "last_at": "2017-09-09T14:20:00+08:00"}


@pytest.mark.parametrize(
    ("records", "expected", "why"),
    [
        ([alert(RAISED)], ["alert.raised"], "raised"),
        ([alert(RAISED), alert(RAISED)], ["alert.raised"], "a repeat"),
        (
            [alert(RAISED), alert(RAISED, **CHANGED), alert(ENDED)],
            ["alert.raised", "alert.changed", "alert.ended"],
            "a whole life",
        ),
        ([alert(RAISED), alert(RAISED, **AGAIN)], ["alert.raised", "alert.changed"], "a day later"),
        ([alert(ENDED), alert(RAISED)], ["alert.ended"], "what is older than what was told"),
        (
            [alert(RAISED), alert(RAISED, reason="superseded", state="ended")],
            ["alert.raised", "alert.ended"],
            "raised and superseded at one tick",
        ),
        ([alert(RAISED, enterprise_id=None)], [], "a county's"),
    ],
)
def test_alerts(records: list[Record], expected: list[str], why: str) -> None:
    assert types(told_of(a_stage(ALERTS), records)) == expected, why


W1, W2 = "ZT0000000000001", "ZT0000000000002"


@pytest.mark.parametrize(
    ("records", "expected", "why"),
    [
        ([missing(W1)], ["parcel.missing"], "missing"),
        ([missing(W1), missing(W1)], ["parcel.missing"], "a repeat"),
        ([missing(W1), (W1, None)], ["parcel.missing", "parcel.retracted"], "covered"),
        ([(W1, None)], [], "nobody was told of it"),
        ([missing(W1), (W1, None), (W1, None)], ["parcel.missing", "parcel.retracted"], "once"),
        (
            [missing(W1), (W1, None), missing(W1)],
            ["parcel.missing", "parcel.retracted", "parcel.missing"],
            "missing again, since a registration was revoked",
        ),
        (
            [missing(W1), missing(W1, outlet_id="other", enterprise_id="E2")],
            ["parcel.missing", "parcel.retracted", "parcel.missing"],
            "it was another's: taken back from the one, told to the other",
        ),
        (
            [missing(W1), missing(W2, missing_since="2017-09-15T14:20:00+08:00")],
            ["parcel.missing", "parcel.expired", "parcel.missing"],
            "after seven days its waybill goes",
        ),
    ],
)
def test_parcels(records: list[Record], expected: list[str], why: str) -> None:
    events = told_of(a_stage(PARCELS_MISSING), records)
    assert types(events) == expected, why
    assert len({event.attributes["id"] for event in events}) == len(events)


def refusal(time: str, source: str = "zto-app", code: str = "schema") -> Record:
    facts = Refusal(source, code, "$.outlet_id", "ZT0********0001", at(time), "3@17")
    return "", json.loads(encode(facts))


@pytest.mark.parametrize(
    ("records", "counts", "why"),
    [
        ([refusal("14:20")], [1], "the first"),
        ([refusal("14:20")] * 10, [*range(1, 11)], "each of the first ten"),
        ([refusal("14:20")] * 30, [*range(1, 12), 13, 15, 17, 19, 21, 24, 27, 30], "then tenths"),
        (
            [*[refusal("14:20")] * 12, refusal("14:30", code="bad_time")],
            [*range(1, 12), 12, 1],
            "and after ten minutes what was left out",
        ),
        ([refusal("14:20", source="yd-app")], [1], "of whose source it is"),
        ([refusal("14:20", source="unknown")], [], "nobody's"),
        ([refusal("14:20", source="")], [], "not even a source could be read"),
        ([refusal("14:20"), refusal("+1 14:20")], [1, 1], "a new day counts anew"),
    ],
)
def test_refusals(records: list[Record], counts: list[int], why: str) -> None:
    events = told_of(a_stage(SHIPMENTS_DLQ), records)
    assert [event.data["count"] for event in events if event.data] == counts, why


def test_each_gets_its_own_and_nothing_of_others() -> None:
    records = [
        rate("14:20"),
        rate("14:20", enterprise_id="E2", scope_id="150202-YD-0001"),
        rate("14:20", enterprise_id=None, granularity="CITY", scope_id="150100"),
    ]
    events = told_of(a_stage(RATES), records)
    topics = [(event.topic, event.attributes["subject"]) for event in events]
    assert topics == [
        (f"compliance.{ENTERPRISE}", f"OUTLET|{OUTLET}"),
        ("compliance.E2", "OUTLET|150202-YD-0001"),
    ]


def enterprise_rate(time: str) -> Record:
    return rate(time, granularity="ENTERPRISE", scope_id=ENTERPRISE, city_code=None)


@pytest.mark.parametrize(
    ("clocks", "expected", "why"),
    [
        (["01:00"], [("period.declared", "declared")], "told as soon as there is a clock"),
        (["01:00", "02:00"], [("period.declared", "declared")], "once"),
        (
            ["01:00", "+1 00:00"],
            [("period.declared", "declared"), ("period.ended", "over")],
            "its end ends it",
        ),
        (
            ["01:00", "+1 00:00", "+1 00:01", "+2 10:00"],
            [("period.declared", "declared"), ("period.ended", "over")],
            "for good",
        ),
        (["+1 00:00"], [], "nobody is told of what is over"),
    ],
)
def test_periods(clocks: list[str], expected: list[tuple[str, str]], why: str) -> None:
    events = told_of(a_stage(RATES), [enterprise_rate(clock) for clock in clocks])
    periods = [e for e in events if e.key.startswith("period|")]
    assert [(e.type, (e.data or {})["reason"]) for e in periods] == expected, why


def test_a_period_elsewhere_concerns_nobody_here() -> None:
    history = with_periods(a_period(origin_codes=("150600",)))
    events = told_of(a_stage(RATES, history), [enterprise_rate("01:00")])
    assert types(events) == [NEWS]


def test_a_period_that_changes_is_told_anew_and_one_that_is_removed_is_withdrawn() -> None:
    history = with_periods(a_period())
    stage = a_stage(RATES, history)
    first = told_of(stage, [enterprise_rate("01:00")])
    history.become(with_periods(a_period(end="+2 00:00")))
    second = told_of(stage, [enterprise_rate("01:01")])
    history.become(with_periods())
    third = told_of(stage, [enterprise_rate("01:02")])
    told = [e for e in (*first, *second, *third) if e.key.startswith("period|")]
    assert [(e.type, (e.data or {})["reason"]) for e in told] == [
        ("period.declared", "declared"),
        ("period.declared", "changed"),
        ("period.ended", "withdrawn"),
    ]
    assert told[2].attributes["causationid"] == told[1].attributes["id"]


def with_periods(*periods: EventPeriod) -> ReferenceHistory:
    reference = a_history().latest
    version = next(VERSIONS)
    return ReferenceHistory([replace(reference, version=version, periods=periods)])


def test_what_is_linked_leads_from_a_parcel_to_the_alert_it_ends_up_in() -> None:
    (parcel,) = told_of(a_stage(PARCELS_MISSING), [missing(W1, outlet_id=OUTLET)])
    (figures,) = told_of(a_stage(RATES), [rate("14:20")])
    (raised,) = told_of(a_stage(ALERTS), [alert(RAISED)])
    (closed,) = told_of(a_stage(DAYS), [day("2017-09-08")])
    linked = {e.attributes["correlationid"] for e in (parcel, figures, raised, closed)}
    assert linked == {f"OUTLET|{OUTLET}|2017-09-08"}


@pytest.mark.parametrize(
    ("topic", "records"),
    [
        (ALERTS, [alert(RAISED), alert(RAISED, **CHANGED)]),
        (ALERTS, [alert(RAISED), alert(ENDED)]),
        (DAYS, [day("2017-09-08"), day("2017-09-08", revision=3)]),
        (PARCELS_MISSING, [missing(W1), (W1, None)]),
    ],
)
def test_what_follows_names_the_event_that_it_follows_on(topic: str, records: list[Record]) -> None:
    first, second = told_of(a_stage(topic), records)
    assert second.attributes["causationid"] == first.attributes["id"]
    assert first.key == second.key, "compaction leaves the present state"


@pytest.mark.parametrize(
    ("topic", "record", "fields", "why"),
    [
        (RATES, rate("14:20", today__eligible=4), ["today"], "four parcels"),
        (
            RATES,
            rate(
                "14:20",
                trailing_7d__covered_on_time=1,
                trailing_7d__covered_late=0,
                trailing_7d__missing=2,
            ),
            ["trailing_7d"],
            "three mature ones of many",
        ),
        (RATES, rate("14:20", verdict__n=1), ["verdict"], "a target of every single parcel"),
        (DAYS, day("2017-09-08", eligible=4), ["figures"], "a day of four"),
        (ALERTS, alert(RAISED, n=1), [], "an alert of one parcel is told, its figures are not"),
    ],
)
def test_small_cells_are_withheld(topic: str, record: Record, fields: list[str], why: str) -> None:
    (event,) = told_of(a_stage(topic), [record])
    assert event.data is not None
    found = event.data
    for field in fields:
        found = found[field]
    assert found["withheld"] is True, why
    numbers = [v for n, v in found.items() if isinstance(v, int | float) and n not in KEPT]
    assert not [v for v in numbers if not isinstance(v, bool)], why


KEPT = {"target", "episode", "duration_s"}


def test_a_parcels_waybill_is_whole_and_marked_as_restricted() -> None:
    event, back = told_of(a_stage(PARCELS_MISSING), [missing(W1), (W1, None)])
    assert event.data is not None
    assert event.data["waybill_no"] == W1
    assert back.data is None, "a tombstone: compaction takes the waybill out"
    for told in (event, back):
        assert told.attributes["dataclassification"] == "restricted"


def test_a_stage_refuses_a_record_twice() -> None:
    stage = a_stage(ALERTS)
    told_of(stage, [alert(RAISED)])
    with pytest.raises(AssertionError, match="twice"):
        stage.apply(Batch([0], [b"k"], [None], [0]))


def test_what_is_drained_is_there_until_the_commit() -> None:
    stage = a_stage(ALERTS)
    key, value = alert(RAISED)
    stage.apply(Batch([0], [key.encode()], [json.dumps(value).encode()], [0]))
    first, again = stage.drain(publish=False), stage.drain(publish=True)
    assert first == again
    assert [event_of(output).type for output in first.outputs] == ["alert.raised"]
    stage.committed()
    assert not stage.drain(publish=True).outputs


def test_the_same_instant_in_another_cluster_has_the_same_id() -> None:
    ids = [
        [e.attributes["id"] for e in told_of(a_stage(topic), records)]
        for topic, records in (
            (RATES, [rate("14:20")]),
            (RATES, [rate("14:10"), rate("14:20", verdict__target=0.95), rate("14:20")]),
        )
    ]
    assert ids[0] == ids[1][-1:], "the same figures at the same tick, whatever came before"
    assert instant_from_text("2017-09-08T14:20:00+08:00") == at("14:20")
