"""The hot path of the whole program: nine records of ten, joined by machine code.

It knows seven cases: a first collection, covered by an agreement or not, a first registration, each of them
after the other, a second registration, and a hub's scan of what was collected. At any other record, or where
anything else is known of a waybill, it stops, and `Waybills.take`, which is the rule, takes that one; a
property test holds the two together.
"""

from typing import Final, NamedTuple

import numpy as np

from streams.domain.cell import PANE_MASK
from streams.domain.window import PANE_MS
from streams.stages.match.entry import (
    AGREED,
    BOTH,
    CLAIM_END,
    COLLECTED,
    COLLECTED_END,
    DELAY_MAX_MS,
    DUPLICATED,
    GENERAL,
    HUB_AT,
    ID_BYTES_MAX,
    ID_LENGTH_AT,
    IN_PANE_AT,
    OUTLET_AT,
    PLACE_AT,
    REGISTERED,
    SOURCE_AT,
    UPLOAD_END,
)
from streams.stages.match.native.closed import Table, holds
from streams.stages.match.native.compiled import compiled
from streams.stages.match.native.entries import (
    NONE,
    Arrays,
    Bytes,
    Int64s,
    add,
    copy,
    entry_at,
    find,
    is_changed,
    length_of,
    note_changed,
    read4,
    read8,
    remove,
    resized,
    same,
    write4,
    write8,
)
from streams.stages.match.native.scan import COLLECTED as A_COLLECTION
from streams.stages.match.native.scan import ID, RECORDED, TIME, WAYBILL, Matrix
from streams.stages.match.native.scan import REGISTERED as A_REGISTRATION
from streams.stages.match.native.scan import SCANNED as A_SCAN

SKIPPED: Final = 4
"""A kind of row beside those of `scan`: one that changes nothing."""

# What is planned of each row of a run, each one row of the matrix.
KIND: Final = 0
PANE: Final = 1
CELL: Final = 2
FORM: Final = 3
SOURCE: Final = 4
OUTLET: Final = 5
DELAY: Final = 6
BACKDATED: Final = 7
PLANNED: Final = 8

# What a run changes: how many of each, and the rows of the matrix in which they stand.
NEW: Final = 0
"""First collections, by row."""
COVERED: Final = 1
"""First registrations of what had been collected: row, its cell, when it was."""
COVERED_CELL: Final = 2
COVERED_MS: Final = 3
MET: Final = 4
"""Collections of what had been registered: row, upload, whether backdated."""
MET_UPLOAD: Final = 5
MET_BACKDATED: Final = 6
QUEUED: Final = 7
"""Slots of what has been collected, and their panes."""
QUEUED_PANE: Final = 8
CLAIMED: Final = 9
"""The same of what has only been registered."""
CLAIMED_PANE: Final = 10
FOUND: Final = 11
"""Slots of parcels that are missing no longer."""
AGAIN: Final = 12
"""Second registrations: row and cell."""
AGAIN_CELL: Final = 13
CHANGES: Final = 14

ROOM: Final = 1_000
"""Bytes of the arena that one row may take, with the longest ids and twice over."""


class Run(NamedTuple):
    """The rows of a run, as machine code has them.

    Attributes:
        text: The batch's values.
        rows: Its columns, by row of the batch (`scan`).
        hashes: Of waybills, likewise.
        plan: By row of the run.
        start: First row of the run.
        floor: First pane of which no parcel may have closed.
        mature_before: First pane that is not mature.

    """

    text: Bytes
    rows: Matrix
    hashes: Int64s
    plan: Matrix
    start: int
    floor: int
    mature_before: int


@compiled
def _note(changes: Matrix, counts: Int64s, what: int, value: int) -> int:
    number = counts[what]
    changes[what, number] = value
    counts[what] = number + 1
    return number


@compiled
def _write_upload(run: Run, row: int, arena: Bytes, at: int) -> None:
    place = row - run.start
    write8(arena, at, run.rows[RECORDED, row])
    write4(arena, at + 8, run.plan[DELAY, place])
    arena[at + 12] = run.plan[BACKDATED, place]
    copy(run.text, run.rows[ID, row], run.rows[ID + 1, row], arena, at + UPLOAD_END)


