import pytest

from streams.domain.category import Category
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Phase, Target
from streams.domain.window import instant_from_text
from streams.reference.areas import shipped_areas
from streams.serve.access import OPEN, Access
from streams.serve.periods import shown, target_of_all
from streams.serve.rows import Incoming
from streams.serve.summary import ALERTS_SHOWN, WORST_SHOWN, Summarist
from streams.serve.view import View
from tests.serve.conftest import ROUTINE_TARGET, filled, reference_records
from tests.serve.test_view import an_alert, incoming, record_of

NOON_MS = instant_from_text("2017-09-06T12:00:00+08:00")


def rates_of(granularity: str, scope_id: str, **more: object) -> Incoming:
    record = record_of("rates", "REGION|150000")
    verdict = record["verdict"] | more.pop("verdict", {})
    record |= {"granularity": granularity, "scope_id": scope_id, "verdict": verdict, **more}
    return incoming("rates", f"{granularity}|{scope_id}", record)


def test_the_headline_is_the_regions_record(view: View) -> None:
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    record = record_of("rates", "REGION|150000")
    today, verdict = record["today"], record["verdict"]
    assert board.headline is not None
    assert board.headline.rate == today["rate"]
    assert board.headline.missing == today["missing"]
    assert board.headline.rate_status == verdict["rate_status"]
    assert board.headline.target == verdict["target"] == 0.95
    assert board.headline.covered / board.headline.mature == pytest.approx(today["rate"], abs=1e-6)
    assert board.previous is not None
    assert board.previous.rate == record_of("days", "REGION|150000|2017-09-05")["rate"]
    assert board.as_of == record["as_of"]


def test_all_twelve_cities_are_there_in_order_even_those_that_send_nothing(view: View) -> None:
    cities = sorted(view.names.cities)
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    assert [area.scope.scope_id for area in board.areas] == cities
    silent = filled()
    silent.apply([Incoming("rates", b"CITY|150100", None, 0)])
    areas = Summarist(silent, ROUTINE_TARGET).summary(OPEN).areas
    assert [area.scope.scope_id for area in areas] == cities
    assert [area.scope.scope_id for area in areas if area.figures is None] == ["150100"]


def test_after_midnight_the_figures_are_those_of_the_day_that_is_judged() -> None:
    view = filled()
    empty = record_of("rates", "REGION|150000")["today"] | {"rate": None, "covered_on_time": 0}
    empty |= {"covered_late": 0, "missing": 0, "pending": 900, "on_time_rate": None}
    as_of = "2017-09-07T00:30:00+08:00"
    view.apply([rates_of("REGION", "150000", date="2017-09-07", today=empty, as_of=as_of)])
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    day = record_of("days", "REGION|150000|2017-09-06")
    assert board.headline is not None
    assert (board.headline.date, board.headline.rate) == ("2017-09-06", day["rate"])
    assert board.headline.missing == day["missing"]
    assert board.curve is not None
    assert board.curve.date == "2017-09-06"
    assert board.curve.points


def test_worst_are_breaches_before_risks_by_shortfall_then_by_missing_parcels() -> None:
    view = View(shipped_areas())
    view.apply([rates_of("REGION", "150000")])

    def outlet(name: str, status: str, rate: float, n: int, **more: object) -> Incoming:
        covered = round(rate * n)
        verdict = {"rate_status": status, "rate": rate, "n": n, "covered": covered, **more}
        return rates_of("OUTLET", name, verdict=verdict)

    view.apply(
        [
            outlet("fine", "OK", 1.0, 50),
            outlet("few", "INSUFFICIENT", 0.1, 3),
            outlet("risk", "AT_RISK", 0.2, 20),
            outlet("breach", "BREACH", 0.8, 100),
            outlet("worse", "BREACH", 0.5, 20),
            outlet("as bad, but larger", "BREACH", 0.5, 40),
            outlet("silent", "UNKNOWN", 0.0, 40),
            outlet("of yesterday", "BREACH", 0.0, 40, date="2017-09-05"),
        ]
    )
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    names = [figures.scope.scope_id for figures in board.worst]
    assert names == ["as bad, but larger", "worse", "breach", "risk"]


