"""The alert desk: the lives of all alerts, and a record of every change in them.

One alert per kind and scope; `domain.alert` says how it lives. What is told of it (period, target,
severity) is fixed when it is raised and changes only on evidence as sure, or when its period hands over
to the next, so that a rate between two targets does not make a record a minute.
"""

import heapq
from collections import Counter as Tally
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from streams.domain.alert import Alert, AlertKind, AlertState, Reason, Signal, step
from streams.domain.category import Category
from streams.domain.period import EventLevel, Granularity
from streams.domain.policy import Policy
from streams.domain.verdict import RANK_AT_RISK, RateStatus, Severity, Verdict
from streams.domain.window import DAY_MS, TICK_MS, day_text, instant_text, tick_at_or_after
from streams.records import published
from streams.records.published import AlertRecord, Evidence, Raised
from streams.reference.types import Reference
from streams.stages.figures import RATE_DIGITS
from streams.stages.publish import category_text
from streams.stages.scopes import Scope
from streams.stages.stage import Output

REEMIT_MS: Final = DAY_MS
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one evaluation found out about a scope: what an alert tells."""

    severity: Severity
    target: float | None
    category: Category | None
    event_period_id: str | None
    observed: float | None
    n: int
    evidence: Evidence
    event_level: EventLevel | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert that is not quiet: its life, and what was last told of it.

    `raised` and `severity_highest` are of the episode; None while it is pending.
    """

    kind: AlertKind
    scope: Scope
    alert: Alert
    finding: Finding
    raised: Raised | None = None
    severity_highest: Severity | None = None

    @property
    def alert_id(self) -> str:
        """Its name, without the episode."""
        return alert_id_of(self.kind, self.scope)

    @property
    def clears_with_time(self) -> bool:
        """Whether it has recovered once it has been clear for `clear_ms`, and nothing more is said.

        A silent enterprise's has not: that needs another registration, which the desk does not see.
        """
        silent = self.kind is AlertKind.CHANNEL_SILENT
        return not (silent and self.scope.granularity is Granularity.ENTERPRISE)


class DeskState(msgspec.Struct, frozen=True):
    """What a snapshot holds of the desk."""

    entries: list[Entry]
    episodes: dict[str, int]
    reemitted_ms: dict[str, int]


def alert_id_of(kind: AlertKind, scope: Scope) -> str:
    """Return the name of an alert: kind, granularity and scope."""
    return f"{kind.value}:{scope.granularity.value}:{scope.scope_id}"


def finding_of(verdict: Verdict, *, day: int, pending: int) -> Finding:
    """Return what a verdict on a business day says to an alert."""
    observed = round(verdict.covered / verdict.n, RATE_DIGITS) if verdict.n else None
    return Finding(
        severity=Severity.MINOR if verdict.severity is None else verdict.severity,
        target=verdict.target,
        category=verdict.category,
        event_period_id=verdict.event_period_id,
        observed=observed,
        n=verdict.n,
        evidence=Evidence(
            window="TODAY",
            date=day_text(day),
            covered=verdict.covered,
            missing=verdict.n - verdict.covered,
            pending=pending,
            wilson_upper=round(verdict.bound, RATE_DIGITS),
            z=verdict.bound_z,
        ),
    )


def breach_signal(verdict: Verdict) -> Signal:
    """Return what a verdict says about RATE_BELOW_TARGET."""
    if verdict.status is RateStatus.BREACH:
        return Signal.SURE
    if verdict.status is RateStatus.AT_RISK:
        return Signal.LIKELY
    return _ok_signal(verdict)


def ticket_signal(verdict: Verdict, *, breach_open: bool) -> Signal:
    """Return what a verdict says about RATE_AT_RISK; an open breach says it all."""
    if verdict.status is RateStatus.BREACH or breach_open:
        return Signal.SUPERSEDED
    if verdict.status is RateStatus.AT_RISK:
        return Signal.SURE if verdict.ticket else Signal.LIKELY
    return _ok_signal(verdict)


def _ok_signal(verdict: Verdict) -> Signal:
    if verdict.status is RateStatus.OK:
        return Signal.CLEAR if verdict.clear else Signal.HOLD
    return Signal.UNKNOWN


