from typing import Any

import orjson
import pytest

from streams.reference.areas import shipped_areas
from streams.serve import view as limits
from streams.serve.rows import Incoming
from streams.serve.view import View
from tests.serve.conftest import filled, recorded, reference_records

REGION = ("REGION", "150000")


def record_of(topic: str, key: str) -> dict[str, Any]:
    """Return the latest recorded record of a key."""
    found = [r for r in recorded() if r.topic == topic and r.key == key.encode()]
    assert found[-1].value is not None
    record: dict[str, Any] = orjson.loads(found[-1].value)
    return record


def incoming(topic: str, key: str, record: object, at_ms: int = 0) -> Incoming:
    return Incoming(topic, key.encode(), None if record is None else orjson.dumps(record), at_ms)


def a_day(scope_id: str, date: str, granularity: str = "OUTLET") -> Incoming:
    record = record_of("days", "REGION|150000|2017-09-06")
    record |= {"granularity": granularity, "scope_id": scope_id, "date": date}
    return incoming("days", f"{granularity}|{scope_id}|{date}", record)


def an_alert(number: int, state: str, **more: object) -> Incoming:
    record = next(orjson.loads(r.value or b"") for r in recorded() if r.topic == "alerts")
    record |= {
        "alert_id": f"A:{number}",
        "state": state,
        "last_at": f"2017-09-06T{number:08}",
        **more,
    }
    return incoming("alerts", f"A:{number}|1", record)


def facts(view: View) -> dict[str, object]:
    return {
        "rates": {(r.granularity, r.scope_id): r.record for r in view.rates()},
        "days": {
            (r.granularity, r.scope_id, r.date): r.record for d in view.dates for r in view.days(d)
        },
        "alerts": {(r.alert_id, r.episode): r.record for r in view.alerts()},
        "curve": view.curve(*REGION, "2017-09-06"),
        "as_of": view.as_of,
    }


def test_a_scope_is_what_its_latest_record_says(view: View) -> None:
    row = view.rate(*REGION)
    assert row is not None
    assert orjson.loads(row.record) == record_of("rates", "REGION|150000")
    assert row.today.mature == row.today.covered + row.today.missing
    assert len(view.rates("CITY")) == 12
    assert view.as_of == "2017-09-06T12:40:00+08:00"


def test_reading_all_again_from_the_beginning_changes_nothing() -> None:
    view = filled()
    before = facts(view)
    view.apply(recorded())
    assert facts(view) == before


def test_topics_may_be_read_in_any_order_and_in_pieces_of_any_size() -> None:
    view = View(shipped_areas())
    for topic in ("alerts", "days", "rates"):
        mine = [record for record in recorded() if record.topic == topic]
        for begin in range(0, len(mine), 7):
            view.apply(mine[begin : begin + 7])
    view.apply(reference_records())
    assert facts(view) == facts(filled())


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("rates", "REGION|150000"),
        ("days", "REGION|150000|2017-09-06"),
        ("rates", "ENTERPRISE_CITY|911500000000010076|150400"),
        ("days", "ENTERPRISE_CITY|911500000000010076|150400|2017-09-06"),
    ],
)
def test_a_tombstone_removes_its_row_and_no_other(topic: str, key: str) -> None:
    view = filled()
    before = len(view.rates()), sum(len(view.days(date)) for date in view.dates)
    view.apply([incoming(topic, key, None)])
    after = len(view.rates()), sum(len(view.days(date)) for date in view.dates)
    assert after == (before[0] - (topic == "rates"), before[1] - (topic == "days"))


def test_a_tombstone_removes_an_alert() -> None:
    view = filled()
    before = len(view.alerts())
    view.apply([Incoming("alerts", recorded_alert_key(), None, 0)])
    assert len(view.alerts()) == before - 1


def recorded_alert_key() -> bytes:
    return next(record.key for record in recorded() if record.topic == "alerts")


@pytest.mark.parametrize(
    "bad",
    [
        Incoming("rates", b"REGION|150000", b"{", 0),
        Incoming("rates", b"REGION|150000", b"[]", 0),
        Incoming("days", b"REGION|150000|soon", b"{}", 0),
        Incoming("days", b"", b"{}", 0),
        Incoming("alerts", b"\xff|1", b"null", 0),
        Incoming("alerts.acks", b"A|1", b"{}", 0),
        Incoming("reference", b"outlets|9", b"not a snapshot", 0),
    ],
)
def test_what_cannot_be_read_is_counted_and_everything_else_stays(bad: Incoming) -> None:
    view = filled()
    before, names = facts(view), view.names
    view.apply([bad])
    assert view.invalid == 1
    assert facts(view) == before
    assert view.names.cities == names.cities
    assert view.names.outlet("150102-DB-0001") is not None


