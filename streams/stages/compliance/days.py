"""From `days` to `day.closed` and `day.revised`: one event for each issue of a scope's day."""

from collections.abc import Iterator
from typing import Final

import msgspec

from streams.domain.window import day_from_text
from streams.records import compliance, published
from streams.records.compliance import correlation, encode, event, event_id, key_of
from streams.records.published import DayRecord
from streams.stages.compliance.figures import day_data
from streams.stages.compliance.telling import Entry, Told

FORGOTTEN_DAYS: Final = 12
"""Days are kept, and may be published again, for eight; they become final after three."""


class Issue(msgspec.Struct, array_like=True, frozen=True):
    """The issue of a scope's day that was last told. `closed_id` is the id of the first event."""

    day: int
    revision: int
    day_status: str
    closed_id: str


class DaysState(msgspec.Struct, array_like=True):
    """A snapshot."""

    newest_day: int
    issues: dict[str, Issue]


class DaysTeller:
    """One partition of `days`."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self._newest_day = 0
        self._issues: dict[str, Issue] = {}

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in the figures of a scope's day."""
        if entry.value is None:
            return
        record = published.decode(entry.value, DayRecord)
        self._forget(day_from_text(record.date))
        if record.enterprise_id is None or not record.revision:
            return
        key = entry.key.decode()
        before = self._issues.get(key)
        if before is not None and (before.revision, before.day_status) == (
            record.revision,
            record.day_status,
        ):
            return
        if before is None and day_from_text(record.date) <= self._newest_day - FORGOTTEN_DAYS:
            return
        yield self._tell(key, record, before)

    def _tell(self, name: str, record: DayRecord, before: Issue | None) -> Told:
        kind = compliance.DAY_CLOSED if before is None else compliance.DAY_REVISED
        subject = f"{record.granularity}|{record.scope_id}"
        key = key_of(kind, subject, record.date)
        mark = f"{record.revision}|{record.day_status}"
        extensions = {
            "correlationid": correlation(record.granularity, record.scope_id, record.date)
        }
        if before is not None:
            extensions["causationid"] = before.closed_id
        closed_id = event_id(kind, key, mark) if before is None else before.closed_id
        day = day_from_text(record.date)
        self._issues[name] = Issue(day, record.revision, record.day_status, closed_id)
        told = event(
            kind,
            key=key,
            subject=subject,
            time=record.as_of,
            mark=mark,
            data=encode(day_data(record)),
            extensions=extensions,
        )
        assert record.enterprise_id is not None
        return Told(record.enterprise_id, told)

    def _forget(self, day: int) -> None:
        if day <= self._newest_day:
            return
        self._newest_day = day
        gone = [key for key, issue in self._issues.items() if issue.day <= day - FORGOTTEN_DAYS]
        for key in gone:
            del self._issues[key]

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Tell nothing: everything here comes with a record."""
        del now_ms
        yield from ()

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        return msgspec.msgpack.encode(DaysState(self._newest_day, self._issues))

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        found = msgspec.msgpack.decode(state, type=DaysState)
        self._newest_day, self._issues = found.newest_day, found.issues
