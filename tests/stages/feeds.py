"""Small worlds for the tests of rate and rollup: outlets, periods, random changes, and drivers."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.cell import Counter, cell_of, group_of
from streams.domain.period import (
    EventLevel,
    EventPeriod,
    EventPhase,
    Granularity,
    Phase,
    Target,
)
from streams.domain.policy import Policy
from streams.domain.window import (
    HOUR_MS,
    MINUTE_MS,
    PANE_MS,
    TICK_MS,
    day_from_text,
    day_start_ms,
)
from streams.records import changes, published, verdicts
from streams.records.changes import Header, Rows
from streams.reference.types import Move, Outlet, Reference, ReferenceHistory
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from streams.stages.stage import Batch, Output
from streams.stages.ticked import TickedStage
from tests.stages.plain import Row

COUNTIES = ("150102", "150105", "150202", "150601")
ENTERPRISES = ("E-YUN", "E-ZTO")
DAY = day_from_text("2017-09-08")
MIDNIGHT_TICK = day_start_ms(DAY) // TICK_MS

# Graces so short that a night sees panes mature, a day end, its bulletin and its final close.
SHORT = Policy(
    grace_alert_ms=10 * MINUTE_MS,
    bulletin_ms=30 * MINUTE_MS,
    final_close_ms=3 * HOUR_MS,
    n_min_outlet=3,
    n_min_rollup=5,
    clear_ms=5 * MINUTE_MS,
    collapse_outlets=1_000,
    silent_collections=1_000_000,
)


def an_outlet(number: int, *, moves: tuple[Move, ...] = (), county: int | None = None) -> Outlet:
    place = number % len(COUNTIES) if county is None else county
    return Outlet(
        number=number,
        outlet_id=f"O-{number:03}",
        name=f"Outlet {number}",
        brand_code="YT",
        enterprise_id=ENTERPRISES[number // len(COUNTIES) % len(ENTERPRISES)],
        county_code=COUNTIES[place],
        duty_group=f"{COUNTIES[place]}-duty",
        moves=moves,
    )


def a_reference(
    *periods: EventPeriod,
    outlets: int | Sequence[Outlet] = 8,
    version: int = 1,
    effective_at_ms: int = 0,
) -> Reference:
    these = [an_outlet(n) for n in range(outlets)] if isinstance(outlets, int) else outlets
    return Reference(
        version=version,
        effective_at_ms=effective_at_ms,
        outlets={outlet.outlet_id: outlet for outlet in these},
        counties=COUNTIES,
        enterprises=ENTERPRISES,
        periods=periods,
    )


def a_period(
    name: str = "EP",
    *,
    start: int = -600,
    end: int = 600,
    rate: float = 0.9,
    category: Category | None = None,
    n_min: int | None = None,
    origin: tuple[str, ...] = (),
    bit: int | None = None,
    level: EventLevel = EventLevel.L2,
    granularities: Iterable[Granularity] = tuple(Granularity),
    phase: EventPhase = EventPhase.CORE,
) -> EventPeriod:
    """Return a period from and to so many minutes after the midnight before DAY."""
    midnight_ms = day_start_ms(DAY)
    return EventPeriod(
        event_period_id=name,
        name_zh=name,
        name_en=name,
        event_level=level,
        origin_codes=origin,
        destination_codes=() if bit is None else ("110000",),
        phases=(Phase(phase, midnight_ms + start * TICK_MS, midnight_ms + end * TICK_MS),),
        targets=tuple(Target(g, category, rate, n_min) for g in granularities),
        scope_bit=bit,
    )


def a_cell(outlet: int, minute: int, category: Category = Category.LOOSE, scope: int = 0) -> int:
    """Return the cell of a parcel collected so many minutes after the midnight before DAY."""
    pane = (MIDNIGHT_TICK + minute) * TICK_MS // PANE_MS
    return cell_of(group_of(outlet, category, scope), pane)


def a_row(minute: int, cell: int, counter: Counter, delta: int = 1) -> Row:
    return MIDNIGHT_TICK + minute, cell, int(counter), delta


def parcels(
    outlet: int,
    *,
    at: int,
    count: int,
    covered: int = 0,
    covered_at: int | None = None,
    late: bool = False,
    category: Category = Category.LOOSE,
    scope: int = 0,
) -> list[Row]:
    """Return the rows of parcels collected at one minute, some of them covered, at once or later."""
    cell = a_cell(outlet, at, category, scope)
    rows = [a_row(at + 1, cell, Counter.ELIGIBLE, count)]
    if covered:
        when = at + 1 if covered_at is None else covered_at
        counter = Counter.COVERED_LATE if late else Counter.COVERED_ON_TIME
        rows.append(a_row(when, cell, counter, covered))
    return rows


@st.composite
def streams_of_rows(draw: st.DrawFn, *, outlets: int = 8, minutes: int = 200) -> list[Row]:
    """Draw changes as the match stage makes them: no more parcels are covered than collected.

    They are collected within so many minutes before and after the midnight before DAY.
    """
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 25))):
        outlet = draw(st.integers(0, outlets - 1))
        at = draw(st.integers(-minutes, minutes))
        count = draw(st.integers(1, 30))
        covered = draw(st.integers(0, count))
        when = at + 1 + draw(st.integers(0, 240))
        category = draw(st.sampled_from([Category.LOOSE, Category.AGREEMENT]))
        scope = draw(st.integers(0, 3))
        rows += parcels(
            outlet,
            at=at,
            count=count,
            covered=covered,
            covered_at=when,
            late=when > at + 10,
            category=category,
            scope=scope,
        )
        if draw(st.booleans()):  # Some are voided, the covered ones too.
            cell = a_cell(outlet, at, category, scope)
            rows.append(a_row(when, cell, Counter.ELIGIBLE, -covered))
            counter = Counter.COVERED_LATE if when > at + 10 else Counter.COVERED_ON_TIME
            rows.append(a_row(when, cell, counter, -covered))
            rows.append(a_row(when, cell, Counter.VOIDED, covered))
        if draw(st.booleans()):
            kind = draw(st.sampled_from([Counter.DUPLICATES, Counter.ORPHANS, Counter.EXEMPT]))
            cell = a_cell(outlet, at, category, scope)
            rows.append(a_row(at + draw(st.integers(1, 400)), cell, kind))
    return rows


@st.composite
def periods(draw: st.DrawFn) -> tuple[EventPeriod, ...]:
    """Draw up to three event periods that begin and end around that midnight."""
    found = []
    for number in range(draw(st.integers(0, 3))):
        start = draw(st.integers(-60, 40)) * 5
        bit = draw(st.sampled_from([None, 0, 1]))
        found.append(
            a_period(
                f"EP{number}",
                start=start,
                end=start + draw(st.integers(1, 80)) * 5,
                rate=draw(st.sampled_from([0.5, 0.8, 0.9, 1.0])),
                category=draw(st.sampled_from([None, Category.LOOSE])),
                n_min=draw(st.sampled_from([None, 1, 10])),
                origin=draw(st.sampled_from([(), ("150100",), ("150202", "1506")])),
                bit=bit,
                level=draw(st.sampled_from([EventLevel.L1, EventLevel.L3])),
                granularities=draw(st.lists(st.sampled_from(Granularity), min_size=1, unique=True)),
            )
        )
    return tuple(found)


def columns(rows: Sequence[Row]) -> Rows:
    ticks, cells, counters, deltas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Rows(
        np.array(ticks, np.int32),
        np.array(cells, np.int64),
        np.array(counters, np.int8),
        np.array(deltas, np.int32),
    )


class Sender:
    """One source: cuts rows into records as a stage's flushes do."""

    def __init__(self, source: int = 0) -> None:
        self.source = source
        self.offset = 0

    def records(self, rows: Sequence[Row], *, until: int) -> list[bytes]:
        """Return the records of one flush that completes all ticks up to and with `until`."""
        header = Header(
            format=changes.FORMAT,
            source=self.source,
            reference_version=1,
            from_offset=self.offset,
            to_offset=self.offset + 10,
            part=0,
            parts=0,
            watermark_ms=(until + 1) * TICK_MS,
        )
        self.offset += 10
        return changes.encode(header, columns(rows))


