"""The hot path of the whole program: nine records of ten, joined without an object for their parcel.

One loop, with everything that it touches in local variables: a method call costs as much as a dictionary
look-up, and at 100,000 records a second both show. It knows five cases: a first collection, a first
registration, each of them after the other, and a hub's scan of what was collected. Whatever else a record
may be, and whatever else may be known of its waybill, is left to `Waybills.take`, which is the rule; a
property test holds the two together. `make bench` shows what each step costs.
"""

from collections import Counter as Counts
from typing import Final

import msgspec

from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.domain.cell import CATEGORY_SHIFT, PANE_BITS, PANE_MASK, Counter
from streams.domain.cell import UNIT_SHIFT as _UNIT_SHIFT
from streams.domain.window import PANE_MS, TICK_MS
from streams.records import shipments
from streams.records.rejects import Reject
from streams.records.shipments import (
    OLDEST_MS,
    VALUE_BYTES_MAX,
    Collected,
    Heartbeat,
    Refused,
    Registered,
    Scanned,
)
from streams.stages.match.entry import (
    AGREED,
    BOTH,
    BOTH_LAYOUT,
    COLLECTED,
    COLLECTED_LAYOUT,
    DELAY_MAX_MS,
    HEAD_LAYOUT,
    HUB_AT,
    HUB_END,
    HUB_LAYOUT,
    ID_BYTES_MAX,
    REGISTERED,
    REGISTERED_LAYOUT,
)
from streams.stages.match.waybills import Waybills
from streams.stages.stage import Batch

_JOINED: Final = (Registered, Collected)
_OWNED: Final = frozenset({COLLECTED, AGREED, BOTH})
_ELIGIBLE: Final = int(Counter.ELIGIBLE)
_ON_TIME: Final = int(Counter.COVERED_ON_TIME)
_LATE: Final = int(Counter.COVERED_LATE)
_BACKDATED: Final = int(Counter.BACKDATED)

_CATEGORY_BITS: Final = {
    c.name: c << CATEGORY_SHIFT for c in Category if c not in EXEMPT_CATEGORIES
}
"""A category's place in a group; the exempt ones are not of the fast path."""
_BATCH: Final = frozenset(c.name for c in BATCH_CATEGORIES)


