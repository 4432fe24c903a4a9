"""From `rates` to `rate.updated`, and to what becomes of the event periods.

Time is that of the partition: its highest `as_of`. A scope's rates are told when the verdict, the target
or the business day changes, when a rate has moved by half a point since it was last told, and of every
scope at each whole hour. Figures in between are not: they move with each parcel, and nobody acts on that.

In a quiet night no record tells the hour: then the wall clock does.

An enterprise's periods are told where its own rates are, so that what ends them has a clock.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from streams.domain.period import Granularity
from streams.domain.policy import Policy
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, instant_from_text, instant_text
from streams.records import compliance, published
from streams.records.cloudevents import id_of
from streams.records.compliance import RateData, correlation, encode, event, key_of
from streams.records.published import RateRecord
from streams.reference.types import ReferenceHistory
from streams.stages.compliance.figures import rate_data
from streams.stages.compliance.periods import PeriodBook, PeriodState
from streams.stages.compliance.telling import Entry, Told

FORGOTTEN_MS: Final = 8 * DAY_MS
"""A scope whose rates have not changed for so long has no parcel in any window."""
HOUR_WAITS_MS: Final = 5 * MINUTE_MS
"""How long the wall clock waits for a record to tell a whole hour, with newer figures than without it."""
ROUNDING: Final = 1e-9

Essence = tuple[str, str, str, str | None, float | None, str, str | None]
"""What makes news whatever the figures: today, the judged day, status, severity, target, its category
and period."""
Shares = tuple[float | None, ...]


class Scope(msgspec.Struct, array_like=True):
    """What is remembered of one scope: its rates now, and what was last told of them."""

    enterprise_id: str
    data: bytes
    essence: Essence
    shares: Shares
    as_of_ms: int
    told_essence: Essence | None = None
    told_shares: Shares = ()


class RatesState(msgspec.Struct, array_like=True):
    """A snapshot."""

    clock_ms: int
    hour_ms: int
    scopes: dict[str, Scope]
    periods: PeriodState


class RatesTeller:
    """One partition of `rates`."""

    def __init__(self, policy: Policy, history: ReferenceHistory) -> None:
        """Start with nothing told."""
        self._moved: Final = policy.revision_rate - ROUNDING
        self._clock_ms = 0
        self._hour_ms = 0  # The last whole hour that was told.
        self._scopes: dict[str, Scope] = {}
        self._periods: Final = PeriodBook(history)

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in a scope's rates. A tombstone says nothing: no stage writes one."""
        if entry.value is None:
            return
        record = published.decode(entry.value, RateRecord)
        as_of_ms = instant_from_text(record.as_of)
        yield from self._pass_time(as_of_ms)
        if record.enterprise_id is None:
            return
        if record.granularity == Granularity.ENTERPRISE.value:
            yield from self._periods.know(record.enterprise_id, self._clock_ms)
        data = rate_data(record)
        subject = entry.key.decode()
        known = self._scopes.get(subject)
        scope = Scope(
            record.enterprise_id,
            encode(data),
            _essence(data),
            _shares(data),
            as_of_ms,
            None if known is None else known.told_essence,
            () if known is None else known.told_shares,
        )
        self._scopes[subject] = scope
        if scope.told_essence != scope.essence or self._has_moved(scope):
            yield _tell(subject, scope, time_ms=as_of_ms)

    def _has_moved(self, scope: Scope) -> bool:
        return any(
            (now is None) != (before is None)
            or (now is not None and before is not None and abs(now - before) >= self._moved)
            for now, before in zip(scope.shares, scope.told_shares, strict=True)
        )

    def _pass_time(self, now_ms: int) -> Iterator[Told]:
        """Let time pass: periods end, and at a whole hour every scope is told."""
        if now_ms <= self._clock_ms:
            return
        self._clock_ms = now_ms
        yield from self._periods.pass_time(now_ms)
        yield from self._pass_hour(now_ms // HOUR_MS * HOUR_MS)

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Tell the whole hour that no record has told."""
        if self._scopes:
            yield from self._pass_hour((now_ms - HOUR_WAITS_MS) // HOUR_MS * HOUR_MS)

    def _pass_hour(self, hour_ms: int) -> Iterator[Told]:
        if hour_ms <= self._hour_ms:
            return
        self._hour_ms = hour_ms
        gone = [s for s, scope in self._scopes.items() if scope.as_of_ms < hour_ms - FORGOTTEN_MS]
        for subject in gone:
            del self._scopes[subject]
        for subject, scope in self._scopes.items():
            yield _tell(subject, scope, time_ms=hour_ms)

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        return msgspec.msgpack.encode(
            RatesState(self._clock_ms, self._hour_ms, self._scopes, self._periods.snapshot())
        )

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        found = msgspec.msgpack.decode(state, type=RatesState)
        self._clock_ms, self._hour_ms, self._scopes = found.clock_ms, found.hour_ms, found.scopes
        self._periods.restore(found.periods)


def _essence(data: RateData) -> Essence:
    verdict = data.verdict
    return (
        data.date,
        verdict.date,
        verdict.rate_status,
        verdict.severity,
        verdict.target,
        verdict.parcel_category,
        verdict.event_period_id,
    )


def _shares(data: RateData) -> Shares:
    return (data.today.rate, data.trailing_24h.rate, data.trailing_7d.rate, data.verdict.rate)


def _tell(subject: str, scope: Scope, *, time_ms: int) -> Told:
    scope.told_essence, scope.told_shares = scope.essence, scope.shares
    time = instant_text(time_ms)
    granularity, _, scope_id = subject.partition("|")
    judged = scope.essence[1]
    # Of one tick there may be two: as the hour found the scope, and as the tick left it.
    mark = f"{time}|{id_of(scope.data)}"
    return Told(
        scope.enterprise_id,
        event(
            compliance.RATE_UPDATED,
            key=key_of(compliance.RATE_UPDATED, subject),
            subject=subject,
            time=time,
            mark=mark,
            data=scope.data,
            extensions={"correlationid": correlation(granularity, scope_id, judged)},
        ),
    )