class Feed:
    """Hands values to a stage at rising offsets."""

    def __init__(self, stage: TickedStage) -> None:
        self.stage = stage

    def apply(self, values: Sequence[bytes]) -> None:
        first = self.stage.next_offset
        offsets = list(range(first, first + len(values)))
        nothing = [None] * len(values)
        self.stage.apply(Batch(offsets, nothing, list(values), [0] * len(values)))

    def commit(self, *, publish: bool = False) -> list[Output]:
        outputs = self.stage.drain(publish=publish).outputs
        self.stage.committed()
        return outputs


def a_rate(reference: Reference, policy: Policy = SHORT, sources: int = 1) -> RatePartition:
    return RatePartition(0, policy, ReferenceHistory([reference]), sources=sources)


def a_rollup(reference: Reference, policy: Policy = SHORT, sources: int = 1) -> RollupPartition:
    return RollupPartition(policy, ReferenceHistory([reference]), sources=sources)


def run_rate(
    reference: Reference, rows: Sequence[Row], *, until: int, policy: Policy = SHORT
) -> Feed:
    """Return a rate stage that has gone through all rows up to a tick, uncommitted."""
    feed = Feed(a_rate(reference, policy))
    feed.apply(Sender().records([row for row in rows if row[0] <= until], until=until))
    return feed


def run_both(
    reference: Reference, rows: Sequence[Row], *, until: int, policy: Policy = SHORT
) -> tuple[Feed, Feed]:
    """Return both stages after all rows up to a tick; neither has committed."""
    rate = run_rate(reference, rows, until=until, policy=policy)
    rollup = Feed(a_rollup(reference, policy))
    rollup.apply(totals_of(rate.stage.drain(publish=False).outputs))
    return rate, rollup


def totals_of(outputs: Iterable[Output]) -> list[bytes]:
    return [output.value or b"" for output in outputs if output.topic == "totals"]


def verdict_changes(outputs: Iterable[Output]) -> list[verdicts.VerdictChange]:
    return verdicts.decode([changes.decode(value).extra for value in totals_of(outputs)])


def sent_rows(outputs: Iterable[Output]) -> list[Row]:
    """Return the rows that went to `totals`, in one order whatever the flushes were."""
    parts = [changes.decode(value).rows for value in totals_of(outputs)]
    rows = changes.concatenate(parts)
    columns_ = (rows.ticks, rows.cells, rows.counters, rows.deltas)
    return sorted(zip(*(column.tolist() for column in columns_), strict=True))


def records(outputs: Iterable[Output], topic: str) -> dict[str, Any]:
    """Return the records of one topic by key; the last wins, as in a compacted topic."""
    return {
        (output.key or b"").decode(): msgspec.json.decode(output.value or b"null")
        for output in outputs
        if output.topic == topic
    }


def alerts(outputs: Iterable[Output]) -> list[published.AlertRecord]:
    return [
        published.decode(output.value or b"", published.AlertRecord)
        for output in outputs
        if output.topic == published.ALERTS
    ]