def run(waybills: Waybills, batch: Batch) -> list[Reject]:  # noqa: C901, PLR0912, PLR0915 - one loop on purpose, see above
    """Take a batch into a partition; return the records that could not be used."""
    rejects: list[Reject] = []
    sources: list[str] = []
    add_source = sources.append
    policy = waybills.policy
    decode, instants, parse = shipments.decode, waybills.instants, waybills.instants.parse
    heads, tails = instants.heads, instants.tails
    lookup, agenda = waybills.lookup, waybills.agenda
    entries, dirty, closed, source_numbers = (
        waybills.entries,
        waybills.dirty,
        waybills.closed,
        waybills.source_numbers,
    )
    ledger = waybills.ledger
    add_tick, add_cell = ledger.ticks.append, ledger.cells.append
    add_counter, add_delta = ledger.counters.append, ledger.deltas.append
    pack_collected, unpack_collected = COLLECTED_LAYOUT.pack, COLLECTED_LAYOUT.unpack_from
    pack_both, pack_registered = BOTH_LAYOUT.pack, REGISTERED_LAYOUT.pack
    unpack_registered, unpack_head = REGISTERED_LAYOUT.unpack_from, HEAD_LAYOUT.unpack_from
    collected_size, registered_size = COLLECTED_LAYOUT.size, REGISTERED_LAYOUT.size
    collected_in, uncollected_in = agenda.collected, agenda.uncollected
    grace_ms, final_close_ms = policy.grace_alert_ms, policy.final_close_ms
    backdating_ms, skew_ms, disorder_ms = (
        policy.backdating_ms,
        policy.clock_skew_ms,
        policy.disorder_ms,
    )
    by_wall_clock = waybills.clock == "wall"
    watermark_ms, received_max_ms = waybills.watermark_ms, waybills.received_max_ms
    mature_before = (watermark_ms - grace_ms) // PANE_MS
    next_due_ms = agenda.next_ms
    # The minute that holds the last record, both ends excluded, and what follows from it.
    minute_from_ms = minute_to_ms = tick = open_from = 0

    for index, (value, key) in enumerate(zip(batch.values, batch.keys, strict=True)):
        if not value or len(value) > VALUE_BYTES_MAX:
            rejects.append(Reject(index, *shipments.why_refused(value, None)))
            continue
        try:
            record = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            rejects.append(Reject(index, *shipments.why_refused(value, error)))
            continue
        try:
            if isinstance(record, Heartbeat):
                received_ms = waybills.heard(record, batch.timestamps_ms[index])
            else:
                add_source(record.source)
                text = record.recorded_at
                try:
                    recorded_ms = heads[text[:19]] + tails[text[19:]]
                except KeyError:
                    recorded_ms = parse(text, "$.recorded_at")
                text = record.time
                try:
                    time_ms = heads[text[:19]] + tails[text[19:]]
                except KeyError:
                    time_ms = parse(text, "$.time")
                if by_wall_clock:
                    received_ms = batch.timestamps_ms[index]
                elif record.received_at is None:
                    received_ms = recorded_ms
                else:
                    text = record.received_at
                    try:
                        received_ms = heads[text[:19]] + tails[text[19:]]
                    except KeyError:
                        received_ms = parse(text, "$.received_at")

                now_ms = max(watermark_ms, received_ms)
                if not minute_from_ms < now_ms < minute_to_ms:
                    tick = -(-now_ms // TICK_MS)
                    minute_to_ms = tick * TICK_MS
                    # An instant on the boundary stands alone: what has come by then has not before.
                    minute_from_ms = minute_to_ms - (TICK_MS if now_ms < minute_to_ms else 0)
                    open_from = (now_ms - final_close_ms) // PANE_MS
                    if not lookup.after_ms < now_ms <= lookup.until_ms:
                        lookup.use_at(now_ms)
                    units = lookup.units
                latest_ms = received_ms + skew_ms
                taken = False
                if (
                    isinstance(record, _JOINED)
                    and OLDEST_MS <= time_ms <= latest_ms
                    and OLDEST_MS <= recorded_ms <= latest_ms
                    and key == record.waybill_no.encode()
                    and (unit := units.get(record.outlet_id)) is not None
                ):
                    entry = entries.get(key)
                    if isinstance(record, Registered):
                        delay_ms = received_ms - recorded_ms
                        backdated = 1
                        if delay_ms <= backdating_ms:
                            delay_ms = backdated = 0
                        if record.verification_result != "MATCHED" or delay_ms > DELAY_MAX_MS:
                            pass
                        elif entry is None:
                            pane = time_ms // PANE_MS
                            if pane >= open_from and not (
                                closed and waybills.hash_of(key) in closed
                            ):
                                entries[key] = dirty[key] = (
                                    pack_registered(
                                        REGISTERED,
                                        time_ms,
                                        unit >> _UNIT_SHIFT,
                                        recorded_ms,
                                        delay_ms,
                                        backdated,
                                    )
                                    + record.registration_id.encode()
                                )
                                keys = uncollected_in.get(pane)
                                if keys is None:
                                    agenda.enter_uncollected(pane, key)
                                    next_due_ms = agenda.next_ms
                                else:
                                    keys.append(key)
                                taken = True
                        elif entry[0] == COLLECTED:
                            _, cell, in_pane_ms, hub, source = unpack_collected(entry)
                            pane = cell & PANE_MASK
                            if pane >= open_from:
                                record_id = entry[collected_size:]
                                entries[key] = dirty[key] = (
                                    pack_both(
                                        BOTH,
                                        cell,
                                        in_pane_ms,
                                        hub,
                                        source,
                                        recorded_ms,
                                        delay_ms,
                                        backdated,
                                        len(record_id),
                                    )
                                    + record_id
                                    + record.registration_id.encode()
                                )
                                on_time_ms = pane * PANE_MS + in_pane_ms + grace_ms
                                add_tick(tick)
                                add_cell(cell)
                                add_counter(
                                    _ON_TIME if recorded_ms + delay_ms <= on_time_ms else _LATE
                                )
                                add_delta(1)
                                if backdated:
                                    ledger.count(tick, cell, _BACKDATED, 1)
                                if pane < mature_before:
                                    waybills.take_back_missing(key)
                                taken = True
                    else:
                        category = record.parcel_category
                        bits = _CATEGORY_BITS.get(category)
                        source = source_numbers.get(record.source)
                        record_id = record.id.encode()
                        pane, in_pane_ms = divmod(time_ms, PANE_MS)
                        if (
                            bits is None
                            or source is None
                            or pane < open_from
                            or len(record_id) > ID_BYTES_MAX
                        ):
                            pass
                        elif entry is None:
                            agreed = record.agreement_id is not None and category in _BATCH
                            if agreed and not lookup.covers_at_once(record.agreement_id, time_ms):
                                pass
                            elif not (closed and waybills.hash_of(key) in closed):
                                scope = lookup.scope_of(record, time_ms) if lookup.scoped else 0
                                cell = (unit | bits | scope) << PANE_BITS | pane
                                entries[key] = dirty[key] = (
                                    pack_collected(
                                        AGREED if agreed else COLLECTED,
                                        cell,
                                        in_pane_ms,
                                        0,
                                        source,
                                    )
                                    + record_id
                                )
                                add_tick(tick)
                                add_cell(cell)
                                add_counter(_ELIGIBLE)
                                add_delta(1)
                                if agreed:
                                    ledger.count(tick, cell, _ON_TIME, 1)
                                keys = collected_in.get(pane)
                                if keys is None:
                                    agenda.enter_collected(pane, key)
                                    next_due_ms = agenda.next_ms
                                else:
                                    keys.append(key)
                                if pane < mature_before and not agreed:
                                    waybills.report_missing(key, cell, time_ms)
                                taken = True
                        elif entry[0] == REGISTERED:
                            _, first_ms, _, decided_ms, delay_ms, backdated = unpack_registered(
                                entry
                            )
                            if first_ms // PANE_MS >= open_from and (
                                record.agreement_id is None or category not in _BATCH
                            ):
                                scope = lookup.scope_of(record, time_ms) if lookup.scoped else 0
                                cell = (unit | bits | scope) << PANE_BITS | pane
                                entries[key] = dirty[key] = (
                                    pack_both(
                                        BOTH,
                                        cell,
                                        in_pane_ms,
                                        0,
                                        source,
                                        decided_ms,
                                        delay_ms,
                                        backdated,
                                        len(record_id),
                                    )
                                    + record_id
                                    + entry[registered_size:]
                                )
                                on_time = decided_ms + delay_ms <= time_ms + grace_ms
                                ledger.count(tick, cell, _ELIGIBLE, 1)
                                ledger.count(tick, cell, _ON_TIME if on_time else _LATE, 1)
                                if backdated:
                                    ledger.count(tick, cell, _BACKDATED, 1)
                                agenda.enter_collected(pane, key)
                                next_due_ms = agenda.next_ms
                                taken = True
                elif (
                    isinstance(record, Scanned)
                    and OLDEST_MS <= time_ms <= latest_ms
                    and OLDEST_MS <= recorded_ms <= latest_ms
                    and key == record.waybill_no.encode()
                    and (entry := entries.get(key)) is not None
                    and entry[0] in _OWNED
                ):
                    _, cell, in_pane_ms, hub = unpack_head(entry)
                    pane = cell & PANE_MASK
                    delay = time_ms - pane * PANE_MS - in_pane_ms + 1
                    if pane >= open_from and 0 < delay <= DELAY_MAX_MS:
                        if not hub or delay < hub:
                            entries[key] = dirty[key] = (
                                entry[:HUB_AT] + HUB_LAYOUT.pack(delay) + entry[HUB_END:]
                            )
                        taken = True
                if not taken:
                    waybills.watermark_ms = watermark_ms
                    waybills.take(record, key, (time_ms, recorded_ms, received_ms, now_ms))
                    next_due_ms = agenda.next_ms
        except Refused as refusal:
            source_name = "" if isinstance(record, Heartbeat) else record.source
            rejects.append(Reject(index, refusal.code, refusal.path, source_name))
            continue
        if received_ms > received_max_ms:
            received_max_ms = received_ms
            watermark_ms = received_ms - disorder_ms
            if next_due_ms <= watermark_ms:
                waybills.received_max_ms = received_max_ms
                waybills.advance(watermark_ms)
                next_due_ms = agenda.next_ms
                minute_from_ms = minute_to_ms = 0  # The reference data may be another.
            mature_before = (watermark_ms - grace_ms) // PANE_MS
    waybills.received_max_ms, waybills.watermark_ms = received_max_ms, watermark_ms
    waybills.ratio.add(Counts(sources), rejects)
    return rejects