class AlertDesk:
    """All alerts of a region.

    Ticks must rise, and within a tick the order of calls must follow from the input alone.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy: Final = policy
        self._entries: dict[str, Entry] = {}
        self._scope_ids: Tally[str] = Tally()  # Of the entries.
        self._episodes: dict[str, int] = {}
        self._reemitted_ms: dict[str, int] = {}
        self._due: list[tuple[int, str]] = []  # A heap; what has changed since is passed over.
        self.outputs: list[Output] = []

    def entry(self, kind: AlertKind, scope: Scope) -> Entry | None:
        """Return an alert; None while it is quiet."""
        return self._entries.get(alert_id_of(kind, scope))

    def concerns(self, scope_id: str) -> bool:
        """Return whether any alert that is not quiet is of a scope with this id."""
        return scope_id in self._scope_ids

    def entries(self) -> list[Entry]:
        """Return the alerts that are not quiet, by name."""
        return [entry for _, entry in sorted(self._entries.items())]

    def open_entries(self) -> list[Entry]:
        """Return the alerts that receivers know of, by name."""
        return [entry for entry in self.entries() if entry.alert.is_open]

    # --- rates ---

    def passes_over(self, scope_id: str, event_period_id: str | None, rank: int) -> bool:
        """Return whether a verdict by a period's target, or the routine one, leads to nothing.

        Most do: nothing alerts, and there is no alert that it could end.
        """
        ruled = event_period_id is not None or self._policy.routine_alerts
        return not (ruled and rank >= RANK_AT_RISK) and not self.concerns(scope_id)

    def evaluate(
        self,
        scope: Scope,
        verdict: Verdict,
        find: Callable[[], Finding],
        *,
        reference: Reference,
        now_ms: int,
    ) -> None:
        """Follow a scope's verdict.

        `find` makes what it says to an alert, which most verdicts never come to. `reference` tells
        what has become of an alert's period.
        """
        if self.passes_over(scope.scope_id, verdict.event_period_id, verdict.rank):
            return
        ruled = verdict.event_period_id is not None or self._policy.routine_alerts
        breach_id = alert_id_of(AlertKind.RATE_BELOW_TARGET, scope)
        finding = find()
        level = _level_of(reference, finding.event_period_id)
        if level is not None:
            finding = replace(finding, event_level=level)
        self._signal_rate(
            AlertKind.RATE_BELOW_TARGET,
            scope,
            breach_signal(verdict) if ruled else None,
            finding,
            reference=reference,
            now_ms=now_ms,
        )
        breach = self._entries.get(breach_id)
        open_breach = breach is not None and breach.alert.is_open
        self._signal_rate(
            AlertKind.RATE_AT_RISK,
            scope,
            ticket_signal(verdict, breach_open=open_breach) if ruled else None,
            finding,
            reference=reference,
            now_ms=now_ms,
        )

    def _signal_rate(
        self,
        kind: AlertKind,
        scope: Scope,
        signal: Signal | None,
        finding: Finding,
        *,
        reference: Reference,
        now_ms: int,
    ) -> None:
        entry = self._entries.get(alert_id_of(kind, scope))
        if signal is None:
            if entry is None:
                return
            period_id = entry.finding.event_period_id
            signal = end_signal(reference, period_id, self._judged_ms(now_ms))
        if entry is None and signal not in (Signal.SURE, Signal.LIKELY):
            return
        if kind is AlertKind.RATE_AT_RISK and finding.severity is not Severity.MINOR:
            finding = replace(finding, severity=Severity.MINOR)
        told = finding
        if entry is not None and signal is not Signal.SURE:
            told = self._with_new_figures(entry.finding, finding, reference, now_ms)
        self.signal(kind, scope, signal, told, now_ms=now_ms)

    def _judged_ms(self, now_ms: int) -> int:
        return now_ms - self._policy.grace_alert_ms - 1

    def _with_new_figures(
        self, before: Finding, now: Finding, reference: Reference, now_ms: int
    ) -> Finding:
        """Keep what was told, but the figures, and a period that has handed over to the next."""
        told = _with_figures(before, now)
        active = {
            period.event_period_id
            for period in reference.periods
            if period.phase_at(self._judged_ms(now_ms)) is not None
        }
        handed_over = before.event_period_id not in active and (
            now.event_period_id is not None or self._policy.routine_alerts
        )
        if handed_over:
            return replace(
                told,
                target=now.target,
                category=now.category,
                event_period_id=now.event_period_id,
                event_level=now.event_level,
            )
        return told

    # --- any kind ---

    def signal(
        self, kind: AlertKind, scope: Scope, signal: Signal, finding: Finding, *, now_ms: int
    ) -> None:
        """Move an alert on, and write a record if receivers must know."""
        alert_id = alert_id_of(kind, scope)
        before = self._entries.get(alert_id)
        alert = Alert(episode=self._episodes.get(alert_id, 0)) if before is None else before.alert
        after, reason = step(alert, signal, now_ms=now_ms)
        if before is None and after.state is AlertState.QUIET:
            return
        if reason is None and before is not None and after.is_open and _differ(before, finding):
            reason = Reason.CHANGED
        entry = _told(kind, scope, after, finding, before=before)
        if before is None:
            self._scope_ids[scope.scope_id] += 1
        if after.state is AlertState.QUIET:
            self._scope_ids[scope.scope_id] -= 1
            if not self._scope_ids[scope.scope_id]:
                del self._scope_ids[scope.scope_id]
            del self._entries[alert_id]
            self._reemitted_ms.pop(alert_id, None)
        else:
            self._entries[alert_id] = entry
        if reason is Reason.RAISED:
            self._episodes[alert_id] = after.episode
            self._reemitted_ms[alert_id] = now_ms
            heapq.heappush(self._due, (self._again_ms(alert_id), alert_id))
        held_ms = self._held_ms(entry)
        if held_ms is not None and after is not alert:
            heapq.heappush(self._due, (held_ms, alert_id))
        if reason is not None:
            raised_ms = after.raised_ms if alert.raised_ms is None else alert.raised_ms
            assert raised_ms is not None
            self._write(entry, reason, raised_ms=raised_ms, now_ms=now_ms)

    def end(self, entry: Entry, signal: Signal, *, now_ms: int) -> None:
        """End an alert, or forget that it was pending, with the figures that were last told."""
        self.signal(entry.kind, entry.scope, signal, entry.finding, now_ms=now_ms)

    def end_where(self, concerns: Callable[[Entry], bool], signal: Signal, *, now_ms: int) -> None:
        """End all alerts that `concerns` says, in the order of their names."""
        for entry in [entry for entry in self.entries() if concerns(entry)]:
            self.end(entry, signal, now_ms=now_ms)

    # --- time ---

    def next_tick(self) -> int | None:
        """Return the next tick at which an alert has been clear long enough or is to be emitted again."""
        while self._due and not self._is_due(*self._due[0]):
            heapq.heappop(self._due)
        return tick_at_or_after(self._due[0][0]) // TICK_MS if self._due else None

    def _is_due(self, due_ms: int, alert_id: str) -> bool:
        entry = self._entries.get(alert_id)
        if entry is None or not entry.alert.is_open:
            return False
        return due_ms in (self._held_ms(entry), self._again_ms(alert_id))

    def _held_ms(self, entry: Entry) -> int | None:
        """Return when an alert that is clearing will have been clear long enough by itself."""
        clearing = entry.alert.state is AlertState.CLEARING and entry.clears_with_time
        return entry.alert.since_ms + self._policy.clear_ms if clearing else None

    def _again_ms(self, alert_id: str) -> int:
        return self._reemitted_ms[alert_id] + REEMIT_MS

    def move(
        self, now_ms: int, kinds: Collection[AlertKind], finding_now: Callable[[Entry], Finding]
    ) -> None:
        """Clear what has been clear long enough, and emit again what has been open another day.

        All verdicts of the tick on these kinds must have been followed. `finding_now` tells a scope's
        present figures.
        """
        tick = self.next_tick()
        if tick is None or tick * TICK_MS > now_ms:
            return
        due: set[str] = set()
        others: list[tuple[int, str]] = []
        while self._due and self._due[0][0] <= now_ms:
            due_ms, alert_id = heapq.heappop(self._due)
            entry = self._entries.get(alert_id)
            if entry is None or not entry.alert.is_open:
                continue
            if entry.kind in kinds:
                due.add(alert_id)
            else:
                others.append((due_ms, alert_id))
        for instant in others:
            heapq.heappush(self._due, instant)
        for alert_id in sorted(due):
            self._move_one(self._entries[alert_id], finding_now, now_ms)

    def _move_one(self, entry: Entry, finding_now: Callable[[Entry], Finding], now_ms: int) -> None:
        held_ms = self._held_ms(entry)
        held = held_ms is not None and held_ms <= now_ms
        if not held and self._again_ms(entry.alert_id) > now_ms:
            return
        now = finding_now(entry)
        told = _with_figures(entry.finding, now)
        if held:
            self.signal(entry.kind, entry.scope, Signal.CLEAR_HELD, told, now_ms=now_ms)
            return
        entry = self._entries[entry.alert_id] = replace(entry, finding=told)
        self._reemitted_ms[entry.alert_id] = now_ms
        heapq.heappush(self._due, (self._again_ms(entry.alert_id), entry.alert_id))
        assert entry.alert.raised_ms is not None
        self._write(entry, Reason.REEMITTED, raised_ms=entry.alert.raised_ms, now_ms=now_ms)

    # --- records ---

    def _write(self, entry: Entry, reason: Reason, *, raised_ms: int, now_ms: int) -> None:
        ended = entry.alert.state is AlertState.QUIET
        finding, scope = entry.finding, entry.scope
        assert entry.raised is not None
        assert entry.severity_highest is not None
        record = AlertRecord(
            id=entry.alert_id,
            alert_id=entry.alert_id,
            episode=entry.alert.episode,
            alert_kind=entry.kind.value,
            severity=finding.severity.name,
            state=ENDED if ended else entry.alert.state.value,
            reason=reason.value,
            granularity=scope.granularity.value,
            scope_id=scope.scope_id,
            city_code=scope.city_code,
            county_code=scope.county_code,
            enterprise_id=scope.enterprise_id,
            duty_group=scope.duty_group,
            observed=finding.observed,
            target=finding.target,
            parcel_category=category_text(finding.category),
            n=finding.n,
            evidence=finding.evidence,
            event_period_id=finding.event_period_id,
            first_at=instant_text(raised_ms),
            last_at=instant_text(now_ms),
            duration_s=(now_ms - raised_ms) // 1000 if ended else None,
            caliber_id=self._policy.caliber_id,
            raised=entry.raised,
            severity_highest=entry.severity_highest.name,
        )
        key = published.alert_key(record.alert_id, record.episode)
        self.outputs.append(Output(published.ALERTS, key, published.encode(record)))

    # --- snapshots ---

    def snapshot(self) -> DeskState:
        """Return the state of all alerts."""
        return DeskState(
            self.entries(),
            dict(sorted(self._episodes.items())),
            dict(sorted(self._reemitted_ms.items())),
        )

    def restore(self, state: DeskState) -> None:
        """Take back what `snapshot` returned."""
        self._entries = {entry.alert_id: entry for entry in state.entries}
        self._scope_ids = Tally(entry.scope.scope_id for entry in state.entries)
        self._episodes = dict(state.episodes)
        self._reemitted_ms = dict(state.reemitted_ms)
        self._due = [(self._again_ms(alert_id), alert_id) for alert_id in self._reemitted_ms]
        for alert_id, entry in self._entries.items():
            held_ms = self._held_ms(entry)
            if held_ms is not None:
                self._due.append((held_ms, alert_id))
        heapq.heapify(self._due)


def end_signal(reference: Reference, event_period_id: str | None, judged_ms: int) -> Signal:
    """Return why an alert of a period has no target any more: the period is over, or was removed."""
    for period in reference.periods:
        if period.event_period_id == event_period_id and period.end_ms <= judged_ms:
            return Signal.PERIOD_ENDED
    return Signal.WITHDRAWN


def _level_of(reference: Reference, event_period_id: str | None) -> EventLevel | None:
    for period in reference.periods:
        if period.event_period_id == event_period_id:
            return period.event_level
    return None


def _told(
    kind: AlertKind, scope: Scope, alert: Alert, finding: Finding, *, before: Entry | None
) -> Entry:
    """Return the entry with what its episode was raised as, and the highest that it has been."""
    severity = finding.severity
    if before is not None and before.alert.is_open:
        assert before.severity_highest is not None
        highest = max(severity, before.severity_highest)
        return Entry(kind, scope, alert, finding, before.raised, highest)
    if not alert.is_open:
        return Entry(kind, scope, alert, finding)
    level = finding.event_level
    raised = Raised(
        severity=severity.name,
        event_period_id=finding.event_period_id,
        event_level=None if level is None else level.value,
        city_code=scope.city_code,
        county_code=scope.county_code,
        enterprise_id=scope.enterprise_id,
        duty_group=scope.duty_group,
    )
    return Entry(kind, scope, alert, finding, raised, severity)


def _with_figures(told: Finding, now: Finding) -> Finding:
    """Return what was told with the figures of now; without parcels there are none, and the last stay.

    Their date says of which day they are.
    """
    if not now.n:
        return told
    return replace(told, observed=now.observed, n=now.n, evidence=now.evidence)


def _differ(before: Entry, now: Finding) -> bool:
    told = before.finding
    return (told.severity, told.target, told.event_period_id) != (
        now.severity,
        now.target,
        now.event_period_id,
    )
