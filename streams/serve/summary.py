"""What the board shows, in one object: headline, areas, worst outlets, alerts, the day's curve."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.domain.period import EventLevel
from streams.domain.small_cell import is_small
from streams.domain.window import day_from_text, day_text, instant_from_text
from streams.serve import periods
from streams.serve.access import Access
from streams.serve.curve import Point
from streams.serve.names import Name
from streams.serve.periods import PeriodShown
from streams.serve.rows import AlertRow, Counts, RateRow, Verdict
from streams.serve.small_cells import is_small_alert
from streams.serve.view import View

WORST_SHOWN: Final = 10
ALERTS_SHOWN: Final = 40
"""A wall shows some fifteen; more than this nobody reads there. The counts are of all."""

AREAS: Final = {
    "REGION": "CITY",
    "CITY": "COUNTY",
    "ENTERPRISE": "ENTERPRISE_CITY",
    "ENTERPRISE_CITY": "OUTLET",
}
"""Which scopes stand below the headline, by its granularity."""
AREAS_SHOWN: Final = 40

_SEVERITIES: Final = ("CRITICAL", "MAJOR", "MINOR", "INFO")
_STATUSES: Final = ("BREACH", "AT_RISK")
_LEVELS: Final = tuple(level.value for level in EventLevel)


class ScopeShown(msgspec.Struct, frozen=True):
    """A scope in words."""

    granularity: str
    scope_id: str
    name: Name


class Figures(msgspec.Struct, frozen=True):
    """A scope's business day to date: that which is judged, whose parcels have just matured.

    `target` is what all its parcels together must meet. The verdict may be about some of them only,
    those to a host city or of one category: it is that of the scope's worst target.
    """

    scope: ScopeShown
    date: str
    rate: float | None
    on_time_rate: float | None
    target: float
    rate_status: str
    eligible: int
    mature: int
    covered: int
    missing: int
    pending: int
    verdict: Verdict
    alerts_open: int


class Area(msgspec.Struct, frozen=True):
    """A scope below the headline; `figures` are null where it has sent nothing yet.

    For an enterprise also where they are of so few parcels that they are withheld.
    """

    scope: ScopeShown
    figures: Figures | None


class DayShown(msgspec.Struct, frozen=True):
    """The business day before, for comparison."""

    date: str
    rate: float | None
    target: float | None


class AlertShown(msgspec.Struct, frozen=True):
    """An open alert in words; see `records.published.AlertRecord`.

    `acked_by` has taken it on, and said `ack_note`; both are null for who may not see officers.
    """

    alert_id: str
    episode: int
    alert_kind: str
    severity: str
    state: str
    reason: str
    scope: ScopeShown
    where: Name | None
    observed: float | None
    target: float | None
    parcel_category: str
    n: int | None
    missing: int | None
    collections: int | None
    event_period_id: str | None
    first_at: str
    acked_by: str | None
    acked_at: str | None
    ack_note: str | None


class Curve(msgspec.Struct, frozen=True):
    """The headline's rate through its day and the day before, as far as they have been seen."""

    date: str
    target: float
    points: Sequence[Point]
    points_before: Sequence[Point]


class Summary(msgspec.Struct, frozen=True):
    """The board.

    Attributes:
        as_of: Stream time of the newest figures; null before the first.
        received_ms: When Kafka had them; null before the first.
        scope: What the reader sees all of.
        headline: Null before there are figures.
        periods: Active ones, the one that the headline is judged by first.
        areas: In order of their codes.
        worst: Outlets below target, the worst first.
        alerts: Open ones, the most severe first, then the latest.
        alert_counts: Of all open ones, by severity.
        breaching_outlets: Outlets whose verdict is BREACH.

    """

    as_of: str | None
    received_ms: int | None
    scope: ScopeShown
    headline: Figures | None
    previous: DayShown | None
    periods: Sequence[PeriodShown]
    areas: Sequence[Area]
    worst: Sequence[Figures]
    alerts: Sequence[AlertShown]
    alert_counts: dict[str, int]
    breaching_outlets: int
    curve: Curve | None


