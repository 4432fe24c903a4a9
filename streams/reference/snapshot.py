"""Makes the next version of the reference data from the current one and a file's listing.

Pure functions: numbers and scope bits are given here, once, and what a file leaves out is retired
or withdrawn rather than forgotten. `effective_at_ms` is the tick from which the version is used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from streams.domain.cell import SCOPE_BITS
from streams.domain.period import EventPeriod
from streams.domain.window import DAY_MS, day_of, instant_text
from streams.reference.listing import (
    Agreements,
    AnyListing,
    ListedOutlet,
    Outlets,
    Periods,
    Sources,
)
from streams.reference.mistakes import Mistakes
from streams.reference.types import (
    COUNTIES_MAX,
    ENTERPRISES_MAX,
    OUTLETS_MAX,
    Filing,
    Move,
    Outlet,
    Reference,
)

KEPT_DAYS: Final = 45
"""How long a former place, a withdrawn filing or a removed period's scope bit is kept: business
days are shown for 40 days, and a few more cost nothing."""


def apply_listing(
    current: Reference, listing: AnyListing, *, version: int, effective_at_ms: int
) -> Reference:
    """Return the version that a listing of any kind makes of the current one.

    The other kinds' data stay as they are. Applying the same listing again gives equal data.

    Raises:
        ReferenceFileError: The listing contradicts what is known; with every such mistake.
    """
    match listing:
        case Outlets():
            applied = apply_outlets(current, listing, effective_at_ms=effective_at_ms)
        case Agreements():
            applied = apply_agreements(current, listing, effective_at_ms=effective_at_ms)
        case Sources():
            applied = apply_sources(current, listing)
        case Periods():
            applied = apply_periods(current, listing, effective_at_ms=effective_at_ms)
    return replace(applied, version=version, effective_at_ms=effective_at_ms)


def apply_outlets(current: Reference, listing: Outlets, *, effective_at_ms: int) -> Reference:
    """Return the reference data with these outlets.

    A known outlet keeps its number, also when it comes back; a new one gets the next. One that
    changed county or enterprise moves at the next business day, one that is not listed is retired.

    Raises:
        ReferenceFileError: Over time, more outlets, counties or enterprises than there are numbers.
    """
    mistakes = Mistakes(listing.file)
    known = {**current.retired, **current.outlets}
    until_day = day_of(effective_at_ms) + 1
    next_number = 1 + max((outlet.number for outlet in known.values()), default=-1)
    outlets: dict[str, Outlet] = {}
    for row in listing.rows:
        before = known.pop(row.item.outlet_id, None)
        if before is None:
            if next_number == OUTLETS_MAX:
                mistakes.add(row.line, _outnumbered("outlets", OUTLETS_MAX))
                break
            outlets[row.item.outlet_id] = _outlet(next_number, row.item)
            next_number += 1
        else:
            moves = _moves(before, row.item, until_day)
            outlets[row.item.outlet_id] = replace(_outlet(before.number, row.item), moves=moves)
    items = [(row.line, row.item) for row in listing.rows]
    counties = _grown(current.counties, [(line, item.county_code) for line, item in items])
    enterprises = _grown(current.enterprises, [(line, item.enterprise_id) for line, item in items])
    for what, most, grown in (
        ("counties", COUNTIES_MAX, counties),
        ("enterprises", ENTERPRISES_MAX, enterprises),
    ):
        if len(grown) > most:
            mistakes.add(list(grown.values())[most], _outnumbered(what, most))
    mistakes.raise_if_any()
    return replace(
        current,
        outlets=outlets,
        retired=known,
        counties=tuple(counties),
        enterprises=tuple(enterprises),
    )


def _outlet(number: int, listed: ListedOutlet) -> Outlet:
    return Outlet(
        number=number,
        outlet_id=listed.outlet_id,
        name=listed.name,
        brand_code=listed.brand_code,
        enterprise_id=listed.enterprise_id,
        county_code=listed.county_code,
        duty_group=listed.duty_group,
    )


def _moves(before: Outlet, listed: ListedOutlet, until_day: int) -> tuple[Move, ...]:
    """Return where the outlet was before `until_day`; a move not yet made then is forgotten."""
    kept = tuple(m for m in before.moves if until_day - KEPT_DAYS < m.until_day < until_day)
    place = before.place_on(until_day - 1)
    if place == (listed.enterprise_id, listed.county_code):
        return kept
    return (*kept, Move(until_day, *place))


def _grown(known: Sequence[str], found: Iterable[tuple[int, str]]) -> Mapping[str, int]:
    """Return the known names and after them the new ones, each with the line where it came in."""
    grown = dict.fromkeys(known, 0)
    for line, name in found:
        grown.setdefault(name, line)
    return grown


def _outnumbered(what: str, most: int) -> str:
    return (
        f"more than {most:,} {what} have been listed so far, and numbers are never given twice; "
        "begin with an empty state and reference topic"
    )


def apply_agreements(current: Reference, listing: Agreements, *, effective_at_ms: int) -> Reference:
    """Return the reference data with these filings.

    What a filing covered stays covered: one that vanished or covers less now is kept up to
    `effective_at_ms`, beside what the file says from then on.
    """
    listed: dict[tuple[str, str], Filing] = {}
    for row in listing.rows:
        listed[row.item.agreement_id, row.item.filed_by] = row.item
    forget_before_ms = effective_at_ms - KEPT_DAYS * DAY_MS
    filings = list(listed.values())
    for before in chain.from_iterable(current.agreements.values()):
        now = listed.get((before.agreement_id, before.filed_by))
        kept = replace(before, valid_to_ms=min(before.valid_to_ms, effective_at_ms))
        obsolete = kept.valid_to_ms < max(kept.valid_from_ms, forget_before_ms)
        if not obsolete and (now is None or not _covers(now, kept)):
            filings.append(kept)
    agreements: dict[str, tuple[Filing, ...]] = {}
    for filing in sorted(filings, key=_filing_order):
        agreements[filing.agreement_id] = (*agreements.get(filing.agreement_id, ()), filing)
    return replace(current, agreements=agreements)


def _filing_order(filing: Filing) -> tuple[str, str, int, int]:
    return filing.agreement_id, filing.filed_by, filing.valid_from_ms, filing.valid_to_ms


def _covers(now: Filing, before: Filing) -> bool:
    """Return whether all that a filing covered until now is covered as early by the listed one."""
    if not (before.org_code_present and before.responsible_id_present):
        return True
    return (
        now.org_code_present
        and now.responsible_id_present
        and now.valid_from_ms <= before.valid_from_ms
        and now.valid_to_ms >= before.valid_to_ms
        and now.recorded_at_ms <= before.recorded_at_ms
    )


def apply_sources(current: Reference, listing: Sources) -> Reference:
    """Return the reference data with these sources instead of the known ones."""
    return replace(current, sources={row.item.source: row.item for row in listing.rows})


def apply_periods(current: Reference, listing: Periods, *, effective_at_ms: int) -> Reference:
    """Return the reference data with these periods.

    A period with destinations keeps its scope bit while it is listed; a removed one's bit rests
    until no day that was counted with it is shown any more.

    Raises:
        ReferenceFileError: A begun period would get another start or other codes, or no scope bit
            is free.
    """
    mistakes = Mistakes(listing.file)
    known = {period.event_period_id: period for period in current.periods}
    listed = {row.item.event_period_id for row in listing.rows}
    resting = {
        bit: free_at_ms
        for bit, free_at_ms in current.retired_scope_bits.items()
        if free_at_ms > effective_at_ms
    }
    for name, period in known.items():
        if name not in listed and period.scope_bit is not None:
            resting[period.scope_bit] = effective_at_ms + KEPT_DAYS * DAY_MS
    taken = {p.scope_bit for n, p in known.items() if n in listed} | resting.keys()
    free = [bit for bit in range(SCOPE_BITS) if bit not in taken]
    # The bits that were never used come first: nothing counted anywhere bears them.
    free.sort(key=lambda bit: (bit in current.retired_scope_bits, bit))
    periods = []
    for row in listing.rows:
        before = known.get(row.item.event_period_id)
        if before is not None and before.start_ms <= effective_at_ms:
            _refuse_widening(before, row.item, row.line, mistakes)
        scope_bit = None
        if row.item.destination_codes:
            scope_bit = before.scope_bit if before is not None else None
            if scope_bit is None and not free:
                mistakes.add(row.line, _no_free_bit(resting))
                break
            scope_bit = free.pop(0) if scope_bit is None else scope_bit
        periods.append(replace(row.item, scope_bit=scope_bit))
    mistakes.raise_if_any()
    return replace(current, periods=tuple(periods), retired_scope_bits=resting)


def _refuse_widening(
    before: EventPeriod, listed: EventPeriod, line: int, mistakes: Mistakes
) -> None:
    fixed: tuple[tuple[str, Callable[[EventPeriod], object]], ...] = (
        ("start", lambda period: period.start_ms),
        ("origin_codes", lambda period: frozenset(period.origin_codes)),
        ("destination_codes", lambda period: frozenset(period.destination_codes)),
    )
    changed = [name for name, value_of in fixed if value_of(before) != value_of(listed)]
    if changed:
        mistakes.add(
            line,
            f"{before.event_period_id} began at {instant_text(before.start_ms)}, so its "
            f"{' and '.join(changed)} may not change any more; a widening is a new period: "
            "list it under an id of its own",
        )


def _no_free_bit(resting: Mapping[int, int]) -> str:
    message = f"more than {SCOPE_BITS} periods with destination_codes at a time; remove ended ones"
    if resting:
        message += (
            f" (the place of a removed one is free after {KEPT_DAYS} days, "
            f"the next at {instant_text(min(resting.values()))})"
        )
    return message