def test_of_many_only_the_first_are_shown_and_all_are_counted() -> None:
    view = filled()
    view.apply([an_alert(n, "firing") for n in range(ALERTS_SHOWN + 5)])
    view.apply(
        [
            rates_of("OUTLET", f"X{n}", verdict={"rate_status": "BREACH", "rate": 0.1})
            for n in range(WORST_SHOWN + 5)
        ]
    )
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    assert len(board.alerts) == ALERTS_SHOWN
    assert sum(board.alert_counts.values()) == sum(row.is_open for row in view.alerts())
    assert len(board.worst) == WORST_SHOWN
    assert board.breaching_outlets == sum(row.status == "BREACH" for row in view.rates("OUTLET"))


def test_alerts_come_the_most_severe_first_then_the_greater_scope_then_the_latest(
    view: View,
) -> None:
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    order = ["CRITICAL", "MAJOR", "MINOR", "INFO"]
    greatness = ["REGION", "ENTERPRISE", "CITY", "ENTERPRISE_CITY", "COUNTY", "OUTLET"]
    places = [(order.index(a.severity), greatness.index(a.scope.granularity)) for a in board.alerts]
    assert len(places) > 10
    assert places == sorted(places)
    assert all(alert.state in ("firing", "clearing") for alert in board.alerts)


@pytest.mark.parametrize(
    "access",
    [OPEN, Access("city", city_code="150100"), Access("nobody", enterprise_id="none")],
)
def test_before_any_figures_there_is_a_board_without_them(access: Access) -> None:
    view = View(shipped_areas())
    for records in ([], reference_records()):
        view.apply(records)
        board = Summarist(view, ROUTINE_TARGET).summary(access)
        assert board.headline is None
        assert board.curve is None
        assert board.alerts == []
        assert board.scope.name.zh


def period(
    rate: float,
    *,
    granularity: Granularity = Granularity.CITY,
    category: Category | None = None,
    origin: tuple[str, ...] = (),
    destination: tuple[str, ...] = (),
    start: str = "2017-09-06T00:00:00+08:00",
) -> EventPeriod:
    start_ms = instant_from_text(start)
    phase = Phase(EventPhase.CORE, start_ms, start_ms + 3 * 86_400_000)
    targets = (Target(granularity, category, rate, None),)
    return EventPeriod(
        "E", "某活动", "An event", EventLevel.L2, origin, destination, (phase,), targets, None
    )


TARGETS: list[tuple[str, list[EventPeriod], float]] = [
    ("no period: the routine target", [], 0.90),
    ("an active one", [period(0.95)], 0.95),
    ("the strictest of two", [period(0.92), period(0.95)], 0.95),
    ("even one below the routine", [period(0.5)], 0.5),
    ("another granularity's", [period(0.95, granularity=Granularity.OUTLET)], 0.90),
    ("of some parcels only", [period(0.95, category=Category.LOOSE)], 0.90),
    ("to a host city only", [period(0.95, destination=("150600",))], 0.90),
    ("not begun", [period(0.95, start="2017-09-07T00:00:00+08:00")], 0.90),
    ("over", [period(0.95, start="2017-09-01T00:00:00+08:00")], 0.90),
    ("from this city", [period(0.95, origin=("150400",))], 0.95),
    ("from the whole region", [period(0.95, origin=("150000",))], 0.95),
    ("from another city", [period(0.95, origin=("150100",))], 0.90),
]


@pytest.mark.parametrize(("what", "periods", "target"), TARGETS, ids=[case[0] for case in TARGETS])
def test_the_target_beside_a_rate_is_that_of_all_its_parcels(
    what: str, periods: list[EventPeriod], target: float
) -> None:
    found = target_of_all(
        periods, "CITY", at_ms=NOON_MS, county_code=None, city_code="150400", routine=0.90
    )
    assert found == target


@pytest.mark.parametrize(
    ("at", "active", "day"),
    [
        ("2017-09-05T23:59:00+08:00", False, None),
        ("2017-09-06T00:00:00+08:00", True, 1),
        ("2017-09-08T23:59:00+08:00", True, 3),
        ("2017-09-09T00:00:00+08:00", False, None),
    ],
)
def test_a_period_says_which_of_its_days_it_is(at: str, active: bool, day: int | None) -> None:
    found = shown(period(0.95), instant_from_text(at))
    assert (found.active, found.day, found.days) == (active, day, 3)
    assert (found.event_phase == "CORE") == active


def test_the_board_names_the_period_that_it_is_judged_by_first(view: View) -> None:
    board = Summarist(view, ROUTINE_TARGET).summary(OPEN)
    assert [p.event_period_id for p in board.periods] == ["EP2017-COP13", "EP2017-COP13-TO-ORDOS"]
    assert (board.periods[0].day, board.periods[0].days) == (6, 18)