@dataclass(frozen=True, slots=True)
class Summarist:
    """Makes summaries of a view. `routine_target` is the policy's, for outside event periods."""

    view: View
    routine_target: float

    def summary(self, access: Access) -> Summary:
        """Return what somebody may see of the present."""
        view = self.view
        alerts = [row for row in view.alerts() if row.is_open and access.sees(row)]
        open_by_scope = Counter((row.granularity, row.scope_id) for row in alerts)
        head = self._head(access)
        outlets = [row for row in view.rates("OUTLET") if access.sees(row)]
        headline = self._figures(head, open_by_scope, access) if head else None
        return Summary(
            as_of=view.as_of,
            received_ms=view.received_ms,
            scope=self._head_scope(access, head),
            headline=headline,
            previous=self._previous(headline, access),
            periods=self._periods(headline),
            areas=self._areas(access, open_by_scope),
            worst=[
                figures
                for row in self._worst(outlets)
                if (figures := self._figures(row, open_by_scope, access)) is not None
            ],
            alerts=[self._alert(row, access) for row in _ordered(alerts)[:ALERTS_SHOWN]],
            alert_counts={
                severity: sum(row.severity == severity for row in alerts)
                for severity in _SEVERITIES
            },
            breaching_outlets=sum(row.status == "BREACH" for row in outlets),
            curve=self._curve(headline, access),
        )

    def _head(self, access: Access) -> RateRow | None:
        if access.head_id is not None:
            return self.view.rate(access.head, access.head_id)
        return min(self.view.rates("REGION"), key=lambda row: row.scope_id, default=None)

    def _head_scope(self, access: Access, head: RateRow | None) -> ScopeShown:
        if head is not None:
            return self._scope(head.granularity, head.scope_id)
        code = min(self.view.areas.counties, default="")[:2] + "0000"
        return self._scope(access.head, access.head_id or code)

    def _scope(self, granularity: str, scope_id: str) -> ScopeShown:
        return ScopeShown(granularity, scope_id, self.view.names.scope(granularity, scope_id))

    def _figures(
        self, row: RateRow, open_by_scope: Counter[tuple[str, str]], access: Access
    ) -> Figures | None:
        """Return a scope's figures; None where they are withheld."""
        counts: Counts = row.today
        if row.verdict.date != row.date:
            # After midnight the day before is judged until its last parcels are mature.
            counts = self.view.day(row.granularity, row.scope_id, row.verdict.date) or counts
        if not access.sees_small_cells and any(
            is_small(size) for size in (counts.mature, counts.eligible, row.verdict.n)
        ):
            return None
        target = periods.target_of_all(
            self.view.reference.periods,
            row.granularity,
            at_ms=instant_from_text(row.as_of),
            county_code=row.county_code,
            city_code=row.city_code,
            routine=self.routine_target,
        )
        return Figures(
            scope=self._scope(row.granularity, row.scope_id),
            date=row.verdict.date,
            rate=counts.rate,
            on_time_rate=counts.on_time_rate,
            target=target,
            rate_status=row.status,
            eligible=counts.eligible,
            mature=counts.mature,
            covered=counts.covered,
            missing=counts.missing,
            pending=counts.pending,
            verdict=row.verdict,
            alerts_open=open_by_scope[row.granularity, row.scope_id],
        )

    def _previous(self, headline: Figures | None, access: Access) -> DayShown | None:
        if headline is None:
            return None
        date = day_text(day_from_text(headline.date) - 1)
        row = self.view.day(headline.scope.granularity, headline.scope.scope_id, date)
        if row is None or (is_small(row.mature) and not access.sees_small_cells):
            return None
        return DayShown(row.date, row.rate, row.target)

    def _periods(self, headline: Figures | None) -> Sequence[PeriodShown]:
        if self.view.as_of is None:
            return []
        at_ms = instant_from_text(self.view.as_of)
        judged_by = headline.verdict.event_period_id if headline else None
        active = [
            periods.shown(period, at_ms)
            for period in self.view.reference.periods
            if period.phase_at(at_ms) is not None
        ]
        return sorted(
            active,
            key=lambda period: (
                period.event_period_id != judged_by,
                -_LEVELS.index(period.event_level),
                period.event_period_id,
            ),
        )

    def _areas(self, access: Access, open_by_scope: Counter[tuple[str, str]]) -> Sequence[Area]:
        granularity = AREAS[access.head]
        rows = {row.scope_id: row for row in self.view.rates(granularity) if access.sees(row)}
        # A city that sends nothing must not just be missing from the wall.
        expected = self.view.names.cities if granularity == "CITY" else {}
        return [
            Area(
                self._scope(granularity, scope_id),
                self._figures(rows[scope_id], open_by_scope, access) if scope_id in rows else None,
            )
            for scope_id in sorted({*expected, *rows})[:AREAS_SHOWN]
        ]

    def _worst(self, outlets: Sequence[RateRow]) -> Sequence[RateRow]:
        """Return outlets whose verdict of the newest judged day says that they are below target."""
        newest = max((row.verdict.date for row in outlets), default="")
        below = [row for row in outlets if row.status in _STATUSES and row.verdict.date == newest]
        below.sort(
            key=lambda row: (
                _STATUSES.index(row.status),
                -row.verdict.shortfall,
                row.verdict.covered - row.verdict.n,
                row.scope_id,
            )
        )
        return below[:WORST_SHOWN]

    def _alert(self, row: AlertRow, access: Access) -> AlertShown:
        names = self.view.names
        ack = self.view.ack(row)
        officer = ack if access.sees_officers else None
        withheld = is_small_alert(row) and not access.sees_small_cells
        within = row.granularity in ("OUTLET", "COUNTY") and row.city_code is not None
        return AlertShown(
            alert_id=row.alert_id,
            episode=row.episode,
            alert_kind=row.alert_kind,
            severity=row.severity,
            state=row.state,
            reason=row.reason,
            scope=self._scope(row.granularity, row.scope_id),
            where=names.city(row.city_code) if within and row.city_code else None,
            observed=None if withheld else row.observed,
            target=row.target,
            parcel_category=row.parcel_category,
            n=None if withheld else row.n,
            missing=None if withheld else row.evidence.missing,
            collections=row.evidence.collections,
            event_period_id=row.event_period_id,
            first_at=row.first_at,
            acked_by=officer.by if officer else None,
            acked_at=ack.acked_at if ack else None,
            ack_note=officer.note if officer else None,
        )

    def _curve(self, headline: Figures | None, access: Access) -> Curve | None:
        if headline is None:
            return None
        scope = headline.scope
        before = day_text(day_from_text(headline.date) - 1)
        points, points_before = (
            [
                point
                for point in self.view.curve(scope.granularity, scope.scope_id, date)
                if access.sees_small_cells or not is_small(point.mature)
            ]
            for date in (headline.date, before)
        )
        return Curve(headline.date, headline.target, points, points_before)


def _ordered(alerts: Sequence[AlertRow]) -> Sequence[AlertRow]:
    """Return the most severe first; of equal ones the greater scope, then the latest."""
    greatness = ("REGION", "ENTERPRISE", "CITY", "ENTERPRISE_CITY", "COUNTY", "OUTLET")
    latest = sorted(alerts, key=lambda row: (row.first_at, row.alert_id), reverse=True)
    return sorted(
        latest,
        key=lambda row: (_rank(_SEVERITIES, row.severity), _rank(greatness, row.granularity)),
    )


def _rank(order: Sequence[str], value: str) -> int:
    """Return where a value stands; what a later version may add stands last."""
    return order.index(value) if value in order else len(order)
