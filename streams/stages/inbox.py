"""Changes on their way in: each source's place and watermark, and the rows that wait for their tick.

A tick is complete when every source has passed it. Until then its rows wait here.
"""

from typing import Final

import msgspec
import numpy as np

from streams.domain.window import TICK_MS
from streams.records.changes import Changes, Header, Rows, concatenate, summed

SUM_ROWS: Final = 1_000_000
"""Waiting rows are summed whenever they have grown by this many, so that a slow source costs no more
memory than the cells that change meanwhile."""


class InboxState(msgspec.Struct, frozen=True):
    """What a snapshot holds of the inbox beside the waiting rows.

    Attributes:
        expected: Source, first and end offset of its last record, and the part that must come next.
        watermarks_ms: Source and watermark.

    """

    expected: list[tuple[int, int, int, int]]
    watermarks_ms: list[tuple[int, int]]


class GapError(Exception):
    """A source's changes are not the ones that must come next, so counts would be lost or doubled.

    Nothing of the record has been applied. Retrying does not help: the topic has been cut or written by
    two workers, and the state must be rebuilt.
    """


class Inbox:
    """The sources of one partition. All of `sources` must have been heard of before any tick passes."""

    def __init__(self, sources: int) -> None:
        assert sources > 0
        self._sources: Final = sources
        self._expected: dict[int, tuple[int, int, int]] = {}  # By source: from, to, next part.
        self._watermarks_ms: dict[int, int] = {}
        self._waiting: list[Rows] = []
        self._waiting_rows = 0
        self._sum_at = SUM_ROWS

    def take(self, changes: Changes) -> None:
        """Take one record's rows in. Raises GapError, with nothing taken, when it is not the next."""
        header = changes.header
        self._check(header, changes.rows)
        last = header.part + 1 == header.parts
        self._expected[header.source] = (
            header.from_offset,
            header.to_offset,
            0 if last else header.part + 1,
        )
        if len(changes.rows):
            self._waiting.append(changes.rows)
            self._waiting_rows += len(changes.rows)
            self._sum_waiting_when_many()
        if last:
            self._watermarks_ms[header.source] = header.watermark_ms

    def _check(self, header: Header, rows: Rows) -> None:
        what = (
            f"changes of source {header.source}, offsets {header.from_offset} to "
            f"{header.to_offset}, part {header.part + 1} of {header.parts}"
        )
        if not 0 <= header.source < self._sources:
            raise GapError(f"{what}: there are only {self._sources} sources")
        known = self._expected.get(header.source)
        if known is None:
            if header.part != 0:
                raise GapError(f"{what}: the first record of a source must be a first part")
        else:
            from_offset, to_offset, part = known
            place = (header.from_offset, header.part)
            if place != ((from_offset, part) if part else (to_offset, 0)):
                raise GapError(f"{what}: expected offset {to_offset if not part else from_offset}")
        watermark_ms = self._watermarks_ms.get(header.source)
        if watermark_ms is None:
            return
        if header.watermark_ms < watermark_ms:
            raise GapError(f"{what}: the watermark went back")
        if len(rows) and int(rows.ticks.min()) * TICK_MS < watermark_ms:
            raise GapError(f"{what}: a change of a tick that was said to be complete")

    def _sum_waiting_when_many(self) -> None:
        if self._waiting_rows >= self._sum_at:
            self._waiting = [summed(concatenate(self._waiting))]
            self._waiting_rows = len(self._waiting[0])
            self._sum_at = self._waiting_rows + SUM_ROWS

    @property
    def passed_tick(self) -> int | None:
        """The last tick (in minutes) that all sources have passed; None while one is unheard of."""
        if len(self._watermarks_ms) < self._sources:
            return None
        return (min(self._watermarks_ms.values()) - 1) // TICK_MS

    def release(self, tick: int) -> Rows:
        """Return the waiting rows up to and with `tick`, in the order of ticks, and forget them."""
        rows = concatenate(self._waiting)
        if not len(rows):
            return rows
        order = np.argsort(rows.ticks, kind="stable")
        rows = rows.take(order)
        cut = int(np.searchsorted(rows.ticks, tick, side="right"))
        rest = rows.take(slice(cut, None))
        self._waiting = [rest] if len(rest) else []
        self._waiting_rows = len(rest)
        self._sum_at = self._waiting_rows + SUM_ROWS
        return rows.take(slice(0, cut))

    def snapshot(self) -> tuple[Rows, InboxState]:
        """Return the waiting rows, summed, and the rest."""
        return summed(concatenate(self._waiting)), InboxState(
            expected=sorted((s, *e) for s, e in self._expected.items()),
            watermarks_ms=sorted(self._watermarks_ms.items()),
        )

    def restore(self, waiting: Rows, state: InboxState) -> None:
        """Take back what `snapshot` returned."""
        self._waiting = [waiting] if len(waiting) else []
        self._waiting_rows = len(waiting)
        self._sum_at = self._waiting_rows + SUM_ROWS
        self._expected = {source: (first, end, part) for source, first, end, part in state.expected}
        self._watermarks_ms = dict(state.watermarks_ms)
