"""What a waybill's facts add up to, whatever their order, and however often they are repeated."""

from collections import Counter as Multiset
from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    PANE_BITS,
    PANE_MASK,
    UNIT_SHIFT,
    Counter,
)
from streams.domain.parcel import (
    Collection,
    Parcel,
    Registration,
    closing_ms,
    counts,
    orphan_cell,
)
from streams.domain.window import HOUR_MS, MINUTE_MS, pane_of
from tests.builders import at

GRACE_MS = 2 * HOUR_MS
AGREED, LETTER = Category.AGREEMENT, Category.EXEMPT

Fact = Callable[[Parcel], None]


def collected(
    time: str,
    record_id: str = "c1",
    *,
    outlet: int = 0,
    category: Category = Category.LOOSE,
    cover: str | None = None,
    source: str = "S",
) -> Fact:
    cover_ms = None if cover is None else at(cover)
    return lambda parcel: parcel.collect(
        Collection(at(time), source, record_id, outlet, category, 0, "", cover_ms)
    )


def registered(
    time: str,
    registration_id: str = "R1",
    *,
    matched: bool = True,
    outlet: int = 0,
    decided: str | None = None,
    upload: str | None = None,
) -> Fact:
    """`upload` stands for an upload time that nobody could confirm: the registration is backdated."""
    return lambda parcel: parcel.register(
        Registration(
            registration_id,
            at(time),
            outlet,
            at(decided or time),
            matched=matched,
            upload_ms=at(upload or decided or time) if matched else None,
            backdated=matched and upload is not None,
        )
    )


def failed(time: str, registration_id: str = "R1") -> Fact:
    return registered(time, registration_id, matched=False)


def revoked(registration_id: str = "R1", time: str = "12:00") -> Fact:
    return lambda parcel: parcel.revoke(registration_id, at(time))


def voided(time: str) -> Fact:
    return lambda parcel: parcel.void(at(time))


def scanned(time: str) -> Fact:
    return lambda parcel: parcel.scan(at(time))


def parcel_of(*facts: Fact) -> Parcel:
    parcel = Parcel(first_ms=at("+9 00:00"))
    for fact in facts:
        fact(parcel)
    return parcel


def figures(parcel: Parcel) -> dict[str, int]:
    return {
        Counter(number).name.lower(): figure
        for number, figure in enumerate(counts(parcel, grace_ms=GRACE_MS))
        if figure
    }


MISSING = {"eligible": 1}
ON_TIME = {"eligible": 1, "covered_on_time": 1}
LATE = {"eligible": 1, "covered_late": 1}
TAKEN = collected("10:00")