@compiled
def _register_again(
    arrays: Arrays, run: Run, row: int, slot: int, changes: Matrix, counts: Int64s
) -> bool:
    """Take a second registration of what has been collected and registered, if that is all it changes."""
    rows, arena = run.rows, arrays.arena
    entry, length = entry_at(arrays, slot), length_of(arrays, slot)
    cell = read8(arena, entry + PLACE_AT)
    pane = cell & PANE_MASK
    first = entry + COLLECTED_END + np.int64(arena[entry + ID_LENGTH_AT])
    first_id = first + UPLOAD_END
    first_length = entry + length - first_id
    own, own_length = rows[ID, row], rows[ID + 1, row]
    uploaded = read8(arena, first) + read4(arena, first + 8)
    earlier = rows[RECORDED, row] + run.plan[DELAY, row - run.start] < uploaded
    if pane < run.floor or earlier or first_length > ID_BYTES_MAX:
        return False
    if first_length == own_length and same(arena, first_id, run.text, own, own_length):
        return False
    moved = resized(arrays, slot, length + 1 + UPLOAD_END + own_length)
    arena[moved] = DUPLICATED
    # It has moved, and what it was is still where it was.
    length_at = moved + first_id - entry
    arena[length_at] = first_length
    copy(arena, first_id, first_length, arena, length_at + 1)
    _write_upload(run, row, arena, length_at + 1 + first_length)
    changes[AGAIN_CELL, _note(changes, counts, AGAIN, row)] = cell
    note_changed(arrays, slot)
    return True


@compiled
def _register(
    arrays: Arrays, closed: Table, run: Run, row: int, changes: Matrix, counts: Int64s
) -> bool:
    rows, arena, place = run.rows, arrays.arena, row - run.start
    hashed, waybill, key_length = run.hashes[row], rows[WAYBILL, row], rows[WAYBILL + 1, row]
    upload = UPLOAD_END + rows[ID + 1, row]
    slot = find(arrays, hashed, run.text, waybill, key_length)
    if slot == NONE:
        if holds(closed, hashed):
            return False
        slot = add(arrays, hashed, run.text, waybill, key_length, CLAIM_END + upload)
        entry = entry_at(arrays, slot)
        arena[entry] = REGISTERED
        write8(arena, entry + PLACE_AT, rows[TIME, row])
        outlet = run.plan[OUTLET, place]
        arena[entry + OUTLET_AT], arena[entry + OUTLET_AT + 1] = outlet & 0xFF, outlet >> 8
        _write_upload(run, row, arena, entry + CLAIM_END)
        changes[CLAIMED_PANE, _note(changes, counts, CLAIMED, slot)] = run.plan[PANE, place]
    elif arena[entry_at(arrays, slot)] == BOTH:
        return _register_again(arrays, run, row, slot, changes, counts)
    else:
        entry = entry_at(arrays, slot)
        if arena[entry] != COLLECTED:
            return False
        cell, in_pane = read8(arena, entry + PLACE_AT), read4(arena, entry + IN_PANE_AT)
        pane = cell & PANE_MASK
        if pane < run.floor:
            return False
        length = length_of(arrays, slot)
        entry = resized(arrays, slot, length + upload)
        arena[entry] = BOTH
        _write_upload(run, row, arena, entry + length)
        number = _note(changes, counts, COVERED, row)
        changes[COVERED_CELL, number] = cell
        changes[COVERED_MS, number] = pane * PANE_MS + in_pane
        if pane < run.mature_before:
            _note(changes, counts, FOUND, slot)
    note_changed(arrays, slot)
    return True


@compiled
def _collect(
    arrays: Arrays, closed: Table, run: Run, row: int, changes: Matrix, counts: Int64s
) -> bool:
    rows, plan, arena, place = run.rows, run.plan, arrays.arena, row - run.start
    hashed, waybill, key_length = run.hashes[row], rows[WAYBILL, row], rows[WAYBILL + 1, row]
    id_length = rows[ID + 1, row]
    own = COLLECTED_END + id_length
    form = plan[FORM, place]
    slot = find(arrays, hashed, run.text, waybill, key_length)
    if slot == NONE:
        if holds(closed, hashed):
            return False
        slot = add(arrays, hashed, run.text, waybill, key_length, own)
        entry = entry_at(arrays, slot)
        _note(changes, counts, NEW, row)
    else:
        old = entry_at(arrays, slot)
        if arena[old] != REGISTERED or form != COLLECTED:
            return False
        if read8(arena, old + PLACE_AT) // PANE_MS < run.floor:
            return False
        form = BOTH
        upload = length_of(arrays, slot) - CLAIM_END
        number = _note(changes, counts, MET, row)
        old += CLAIM_END
        changes[MET_UPLOAD, number] = read8(arena, old) + read4(arena, old + 8)
        changes[MET_BACKDATED, number] = arena[old + 12]
        # It is longer than before, so it has moved, and what it was is still where it was.
        entry = resized(arrays, slot, own + upload)
        copy(arena, old, upload, arena, entry + own)
    arena[entry] = form
    write8(arena, entry + PLACE_AT, plan[CELL, place])
    write4(arena, entry + IN_PANE_AT, rows[TIME, row] % PANE_MS)
    write4(arena, entry + HUB_AT, 0)
    source = plan[SOURCE, place]
    arena[entry + SOURCE_AT], arena[entry + SOURCE_AT + 1] = source & 0xFF, source >> 8
    arena[entry + ID_LENGTH_AT] = id_length
    copy(run.text, rows[ID, row], id_length, arena, entry + COLLECTED_END)
    note_changed(arrays, slot)
    changes[QUEUED_PANE, _note(changes, counts, QUEUED, slot)] = plan[PANE, place]
    return True


