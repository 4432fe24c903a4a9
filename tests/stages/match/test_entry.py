"""However a parcel is packed, unpacking it gives what counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.cell import COUNTERS
from streams.domain.parcel import Collection, Parcel, Registration, counts
from streams.domain.window import HOUR_MS
from streams.stages.match.entry import (
    AGREED,
    BOTH,
    COLLECTED,
    DELAY_MAX_MS,
    DUPLICATED,
    GENERAL,
    REGISTERED,
    pack,
    unpack,
)
from tests.builders import at

SOURCES = ["S", "T"]


def number_of(source: str) -> int | None:
    return SOURCES.index(source) if source in SOURCES else None


def taken(
    *,
    category: Category = Category.LOOSE,
    agreement_id: str = "",
    cover_ms: int | None = None,
    source: str = "T",
    record_id: str = "c",
) -> Collection:
    return Collection(
        at("10:01:23"), source, record_id, 7, category, 5, agreement_id, cover_ms
    )  # fmt: skip


def registered(
    registration_id: str = "R", *, matched: bool = True, delay_ms: int = 0
) -> Registration:
    upload_ms = at("10:30") + delay_ms if matched else None
    return Registration(
        registration_id, at("10:29"), 9, at("10:30"),
        matched=matched, upload_ms=upload_ms, backdated=delay_ms > 0,
    )  # fmt: skip


def parcel(
    owner: Collection | None,
    *registrations: Registration,
    void_ms: int | None = None,
    hub_ms: int | None = None,
) -> Parcel:
    first = [r.time_ms for r in registrations] + ([owner.time_ms] if owner else [])
    return Parcel(
        min(first), owner, registrations=list(registrations), void_ms=void_ms, hub_ms=hub_ms
    )


AT_ONCE = at("10:01:23")
FORMS: list[tuple[str, Parcel, int]] = [
    ("collected", parcel(taken()), COLLECTED),
    ("in a batch category without an agreement", parcel(taken(category=Category.ECOMMERCE)),
     COLLECTED),
    ("covered by an agreement at once",
     parcel(taken(category=Category.AGREEMENT, agreement_id="G", cover_ms=AT_ONCE)), AGREED),
    ("registered", parcel(None, registered()), REGISTERED),
    ("registered with a delay", parcel(None, registered(delay_ms=DELAY_MAX_MS)), REGISTERED),
    ("both", parcel(taken(), registered()), BOTH),
    ("both, the longest id", parcel(taken(record_id="x" * 255), registered()), BOTH),
    ("registered twice", parcel(taken(), registered(), registered("R2", delay_ms=5)), DUPLICATED),
    ("registered twice, with the longest ids",
     parcel(taken(), registered("运" * 64), registered("x" * 64)), DUPLICATED),
    ("registered twice, with an id that is too long",
     parcel(taken(), registered("🀀" * 64), registered("x" * 64)), GENERAL),
    ("registered three times",
     parcel(taken(), registered(), registered("R2"), registered("R3")), GENERAL),
    ("registered twice, once in vain",
     parcel(taken(), registered(), registered("R2", matched=False)), GENERAL),
    ("waiting for an agreement", parcel(taken(category=Category.AGREEMENT, agreement_id="G")),
     GENERAL),
    ("covered by an agreement later",
     parcel(taken(category=Category.AGREEMENT, agreement_id="G", cover_ms=AT_ONCE + 1)), GENERAL),
    ("agreed and registered",
     parcel(taken(category=Category.AGREEMENT, cover_ms=AT_ONCE), registered()), GENERAL),
    ("a letter", parcel(taken(category=Category.EXEMPT)), GENERAL),
    ("a letter that something covers", parcel(taken(category=Category.EXEMPT, cover_ms=AT_ONCE)),
     GENERAL),
    ("of a source that has no number", parcel(taken(source="U")), GENERAL),
    ("agreed, of a source that has no number", parcel(taken(source="U", cover_ms=AT_ONCE)), GENERAL),
    ("an id that is too long", parcel(taken(record_id="运" * 86)), GENERAL),
    ("a failed attempt", parcel(None, registered(matched=False)), GENERAL),
    ("two registrations", parcel(None, registered(), registered("R2")), GENERAL),
    ("a delay that is too long", parcel(None, registered(delay_ms=DELAY_MAX_MS + 1)), GENERAL),
    ("an upload before it was decided", parcel(None, registered(delay_ms=-1)), GENERAL),
    ("scanned at its collection", parcel(taken(), hub_ms=AT_ONCE), COLLECTED),
    ("scanned as late as the form can say",
     parcel(taken(), registered(), hub_ms=AT_ONCE + DELAY_MAX_MS - 1), BOTH),
    ("scanned later than that", parcel(taken(), hub_ms=AT_ONCE + DELAY_MAX_MS), GENERAL),
    ("scanned before its collection", parcel(taken(), hub_ms=AT_ONCE - 1), GENERAL),
    ("registered and scanned", parcel(None, registered(), hub_ms=AT_ONCE), GENERAL),
    ("voided", parcel(taken(), void_ms=at("11:00")), GENERAL),
    ("nothing but a void", Parcel(at("11:00"), void_ms=at("11:00")), GENERAL),
]  # fmt: skip


@pytest.mark.parametrize(("packed", "form"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_a_parcel_is_packed_in_the_shortest_form_that_holds_it(packed: Parcel, form: int) -> None:
    entry = pack(packed, number_of)
    assert entry[0] == form
    unpacked = unpack(entry, SOURCES)
    assert counted(unpacked) == counted(packed)
    assert pack(unpacked, number_of) == entry
    if form in (GENERAL, REGISTERED, COLLECTED):
        assert unpacked == packed


def counted(parcel: Parcel) -> object:
    """Return what is left to matter of a parcel: its owner, its registrations, what it counts as."""
    owner = parcel.owner
    return (
        counts(parcel, grace_ms=2 * HOUR_MS),
        owner and (owner.rank, owner.cell, owner.cover_ms),
        (parcel.void_ms, parcel.hub_ms),
        [(r.registration_id, r.matched, r.decided_ms, r.upload_ms) for r in parcel.registrations],
        parcel.first_ms if owner is None else owner.time_ms,
    )


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64)
TIMES = st.integers(946_684_800_000, 4_102_444_800_000)
PARCELS = st.builds(
    Parcel,
    TIMES,
    st.none()
    | st.builds(
        Collection, TIMES, st.sampled_from(["S", "T", "U"]), TEXTS, st.integers(0, 65_535),
        st.sampled_from(Category), st.integers(0, 65_535), st.sampled_from(["", "G"]),
        st.none() | TIMES,
    ),
    registrations=st.lists(
        st.builds(
            Registration, TEXTS, TIMES, st.integers(0, 65_535), TIMES, matched=st.booleans(),
            upload_ms=st.none() | TIMES, backdated=st.booleans(),
        ),
        max_size=2,
    ),
    hub_ms=st.none() | TIMES,
)  # fmt: skip


@settings(deadline=None)
@given(drawn=PARCELS)
def test_packing_keeps_what_counts(drawn: Parcel) -> None:
    if drawn.owner is None and drawn.registrations:
        drawn.first_ms = min(r.time_ms for r in drawn.registrations)
    unpacked = unpack(pack(drawn, number_of), SOURCES)
    assert counted(unpacked) == counted(drawn)
    assert len(counts(unpacked, grace_ms=0)) == COUNTERS