def test_a_later_version_with_more_fields_is_served_as_it_is() -> None:
    view = filled()
    record = {**record_of("rates", "REGION|150000"), "novelty": {"deep": 1}}
    view.apply([incoming("rates", "REGION|150000", record)])
    row = view.rate(*REGION)
    assert row is not None
    assert orjson.loads(row.record)["novelty"] == {"deep": 1}


def test_outlets_days_are_kept_for_a_week_and_the_others_for_forty_days() -> None:
    view = View(shipped_areas())
    dates = [f"2017-{month:02}-{day:02}" for month in (7, 8, 9) for day in range(1, 31)]
    for granularity in ("OUTLET", "CITY"):
        view.apply([a_day("X", date, granularity) for date in dates])
    kept = [(len(view.days_of(granularity, "X"))) for granularity in ("OUTLET", "CITY")]
    assert kept[0] == limits.OUTLET_DAYS_KEPT
    # August's 31st is not among the dates.
    assert kept[1] == limits.DAYS_KEPT - 1
    assert view.days_of("CITY", "X")[0].date == "2017-09-30"


def test_an_old_day_that_comes_late_is_not_taken_in() -> None:
    view = filled()
    view.apply([a_day("X", "2017-01-01")])
    assert view.days_of("OUTLET", "X") == []


def test_open_alerts_are_never_forgotten_and_the_oldest_ended_ones_are() -> None:
    view = View(shipped_areas())
    count = limits.ENDED_ALERTS_MAX + 1_500
    view.apply([an_alert(n, "firing" if n % 100 == 0 else "ended") for n in range(count)])
    open_ones = [row for row in view.alerts() if row.is_open]
    ended = [row for row in view.alerts() if not row.is_open]
    assert len(open_ones) == count // 100
    assert len(ended) == limits.ENDED_ALERTS_MAX
    assert min(row.last_at for row in ended) > "2017-09-06T00001000"


def test_after_clear_nothing_is_left_and_all_can_come_again() -> None:
    view = filled()
    before, revision = facts(view), view.revision
    view.clear()
    assert view.rates() == []
    assert view.alerts() == []
    assert view.dates == []
    assert view.as_of is None
    assert view.revision > revision
    view.apply(reference_records())
    view.apply(recorded())
    assert facts(view) == before


def test_an_acknowledgement_belongs_to_one_episode() -> None:
    view = filled()
    row = next(row for row in view.alerts() if row.is_open)
    ack = {
        "alert_id": row.alert_id,
        "episode": row.episode,
        "by": "officer",
        "note": "",
        "acked_at": "2017-09-06T12:41:00+08:00",
    }
    view.apply([incoming("alerts.acks", f"{row.alert_id}|{row.episode}", ack)])
    view.apply([incoming("alerts.acks", f"{row.alert_id}|{row.episode + 1}", ack | {"by": "next"})])
    found = view.ack(row)
    assert found is not None
    assert found.by == "officer"


@pytest.mark.parametrize(
    ("granularity", "scope_id", "zh", "en"),
    [
        ("REGION", "150000", "内蒙古自治区", "Inner Mongolia"),
        ("CITY", "150400", "赤峰市", "Chifeng"),
        ("COUNTY", "150403", "元宝山区", "元宝山区, Chifeng"),
        ("ENTERPRISE", "911500000000010041", "韵达", "Yunda"),
        ("ENTERPRISE_CITY", "911500000000010041|150400", "韵达 · 赤峰市", "Yunda, Chifeng"),
        ("OUTLET", "150102-DB-0001", "德邦 新城区体育场路营业部", "Deppon 新城区体育场路营业部"),
        ("CITY", "999900", "999900", "999900"),
        ("OUTLET", "nowhere", "nowhere", "nowhere"),
        ("PLANET", "earth", "earth", "earth"),
    ],
)
def test_scopes_have_names_in_words(
    view: View, granularity: str, scope_id: str, zh: str, en: str
) -> None:
    name = view.names.scope(granularity, scope_id)
    assert (name.zh, name.en) == (zh, en)


def test_the_curve_keeps_the_latest_point_of_each_quarter_hour_in_order(view: View) -> None:
    points = view.curve(*REGION, "2017-09-06")
    times = [point.at for point in points]
    assert times == sorted(times)
    assert len(points) > 10
    row = view.rate(*REGION)
    assert row is not None
    assert (points[-1].at, points[-1].rate) == (row.as_of, row.today.rate)