@compiled
def _scan(arrays: Arrays, run: Run, row: int) -> bool:
    rows, arena = run.rows, arrays.arena
    slot = find(arrays, run.hashes[row], run.text, rows[WAYBILL, row], rows[WAYBILL + 1, row])
    if slot == NONE:
        return False
    entry = entry_at(arrays, slot)
    form = arena[entry]
    if form not in (COLLECTED, AGREED, BOTH, DUPLICATED):
        return False
    pane = read8(arena, entry + PLACE_AT) & PANE_MASK
    collected = pane * PANE_MS + read4(arena, entry + IN_PANE_AT)
    delay = rows[TIME, row] - collected + 1
    if pane < run.floor or delay <= 0 or delay > DELAY_MAX_MS:
        return False
    hub = read4(arena, entry + HUB_AT)
    if hub == 0 or hub > delay:
        write4(arena, entry + HUB_AT, delay)
        note_changed(arrays, slot)
    return True


@compiled
def join(
    arrays: Arrays,
    closed: Table,
    run: Run,
    row: int,
    changes: Matrix,
    counts: Int64s,
) -> int:
    """Take the rows of a run from `row` on; return the first that the rule must take, or the run's end.

    `changes` and `counts` are added to. There must be room for the rows, `ROOM` each.
    """
    end = run.start + run.plan.shape[1]
    while row < end:
        kind = run.plan[KIND, row - run.start]
        if kind == A_REGISTRATION:
            taken = _register(arrays, closed, run, row, changes, counts)
        elif kind == A_COLLECTION:
            taken = _collect(arrays, closed, run, row, changes, counts)
        elif kind == A_SCAN:
            taken = _scan(arrays, run, row)
        else:
            taken = kind == SKIPPED
        if not taken:
            return row
        row += 1
    return row


@compiled
def _pane_of(arrays: Arrays, slot: int) -> int:
    """Return the pane of what has been collected, in a short form; less than 0 for anything else."""
    if arrays.slots[slot, 0] < 0:
        return NONE
    entry = entry_at(arrays, slot)
    if arrays.arena[entry] not in (COLLECTED, AGREED, BOTH, DUPLICATED):
        return NONE
    return read8(arrays.arena, entry + PLACE_AT) & PANE_MASK


@compiled
def uncovered(arrays: Arrays, slots: Int64s, pane: int, found: Int64s) -> int:
    """Write the slots of those that may be missing as a pane matures; return how many there are.

    They are collected and uncovered, in that pane; or in the general form, which says neither.
    """
    count = 0
    for number in range(len(slots)):
        slot = slots[number]
        if arrays.slots[slot, 0] < 0:
            continue
        form = arrays.arena[entry_at(arrays, slot)]
        if form == GENERAL or (form == COLLECTED and _pane_of(arrays, slot) == pane):
            found[count] = slot
            count += 1
    return count


@compiled
def close(
    arrays: Arrays, slots: Int64s, pane: int, hashes: Int64s, cells: Int64s, left: Int64s
) -> tuple[int, int]:
    """Take away what is of a pane in a short form and unchanged; write what is left to the rule.

    Return how many hashes and cells of closed parcels there are, and how many slots are left.
    """
    count = rest = 0
    for number in range(len(slots)):
        slot = slots[number]
        if arrays.slots[slot, 0] < 0:
            continue
        entry = entry_at(arrays, slot)
        if _pane_of(arrays, slot) == pane and not is_changed(arrays, slot):
            hashes[count] = arrays.slots[slot, 1]
            cells[count] = read8(arrays.arena, entry + PLACE_AT)
            count += 1
            remove(arrays, slot)
        else:
            left[rest] = slot
            rest += 1
    return count, rest


@compiled
def survey(arrays: Arrays, slots: Int64s, panes: Int64s) -> None:
    """Write under which pane each parcel is queued: p if it has been collected, -2 - p if not.

    NONE for the general form, which does not say.
    """
    for number in range(len(slots)):
        slot = slots[number]
        entry = entry_at(arrays, slot)
        if arrays.arena[entry] == REGISTERED:
            panes[number] = -2 - read8(arrays.arena, entry + PLACE_AT) // PANE_MS
        else:
            panes[number] = _pane_of(arrays, slot)