CASES: list[tuple[str, list[Fact], dict[str, int]]] = [
    ("a collection alone is in the base and uncovered", [TAKEN], MISSING),
    ("without a collection nothing counts", [registered("10:00"), voided("10:05"), revoked()], {}),
    ("a registration covers", [TAKEN, registered("10:30")], ON_TIME),
    ("to the last millisecond of the grace it is on time", [TAKEN, registered("12:00")], ON_TIME),
    ("after the grace it is late", [TAKEN, registered("12:00:01")], LATE),
    ("one from before the collection covers as well", [TAKEN, registered("08:00")], ON_TIME),
    ("of two registrations the earlier upload covers, the other is a duplicate",
     [TAKEN, registered("11:00"), registered("13:00", "R2")], {**ON_TIME, "duplicates": 1}),
    ("three registrations are two duplicates",
     [TAKEN, registered("11:00"), registered("11:01", "R2"), registered("11:02", "R3")],
     {**ON_TIME, "duplicates": 2}),
    ("the same registration id again is a retry, no duplicate",
     [TAKEN, registered("11:00"), registered("11:30")], ON_TIME),
    ("a retry with another result: the latest decides, here that it matched",
     [TAKEN, failed("11:00"), registered("11:30")], ON_TIME),
    ("a retry with another result: the latest decides, here that it did not",
     [TAKEN, registered("11:00"), failed("11:30")], {**MISSING, "attempts_failed": 1}),
    ("at one instant the unfavourable result counts",
     [TAKEN, registered("11:00"), failed("11:00")], {**MISSING, "attempts_failed": 1}),
    ("what matched in the end is uploaded when it first matched",
     [TAKEN, registered("11:00"), failed("11:30"), registered("12:30")], ON_TIME),
    ("an attempt that failed counts as such only", [TAKEN, failed("11:00")],
     {**MISSING, "attempts_failed": 1}),
    ("a failed attempt beside a valid registration is no duplicate",
     [TAKEN, failed("10:10"), registered("11:00", "R2")], {**ON_TIME, "attempts_failed": 1}),
    ("a revoked registration covers no more", [TAKEN, registered("11:00"), revoked()], MISSING),
    ("a revocation may be dated before its registration",
     [TAKEN, revoked(time="09:00"), registered("11:00")], MISSING),
    ("revoking one of two takes the duplicate back, and the later one covers",
     [TAKEN, registered("11:00"), registered("13:00", "R2"), revoked()], LATE),
    ("revoking what never was changes nothing", [TAKEN, registered("11:00"), revoked("R9")], ON_TIME),
    ("a revoked failed attempt is forgotten", [TAKEN, failed("11:00"), revoked()], MISSING),
    ("a voided parcel leaves the base, covered or not",
     [TAKEN, registered("11:00"), voided("11:30")], {"voided": 1}),
    ("a void after a hub scan does not count", [TAKEN, scanned("11:00"), voided("11:30")], MISSING),
    ("a void before the hub scan counts", [TAKEN, scanned("11:30"), voided("11:00")], {"voided": 1}),
    ("a void at the very instant of the scan counts",
     [TAKEN, scanned("11:00"), voided("11:00")], {"voided": 1}),
    ("of several voids and scans the earliest of each decide",
     [TAKEN, voided("12:00"), scanned("11:30"), voided("11:00")], {"voided": 1}),
    ("of several scans one before the void is enough",
     [TAKEN, voided("11:15"), scanned("11:30"), scanned("11:00")], MISSING),
    ("a letter is exempt", [collected("10:00", category=LETTER)], {"exempt": 1}),
    ("so is a parcel collected abroad",
     [collected("10:00", category=Category.OVERSEAS_INBOUND)], {"exempt": 1}),
    ("a voided letter is voided", [collected("10:00", category=LETTER), voided("10:30")],
     {"voided": 1}),
    ("registering a letter covers nothing",
     [collected("10:00", category=LETTER), registered("10:30")], {"exempt": 1}),
    ("another collection is a rescan", [TAKEN, collected("10:30", "c2")], {**MISSING, "rescans": 1}),
    ("the same id from another source is another collection",
     [TAKEN, collected("10:00", source="T")], {**MISSING, "rescans": 1}),
    ("two other collections are two rescans",
     [TAKEN, collected("10:30", "c2"), collected("11:00", "c3")], {**MISSING, "rescans": 2}),
    ("the grace counts from the earliest collection",
     [collected("12:00", "c2"), TAKEN, registered("12:30")], {**LATE, "rescans": 1}),
    ("the earliest collection's category decides",
     [collected("10:30", "c2"), collected("10:00", category=LETTER)], {"exempt": 1, "rescans": 1}),
    ("an agreement in force covers at once",
     [collected("10:00", category=AGREED, cover="10:00")], ON_TIME),
    ("one filed after the grace covers late",
     [collected("10:00", category=AGREED, cover="12:01")], LATE),
    ("agreement and registration: the earlier covers, and it is no duplicate",
     [collected("10:00", category=AGREED, cover="12:01"), registered("11:00")], ON_TIME),
    ("the agreement of a rescan covers nothing",
     [TAKEN, collected("10:30", "c2", category=AGREED, cover="10:30")], {**MISSING, "rescans": 1}),
    ("a registration received too long after its upload is backdated and counts as received",
     [TAKEN, registered("10:30", upload="13:00")], {**LATE, "backdated": 1}),
    ("a backdated registration may still be on time",
     [TAKEN, registered("10:30", upload="11:00")], {**ON_TIME, "backdated": 1}),
    ("the retry that was received in time clears it",
     [TAKEN, registered("10:30", upload="11:00"), registered("10:40")], ON_TIME),
    ("at one upload time the confirmed record counts",
     [TAKEN, registered("10:30", upload="11:00"), registered("11:00")], ON_TIME),
    ("a revoked registration is not backdated either",
     [TAKEN, registered("10:30", upload="13:00"), revoked()], MISSING),
    ("a duplicate may be the backdated one",
     [TAKEN, registered("10:30"), registered("10:40", "R2", upload="13:00")],
     {**ON_TIME, "duplicates": 1, "backdated": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_facts_come_to_these_counts_in_every_order(
    facts: list[Fact], expected: dict[str, int]
) -> None:
    for order in permutations(facts):
        parcel = parcel_of(*order)
        assert figures(parcel) == expected
        assert parcel.eligible is ("eligible" in expected)
        assert parcel.missing is (expected.get("eligible", 0) > covered(expected))
        for fact in facts:
            fact(parcel)
            assert figures(parcel) == expected, "a repeat changes nothing"


def covered(expected: dict[str, int]) -> int:
    return expected.get("covered_on_time", 0) + expected.get("covered_late", 0)


OWNERS: list[tuple[str, Fact, Fact]] = [
    ("the earlier one", collected("10:00", "z"), collected("10:01", "a", source="A")),
    (
        "at one instant the lesser source",
        collected("10:00", "z"),
        collected("10:00", "a", source="T"),
    ),
    ("of one source the lesser id", collected("10:00", "c1"), collected("10:00", "c2")),
]


@pytest.mark.parametrize(("owner", "other"), [o[1:] for o in OWNERS], ids=[o[0] for o in OWNERS])
def test_one_collection_owns_the_parcel(owner: Fact, other: Fact) -> None:
    alone = parcel_of(owner).owner
    assert alone is not None
    for facts in ([owner, other], [other, owner]):
        parcel = parcel_of(*facts)
        assert parcel.owner == alone
        assert len(parcel.rescans) == 1


def test_a_parcel_counts_in_the_cell_of_its_owner() -> None:
    owner = parcel_of(collected("10:07", outlet=7, category=AGREED)).owner
    assert owner is not None
    group = owner.cell >> PANE_BITS
    assert owner.cell & PANE_MASK == pane_of(at("10:05"))
    assert (group >> UNIT_SHIFT, group >> CATEGORY_SHIFT & CATEGORY_MASK) == (7, AGREED)


ORPHANS: list[tuple[str, list[Fact], tuple[int, str] | None]] = [
    ("a valid registration makes one, where it claims to be", [registered("10:07", outlet=3)],
     (3, "10:05")),
    ("the earliest valid registration says where",
     [registered("10:20", outlet=4), registered("10:07", "R2", outlet=3)], (3, "10:05")),
    ("at one instant the lesser registration id does",
     [registered("10:07", "R2", outlet=4), registered("10:07", outlet=3)], (3, "10:05")),
    ("a revoked one says nothing",
     [registered("10:07", outlet=3), registered("10:20", "R2", outlet=4), revoked()], (4, "10:20")),
    ("a retry's earlier time and outlet count",
     [registered("10:20", outlet=4, decided="10:30"), registered("10:07", outlet=3)], (3, "10:05")),
    ("a failed attempt is none", [failed("10:07")], None),
    ("nor are void, scan and revocation", [voided("10:00"), scanned("10:00"), revoked()], None),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "where"), [o[1:] for o in ORPHANS], ids=[o[0] for o in ORPHANS])
def test_an_uncollected_parcel_is_an_orphan(
    facts: list[Fact], where: tuple[int, str] | None
) -> None:
    for order in permutations(facts):
        cell = orphan_cell(parcel_of(*order))
        if where is None:
            assert cell is None
            continue
        assert cell is not None
        group = cell >> PANE_BITS
        assert (group >> UNIT_SHIFT, cell & PANE_MASK) == (where[0], pane_of(at(where[1])))
        assert group >> CATEGORY_SHIFT & CATEGORY_MASK == Category.UNCLASSIFIED


CLOSINGS: list[tuple[str, list[Fact], str]] = [
    ("its collection", [TAKEN, registered("08:00"), voided("07:00")], "10:00"),
    ("its earliest collection", [collected("11:00", "c2"), TAKEN], "10:00"),
    ("without one, its earliest registration",
     [registered("09:00"), registered("08:00", "R2"), voided("07:00")], "08:00"),
    ("a failed one is one, too", [registered("09:00"), failed("08:00", "R2")], "08:00"),
    ("without any, its earliest fact", [voided("09:00"), scanned("08:00"), revoked()], "08:00"),
    ("a revocation is a fact", [voided("13:00"), revoked(time="12:00")], "12:00"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "time"), [c[1:] for c in CLOSINGS], ids=[c[0] for c in CLOSINGS])
def test_the_final_close_is_reckoned_from(facts: list[Fact], time: str) -> None:
    for order in permutations(facts):
        assert closing_ms(parcel_of(*order)) == at(time)


# Properties. A drawn collection's content follows from its source and id: to send one id twice with
# different content is a fault of the producer, and whichever comes first counts.

CLOCKS = st.sampled_from(["09:59", "10:00", "10:01", "11:00", "12:00", "12:01", "13:00"])
IDS = st.sampled_from(["R1", "R2", "R3"])
COLLECTIONS = st.sampled_from(
    [
        collected("10:00", "a"),
        collected("10:00", "b", outlet=1),
        collected("09:57", "c", outlet=2, category=LETTER),
        collected("10:02", "d", category=AGREED, cover="11:00"),
        collected("10:06", "a", source="A", category=AGREED, cover="13:00"),
    ]
)
REGISTRATIONS = st.builds(
    lambda time, name, outlet, upload: registered(time, name, outlet=outlet, upload=upload),
    CLOCKS,
    IDS,
    st.integers(0, 2),
    st.none() | CLOCKS,
)
OTHERS = st.one_of(
    st.builds(failed, CLOCKS, IDS),
    st.builds(revoked, IDS, CLOCKS),
    st.builds(scanned, CLOCKS),
)
UNVOIDED_FACTS = st.lists(COLLECTIONS | REGISTRATIONS | OTHERS, max_size=8)
FACTS = st.lists(COLLECTIONS | REGISTRATIONS | OTHERS | st.builds(voided, CLOCKS), max_size=8)


@given(facts=FACTS, data=st.data())
def test_neither_order_nor_repeats_change_anything_that_counts(
    facts: list[Fact], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(facts), max_size=4)) if facts else []
    once = parcel_of(*facts)
    again = parcel_of(*data.draw(st.permutations(facts + repeats)))
    assert figures(again) == figures(once)
    assert again.missing == once.missing
    assert orphan_cell(again) == orphan_cell(once)
    assert closing_ms(again) == closing_ms(once)
    assert (again.owner and again.owner.cell) == (once.owner and once.owner.cell)


@given(facts=FACTS)
def test_a_collected_waybill_is_in_exactly_one_base(facts: list[Fact]) -> None:
    parcel = parcel_of(*facts)
    counted = Multiset(figures(parcel))
    assert counted["eligible"] + counted["exempt"] + counted["voided"] == (parcel.owner is not None)
    assert counted["covered_on_time"] + counted["covered_late"] <= counted["eligible"]
    if parcel.owner is None:
        assert not figures(parcel)


@given(facts=FACTS, upload=CLOCKS)
def test_one_more_registration_changes_only_the_duplicates_of_a_covered_parcel(
    facts: list[Fact], upload: str
) -> None:
    parcel = parcel_of(TAKEN, registered("11:00", "R0"), *facts)
    before = Multiset(figures(parcel))
    registered(upload, "another")(parcel)
    after = Multiset(figures(parcel))
    assert after["duplicates"] == before["duplicates"] + 1
    assert covered(after) == covered(before) == after["eligible"]
    # An earlier upload may make late on time, never the other way.
    assert after["covered_on_time"] >= before["covered_on_time"]
    changed = {"duplicates", "covered_on_time", "covered_late"}
    assert {k: n for k, n in after.items() if k not in changed} == {
        k: n for k, n in before.items() if k not in changed
    }


@given(facts=UNVOIDED_FACTS, time=CLOCKS)
def test_voiding_and_reinstating_restores_the_counts(facts: list[Fact], time: str) -> None:
    parcel = parcel_of(TAKEN, *facts)
    before = figures(parcel)
    voided(time)(parcel)
    assert ("voided" in figures(parcel)) is (parcel.hub_ms is None or parcel.hub_ms >= at(time))
    parcel.scan(at(time) - MINUTE_MS)  # It turns out that it had left a hub before.
    assert figures(parcel) == before
