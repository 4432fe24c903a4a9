"""The materialised view: what the published topics say now, in memory, for any number of readers.

Several replicas may run: each follows the topics by itself, and all come to the same. Memory is bounded:
one row per scope (2 to 3 KB), the business days below, open alerts and the latest ended ones.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, TypeVar

from streams.domain.period import Granularity
from streams.domain.window import day_from_text, day_text
from streams.records import acks, topics
from streams.records.acks import AlertAck
from streams.records.published import alert_key
from streams.reference.areas import Areas
from streams.reference.codec import SnapshotError
from streams.reference.history import assemble
from streams.reference.types import Reference
from streams.serve.curve import Curves, Point
from streams.serve.names import Names
from streams.serve.rows import (
    AlertRow,
    DayRow,
    Incoming,
    RateRow,
    alert_row,
    day_row,
    rate_row,
)

LOGGER: Final = logging.getLogger(__name__)

FOLLOWED: Final = (topics.REFERENCE, topics.RATES, topics.DAYS, topics.ALERTS)
"""Topics that a view needs; `alerts.acks` is followed besides, where there is one."""

OUTLET: Final = "OUTLET"
GRANULARITIES: Final = tuple(granularity.value for granularity in Granularity)
DAYS_KEPT: Final = 40
"""Business days kept of everything but outlets: as long as their figures are kept upstream."""
OUTLET_DAYS_KEPT: Final = 8
"""The same of outlets, of which there are thousands: a week, and the day that has begun."""
RATES_KEPT_DAYS: Final = 30
"""As the topic deletes them."""
ENDED_ALERTS_MAX: Final = 10_000
"""Beyond it the alerts that ended first are forgotten."""
_SPARE: Final = 1_000

assert OUTLET_DAYS_KEPT <= DAYS_KEPT

DayKey = tuple[str, str]
Change = Callable[[], None]
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class View:
    """What the followed topics say. One thread applies records, any thread reads.

    Records may come in any order between topics and again from the beginning: a row is its latest
    record. Rows that are handed out never change.
    """

    def __init__(self, areas: Areas) -> None:
        """Begin with nothing."""
        self._areas = areas
        self._lock = Lock()
        self._revision = 0
        self._empty()

    def _empty(self) -> None:
        self._rates: dict[str, dict[str, RateRow]] = {}
        self._days: dict[str, dict[DayKey, DayRow]] = {}
        self._alerts: dict[bytes, AlertRow] = {}
        self._acks: dict[bytes, AlertAck] = {}
        self._reference_records: dict[bytes, bytes | None] = {}
        self._reference = Reference()
        self._names = Names(self._areas, self._reference)
        self._curves = Curves()
        self._newest_date = ""
        self._received_ms: int | None = None
        self._as_of: str | None = None
        self._invalid = 0

    def clear(self) -> None:
        """Forget everything, to be filled again from the beginning of the topics."""
        with self._lock:
            self._empty()
            self._revision += 1

    @property
    def revision(self) -> int:
        """Grows whenever anything changes; for this process only."""
        return self._revision

    @property
    def received_ms(self) -> int | None:
        """When Kafka had the newest record of `rates`; None before the first."""
        return self._received_ms

    @property
    def as_of(self) -> str | None:
        """Stream time: the newest tick that any rate is of; None before the first."""
        return self._as_of

    @property
    def invalid(self) -> int:
        """Records that could not be read, and were left out."""
        return self._invalid

    @property
    def areas(self) -> Areas:
        """The counties and cities of the region."""
        return self._areas

    @property
    def reference(self) -> Reference:
        """The newest reference data."""
        return self._reference

    @property
    def names(self) -> Names:
        """Names as of the newest reference data."""
        return self._names

    def rate(self, granularity: str, scope_id: str) -> RateRow | None:
        """Return one scope's rates."""
        return self._rates.get(granularity, {}).get(scope_id)

    def rates(self, granularity: str | None = None, scope_id: str | None = None) -> list[RateRow]:
        """Return the rates of all scopes, or of those of a granularity or an id; in no order."""
        with self._lock:
            kinds = (
                self._rates.values() if granularity is None else [self._rates.get(granularity, {})]
            )
            if scope_id is not None:
                return [rows[scope_id] for rows in kinds if scope_id in rows]
            return [row for rows in kinds for row in rows.values()]

    def day(self, granularity: str, scope_id: str, date: str) -> DayRow | None:
        """Return one scope's business day."""
        return self._days.get(date, {}).get((granularity, scope_id))

    @property
    def dates(self) -> list[str]:
        """The business days that are kept, in order."""
        with self._lock:
            return sorted(self._days)

    def days(self, date: str, scope_id: str | None = None) -> list[DayRow]:
        """Return the figures of a business day of all scopes, or those with an id; in no order."""
        with self._lock:
            rows = self._days.get(date, {})
            if scope_id is not None:
                keys = ((granularity, scope_id) for granularity in GRANULARITIES)
                return [rows[key] for key in keys if key in rows]
            return list(rows.values())

    def days_of(self, granularity: str, scope_id: str) -> list[DayRow]:
        """Return one scope's business days that are kept, the newest first."""
        with self._lock:
            found = [rows.get((granularity, scope_id)) for rows in self._days.values()]
        return sorted((row for row in found if row), key=lambda row: row.date, reverse=True)

    def alerts(self) -> list[AlertRow]:
        """Return the alerts that are open or have lately ended; in no order."""
        with self._lock:
            return list(self._alerts.values())

    def ack(self, row: AlertRow) -> AlertAck | None:
        """Return who has taken an alert on, if anybody."""
        return self._acks.get(alert_key(row.alert_id, row.episode))

    def curve(self, granularity: str, scope_id: str, date: str) -> list[Point]:
        """Return the points of a scope's business day that have been seen."""
        with self._lock:
            return self._curves.points(granularity, scope_id, date)

    def apply(self, records: Sequence[Incoming]) -> None:
        """Take in records of one topic or several. What cannot be read is counted and left out."""
        changes: list[Change] = []
        unread: Counter[str] = Counter()
        for record in records:
            try:
                change = self._change(record)
            except ValueError:
                unread[record.topic] += 1
                continue
            if change is not None:
                changes.append(change)
        for topic, count in unread.items():
            # The error itself would quote the record.
            LOGGER.warning("%d records of %s cannot be read and are left out", count, topic)
        self._invalid += unread.total()
        with self._lock:
            newest_before = self._newest_date
            for change in changes:
                change()
            self._prune(newest_before)
            self._revision += bool(changes)
        if any(record.topic == topics.REFERENCE for record in records):
            self._refer()

    def _change(self, record: Incoming) -> Change | None:
        """Decode a record, and return what is to be done under the lock, if anything."""
        match record.topic:
            case topics.RATES:
                return self._rate_change(record)
            case topics.DAYS:
                return self._day_change(record)
            case topics.ALERTS:
                return self._alert_change(record)
            case topics.REFERENCE:
                return lambda: self._reference_records.update({record.key: record.value})
            case _:
                assert record.topic == topics.ALERTS_ACKS, record.topic
                return self._ack_change(record)

    def _rate_change(self, record: Incoming) -> Change:
        if record.value is None:
            granularity, _, scope_id = record.key.decode().partition("|")
            return lambda: _forget(self._rates.get(granularity, {}), scope_id)
        row = rate_row(record.value)
        day_from_text(row.date)

        def change() -> None:
            self._rates.setdefault(row.granularity, {})[row.scope_id] = row
            self._curves.take(row)
            self._newest_date = max(self._newest_date, row.date)
            self._as_of = max(self._as_of or row.as_of, row.as_of)
            self._received_ms = max(self._received_ms or 0, record.timestamp_ms)

        return change

    def _day_change(self, record: Incoming) -> Change | None:
        granularity, _, rest = record.key.decode().partition("|")
        scope_id, _, date = rest.rpartition("|")
        day_from_text(date)
        if date < self._kept_from(granularity):
            return None
        if record.value is None:
            return lambda: _forget(self._days.get(date, {}), (granularity, scope_id))
        row = day_row(record.value)

        def change() -> None:
            self._days.setdefault(row.date, {})[row.granularity, row.scope_id] = row
            self._newest_date = max(self._newest_date, row.date)

        return change

    def _alert_change(self, record: Incoming) -> Change:
        if record.value is None:
            return lambda: _forget(self._alerts, record.key)
        row = alert_row(record.value)
        return lambda: self._alerts.update({record.key: row})

    def _ack_change(self, record: Incoming) -> Change:
        if record.value is None:
            return lambda: _forget(self._acks, record.key)
        found = acks.decode(record.value)
        return lambda: self._acks.update({record.key: found})

    def _refer(self) -> None:
        """Put the reference data together anew: one apply may stand on several records."""
        try:
            self._reference = assemble(self._reference_records.items()).latest
        except SnapshotError:
            self._invalid += 1
            LOGGER.warning("the reference data cannot be read; names and periods stay as they were")
            return
        self._names = Names(self._areas, self._reference)

    def _kept_from(self, granularity: str) -> str:
        """Return the first date that is kept of a granularity's business days."""
        if not self._newest_date:
            return ""
        kept = OUTLET_DAYS_KEPT if granularity == OUTLET else DAYS_KEPT
        return _before(self._newest_date, kept - 1)

    def _prune(self, newest_before: str) -> None:
        if len(self._alerts) > ENDED_ALERTS_MAX + _SPARE:
            ended = [(row.last_at, k) for k, row in self._alerts.items() if not row.is_open]
            for _, key in sorted(ended)[: max(len(ended) - ENDED_ALERTS_MAX, 0)]:
                del self._alerts[key]
        if len(self._acks) > ENDED_ALERTS_MAX + _SPARE:
            for key in self._acks.keys() - self._alerts.keys():
                del self._acks[key]
        if self._newest_date != newest_before:
            self._prune_days()
            self._prune_rates()

    def _prune_days(self) -> None:
        outlets_from, others_from = self._kept_from(OUTLET), self._kept_from("")
        for date in [date for date in self._days if date < others_from]:
            del self._days[date]
        for date, rows in self._days.items():
            if date < outlets_from:
                for key in [key for key in rows if key[0] == OUTLET]:
                    del rows[key]

    def _prune_rates(self) -> None:
        kept_from = _before(self._newest_date, RATES_KEPT_DAYS)
        for rows in self._rates.values():
            for scope_id in [scope for scope, row in rows.items() if row.date < kept_from]:
                del rows[scope_id]


def _before(date: str, days: int) -> str:
    return day_text(day_from_text(date) - days)


def _forget(rows: dict[KeyT, ValueT], key: KeyT) -> None:
    rows.pop(key, None)
