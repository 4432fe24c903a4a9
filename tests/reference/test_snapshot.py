"""The next version: numbers stay, moves wait a day, withdrawals touch what comes later."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Phase, Target
from streams.domain.window import DAY_MS, HOUR_MS, day_of, day_start_ms, instant_from_text
from streams.reference.listing import Agreements, ListedOutlet, Outlets, Periods, Row
from streams.reference.mistakes import ReferenceFileError
from streams.reference.snapshot import (
    KEPT_DAYS,
    apply_agreements,
    apply_outlets,
    apply_periods,
)
from streams.reference.types import Filing, Outlet, Reference

NOON_MS = instant_from_text("2017-09-08T12:00:00+08:00")
TODAY = day_of(NOON_MS)


def outlet(outlet_id: str, enterprise_id: str = "E1", county_code: str = "150105") -> ListedOutlet:
    return ListedOutlet(outlet_id, "n", "ZTO", enterprise_id, county_code, "d")


def outlets(*listed: ListedOutlet) -> Outlets:
    return Outlets("f", tuple(Row(line, item) for line, item in enumerate(listed, start=2)))


def outlets_applied(reference: Reference, at_ms: int, *listed: ListedOutlet) -> Reference:
    return apply_outlets(reference, outlets(*listed), effective_at_ms=at_ms)


LISTED = st.lists(
    st.builds(
        outlet,
        st.sampled_from([f"o{n}" for n in range(6)]),
        st.sampled_from(["E1", "E2", "E3"]),
        st.sampled_from(["150102", "150105", "150202"]),
    ),
    max_size=6,
    unique_by=lambda listed: listed.outlet_id,
)


@given(st.lists(LISTED, min_size=1, max_size=6))
def test_numbers_are_given_once_and_never_change(versions: list[list[ListedOutlet]]) -> None:
    reference = Reference()
    numbers: dict[str, int] = {}
    for days, listed in enumerate(versions):
        before = reference
        reference = outlets_applied(reference, NOON_MS + days * DAY_MS, *listed)
        known = {**reference.outlets, **reference.retired}
        for outlet_id, number in numbers.items():
            assert known[outlet_id].number == number
        numbers = {outlet_id: each.number for outlet_id, each in known.items()}
        assert len(set(numbers.values())) == len(numbers)
        assert reference.outlets.keys() == {each.outlet_id for each in listed}
        assert not reference.outlets.keys() & reference.retired.keys()
        assert tuple(reference.counties[: len(before.counties)]) == tuple(before.counties)
        assert tuple(reference.enterprises[: len(before.enterprises)]) == tuple(before.enterprises)
        assert {each.county_code for each in listed} <= set(reference.counties)
        assert {each.enterprise_id for each in listed} <= set(reference.enterprises)


@given(st.lists(LISTED, min_size=1, max_size=6), st.lists(st.integers(0, 40), min_size=6))
def test_no_version_changes_where_an_outlet_was_until_the_end_of_its_day(
    versions: list[list[ListedOutlet]], hours: list[int]
) -> None:
    reference, at_ms = Reference(), NOON_MS
    for listed, later in zip(versions, hours, strict=False):
        at_ms += later * HOUR_MS
        before, reference = reference, outlets_applied(reference, at_ms, *listed)
        today = day_of(at_ms)
        for name, known in {**before.outlets, **before.retired}.items():
            now = (reference.outlets.get(name) or reference.retired[name]).place_on
            assert [now(day) for day in range(TODAY, today + 1)] == [
                known.place_on(day) for day in range(TODAY, today + 1)
            ]
        for each in listed:
            place = (each.enterprise_id, each.county_code)
            assert reference.outlets[each.outlet_id].place_on(today + 1) == place


def test_an_outlet_moves_at_the_next_business_day() -> None:
    first = outlets_applied(Reference(), 0, outlet("a"))
    moved = outlets_applied(first, NOON_MS, outlet("a", "E2", "150202")).outlets["a"]
    assert moved.place_on(TODAY) == ("E1", "150105")
    assert moved.place_on(TODAY + 1) == ("E2", "150202")


def test_a_move_that_is_taken_back_on_the_same_day_never_was() -> None:
    first = outlets_applied(Reference(), 0, outlet("a"))
    moved = outlets_applied(first, NOON_MS, outlet("a", "E2"))
    assert outlets_applied(moved, NOON_MS + HOUR_MS, outlet("a")).outlets == first.outlets


def test_a_former_place_is_forgotten_when_its_days_are_shown_no_more() -> None:
    reference = outlets_applied(Reference(), 0, outlet("a"))
    reference = outlets_applied(reference, NOON_MS, outlet("a", "E2"))
    later = NOON_MS + (KEPT_DAYS + 1) * DAY_MS
    assert outlets_applied(reference, later, outlet("a", "E2")).outlets["a"].moves == ()


def test_an_outlet_that_comes_back_elsewhere_has_its_number_and_moves() -> None:
    reference = outlets_applied(Reference(), 0, outlet("a"), outlet("b"))
    reference = outlets_applied(reference, NOON_MS, outlet("b"), outlet("c"))
    assert reference.retired["a"].number == 0
    back = outlets_applied(reference, NOON_MS, outlet("b"), outlet("a", "E2")).outlets["a"]
    assert (back.number, back.place_on(TODAY), back.place_on(TODAY + 1)) == (
        0,
        ("E1", "150105"),
        ("E2", "150105"),
    )


def test_enterprises_are_counted_over_all_versions() -> None:
    many = [outlet(f"o{n}", f"E{n}") for n in range(255)]
    reference = outlets_applied(Reference(), 0, *many)
    two_more = [outlet("x", "F1"), outlet("y", "F2")]
    with pytest.raises(ReferenceFileError, match="f:3: more than 256 enterprises have been listed"):
        outlets_applied(reference, NOON_MS, *two_more)


def test_the_last_number_is_not_given_twice() -> None:
    last = Outlet(65_535, "old", "n", "ZTO", "E1", "150105", "d")
    reference = Reference(retired={"old": last})
    assert outlets_applied(reference, NOON_MS, outlet("old")).outlets["old"].number == 65_535
    with pytest.raises(ReferenceFileError, match="f:2: more than 65,536 outlets have been listed"):
        outlets_applied(reference, NOON_MS, outlet("a"))


def filing(agreement_id: str = "A", **changed: object) -> Filing:
    made = Filing(
        agreement_id=agreement_id,
        agreement_kind="AGREEMENT",
        customer_token="c",
        org_code_present=True,
        responsible_id_present=True,
        valid_from_ms=NOON_MS - 10 * DAY_MS,
        valid_to_ms=NOON_MS + 10 * DAY_MS,
        filed_by="HQ",
        recorded_at_ms=NOON_MS - 10 * DAY_MS,
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # the cases name fields of Filing


def agreements_applied(reference: Reference, at_ms: int, *filings: Filing) -> Reference:
    listing = Agreements("f", tuple(Row(line, item) for line, item in enumerate(filings, start=2)))
    return apply_agreements(reference, listing, effective_at_ms=at_ms)


CLOSED = filing(valid_to_ms=NOON_MS)
AGREEMENT_CASES = [
    ("the same again", [filing()], [filing()], [filing()]),
    ("withdrawn: it covers up to now", [filing()], [], [CLOSED]),
    (
        "withdrawn when it had expired: it stays as it was",
        [filing(valid_to_ms=NOON_MS - DAY_MS)],
        [],
        [filing(valid_to_ms=NOON_MS - DAY_MS)],
    ),
    ("withdrawn before it began: nothing is left", [filing(valid_from_ms=NOON_MS + 1)], [], []),
    (
        "prolonged: one filing",
        [filing()],
        [filing(valid_to_ms=NOON_MS + 99 * DAY_MS)],
        [filing(valid_to_ms=NOON_MS + 99 * DAY_MS)],
    ),
    (
        "completed: what was incomplete covered nothing",
        [filing(org_code_present=False)],
        [filing(recorded_at_ms=NOON_MS)],
        [filing(recorded_at_ms=NOON_MS)],
    ),
    (
        "found incomplete: what it covered stays covered",
        [filing()],
        [filing(responsible_id_present=False)],
        [CLOSED, filing(responsible_id_present=False)],
    ),
    (
        "shortened to a past day: what it covered stays covered",
        [filing()],
        [filing(valid_to_ms=NOON_MS - 5 * DAY_MS)],
        [filing(valid_to_ms=NOON_MS - 5 * DAY_MS), CLOSED],
    ),
    (
        "filed later than was said: what was covered early stays so",
        [filing()],
        [filing(recorded_at_ms=NOON_MS)],
        [CLOSED, filing(recorded_at_ms=NOON_MS)],
    ),
    (
        "withdrawn by headquarters only",
        [filing(), filing(filed_by="OUTLET")],
        [filing(filed_by="OUTLET")],
        [CLOSED, filing(filed_by="OUTLET")],
    ),
]


@pytest.mark.parametrize("case", AGREEMENT_CASES, ids=[case[0] for case in AGREEMENT_CASES])
def test_what_a_filing_covered_stays_covered(
    case: tuple[str, list[Filing], list[Filing], list[Filing]],
) -> None:
    _, first, second, expected = case
    reference = agreements_applied(Reference(), 0, *first)
    reference = agreements_applied(reference, NOON_MS, *second)
    assert list(reference.agreements.get("A", ())) == expected
    again = agreements_applied(reference, NOON_MS + DAY_MS, *second)
    assert again.agreements == reference.agreements


def test_a_withdrawn_filing_is_forgotten_when_nothing_can_ask_for_it() -> None:
    reference = agreements_applied(Reference(), 0, filing())
    reference = agreements_applied(reference, NOON_MS)
    assert agreements_applied(reference, NOON_MS + KEPT_DAYS * DAY_MS, filing("B")).agreements["A"]
    later = NOON_MS + (KEPT_DAYS + 1) * DAY_MS
    assert agreements_applied(reference, later, filing("B")).agreements.keys() == {"B"}


def period(name: str, *, starts_on: int = 0, to: tuple[str, ...] = ("11",)) -> EventPeriod:
    start_ms = day_start_ms(TODAY + starts_on)
    return EventPeriod(
        event_period_id=name,
        name_zh="会",
        name_en="A meeting",
        event_level=EventLevel.L2,
        origin_codes=("15",),
        destination_codes=to,
        phases=(Phase(EventPhase.CORE, start_ms, start_ms + 5 * DAY_MS),),
        targets=(Target(Granularity.OUTLET, None, 0.95, None),),
        scope_bit=None,
    )


def periods_applied(reference: Reference, at_ms: int, *listed: EventPeriod) -> Reference:
    listing = Periods("f", tuple(Row(line, item) for line, item in enumerate(listed, start=1)))
    return apply_periods(reference, listing, effective_at_ms=at_ms)


def bits(reference: Reference) -> dict[str, int | None]:
    return {each.event_period_id: each.scope_bit for each in reference.periods}


PERIOD_CASES = [
    ("its start", replace(period("A"), phases=period("A", starts_on=-1).phases), "start may not"),
    ("its origin", replace(period("A"), origin_codes=("1501",)), "origin_codes may not"),
    ("its destination", period("A", to=("11", "12")), "destination_codes may not"),
    ("its destinations to none", period("A", to=()), "destination_codes may not"),
]


@pytest.mark.parametrize("case", PERIOD_CASES, ids=[case[0] for case in PERIOD_CASES])
def test_a_begun_period_keeps(case: tuple[str, EventPeriod, str]) -> None:
    _, changed, message = case
    reference = periods_applied(Reference(), 0, period("A"))
    with pytest.raises(ReferenceFileError, match=f"f:1: A began at .*{message}.*a new period"):
        periods_applied(reference, NOON_MS, changed)
    before_it_began = day_start_ms(TODAY) - 1
    assert periods_applied(reference, before_it_began, changed).periods != reference.periods


def test_a_begun_period_may_change_targets_and_end_and_be_removed() -> None:
    reference = periods_applied(Reference(), 0, period("A"))
    phase = Phase(EventPhase.CORE, period("A").start_ms, NOON_MS + 9 * DAY_MS)
    changed = replace(period("A"), phases=(phase,), targets=(), event_level=EventLevel.L1)
    [applied] = periods_applied(reference, NOON_MS, changed).periods
    assert applied == replace(changed, scope_bit=0)
    assert periods_applied(reference, NOON_MS).periods == ()


def test_scope_bits_stay_while_their_periods_are_listed() -> None:
    reference = periods_applied(Reference(), 0, period("A"), period("N", to=()), period("B"))
    assert bits(reference) == {"A": 0, "N": None, "B": 1}
    reference = periods_applied(reference, NOON_MS, period("C"), period("B"))
    assert bits(reference) == {"C": 2, "B": 1}, "the removed period's bit rests"


def test_a_removed_period_s_bit_is_given_again_only_after_its_days_are_shown_no_more() -> None:
    all_bits = [period(f"P{n}") for n in range(16)]
    reference = periods_applied(Reference(), 0, *all_bits)
    reference = periods_applied(reference, NOON_MS, *all_bits[1:])
    too_early = NOON_MS + KEPT_DAYS * DAY_MS - 1
    with pytest.raises(ReferenceFileError, match=r"f:16: more than 16 periods.*free after 45 days"):
        periods_applied(reference, too_early, *all_bits[1:], period("X"))
    reference = periods_applied(reference, too_early + 1, *all_bits[1:], period("X"))
    assert bits(reference)["X"] == 0
    assert reference.retired_scope_bits == {}


def test_a_period_that_gives_up_its_destinations_before_it_began_has_no_bit() -> None:
    reference = periods_applied(Reference(), 0, period("A", starts_on=2))
    assert bits(periods_applied(reference, NOON_MS, period("A", starts_on=2, to=()))) == {"A": None}
