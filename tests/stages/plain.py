"""The rules of rate and rollup said once more, slowly: dicts, one tick after the other, no numpy.

The stages must come to the same verdicts, figures and alerts. It shares with them the scalar rules of
`streams.domain`, which have tables of their own, and nothing of `streams.stages`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streams.domain.alert import Alert, AlertKind, AlertState, Reason, Signal, step
from streams.domain.category import LOOSE_CATEGORIES
from streams.domain.cell import PANE_BITS, PANE_MASK, SCOPE_MASK, Counter
from streams.domain.period import (
    EventLevel,
    EventPeriod,
    EventPhase,
    Granularity,
    Target,
    code_matches,
)
from streams.domain.policy import Policy
from streams.domain.rate import Figures
from streams.domain.verdict import (
    Line,
    RateStatus,
    Severity,
    Verdict,
    judge_line,
    one_step_up,
    worst,
)
from streams.domain.window import TICK_MS, day_of, day_of_pane, day_start_ms, pane_end_ms, pane_of
from streams.reference.types import Outlet, Reference

Row = tuple[int, int, int, int]  # Tick, cell, counter, delta.
ScopeKey = tuple[Granularity, str]
Group = tuple[int, int, int]  # Outlet, category, event scope.
Told = tuple[Severity, float | None, str | None]  # And target, and period.

SENT = (
    Counter.COVERED_ON_TIME,
    Counter.COVERED_LATE,
    Counter.DUPLICATES,
    Counter.ATTEMPTS_FAILED,
)


def outlet_alone(outlet: Outlet) -> list[ScopeKey]:
    return [(Granularity.OUTLET, outlet.outlet_id)]


def rolled_up(outlet: Outlet) -> list[ScopeKey]:
    city = outlet.county_code[:4] + "00"
    return [
        (Granularity.COUNTY, outlet.county_code),
        (Granularity.CITY, city),
        (Granularity.ENTERPRISE, outlet.enterprise_id),
        (Granularity.ENTERPRISE_CITY, f"{outlet.enterprise_id}|{city}"),
        (Granularity.REGION, outlet.county_code[:2] + "0000"),
    ]


@dataclass
class PlainAlert:
    alert: Alert = field(default_factory=Alert)
    told: Told = (Severity.INFO, 0.0, None)


@dataclass
class PlainChannel:
    """When an enterprise collected loose parcels, and when it registered any."""

    collected: list[tuple[int, int]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def add(self, tick: int, rows: list[Row]) -> None:
        sums: dict[tuple[int, int], int] = defaultdict(int)
        for _, cell, counter, delta in rows:
            if cell >> (PANE_BITS + 16) & 0xF in LOOSE_CATEGORIES:
                sums[cell, counter] += delta
        count = sum(n for (_, counter), n in sums.items() if counter == Counter.ELIGIBLE and n > 0)
        if count:
            self.collected.append((tick, count))
        if any(counter in SENT and n > 0 for (_, counter), n in sums.items()):
            self.sent.append(tick)

    def is_silent(self, tick: int, policy: Policy) -> bool:
        last = max(self.sent, default=0)
        since = min((at for at, _ in self.collected if at > last), default=tick)
        ticks = policy.silent_ms // TICK_MS
        lately = sum(count for at, count in self.collected if at > tick - ticks)
        return tick - since >= ticks and lately >= policy.silent_collections


@dataclass
class Plain:
    """Everything about the scopes that `scopes_of` names for each outlet."""

    policy: Policy
    reference: Reference
    scopes_of: Callable[[Outlet], list[ScopeKey]]
    cells: dict[Group, dict[int, list[int]]] = field(default_factory=dict)
    scopes: dict[ScopeKey, set[Group]] = field(default_factory=dict)
    verdicts: dict[ScopeKey, Verdict] = field(default_factory=dict)
    changes: list[tuple[int, ScopeKey, Verdict]] = field(default_factory=list)
    alerts: dict[tuple[AlertKind, ScopeKey], PlainAlert] = field(default_factory=dict)
    channels: dict[str, PlainChannel] = field(default_factory=lambda: defaultdict(PlainChannel))
    silent: dict[str, PlainAlert] = field(default_factory=lambda: defaultdict(PlainAlert))
    told: list[tuple[int, str, int, str, str, float | None, str | None]] = field(
        default_factory=list
    )
    tick: int = 0

    def run(self, rows: Iterable[Row], until: int) -> None:
        waiting: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row[0] <= until:
                waiting[row[0]].append(row)
        for tick in range(min(waiting, default=until), until + 1):
            self.tick = tick
            for row in waiting.get(tick, ()):
                self.add(row)
            for enterprise_id in self.reference.enterprises:
                self.listen(enterprise_id, waiting.get(tick, []))
            for scope in sorted(self.scopes, key=lambda key: (key[0].value, key[1])):
                self.judge(scope)
                if not self.hidden(scope):
                    self.follow(scope)

    def add(self, row: Row) -> None:
        _, cell, counter, delta = row
        number = cell >> (PANE_BITS + 20)
        group = (number, cell >> (PANE_BITS + 16) & 0xF, cell >> PANE_BITS & SCOPE_MASK)
        outlet = self.outlet(number)
        panes = self.cells.setdefault(group, {})
        panes.setdefault(cell & PANE_MASK, [0] * len(Counter))[counter] += delta
        for scope in self.scopes_of(outlet):
            self.scopes.setdefault(scope, set()).add(group)

    def outlet(self, number: int) -> Outlet:
        return next(o for o in self.reference.outlets.values() if o.number == number)

    @property
    def judged_ms(self) -> int:
        return self.tick * TICK_MS - self.policy.grace_alert_ms - 1

    def mature(self, pane: int) -> bool:
        return pane_end_ms(pane) + self.policy.grace_alert_ms <= self.tick * TICK_MS

    # --- figures ---

    def figures(self, groups: Iterable[Group], inside: Callable[[int], bool]) -> Figures:
        on_time = late = missing = young = pending = 0
        for group in groups:
            for pane, counts in self.cells[group].items():
                if not inside(pane):
                    continue
                covered = counts[1] + counts[2]
                if self.mature(pane):
                    on_time += counts[1]
                    late += counts[2]
                    missing += counts[0] - covered
                else:
                    young += covered
                    pending += counts[0] - covered
        return Figures(on_time, late, missing, young, pending)

    def of_day(self, scope: ScopeKey, day: int) -> Figures:
        return self.figures(self.scopes[scope], lambda pane: day_of_pane(pane) == day)

    def trailing(self, scope: ScopeKey) -> Figures:
        from_ms = self.tick * TICK_MS - 86_400_000
        return self.figures(self.scopes[scope], lambda pane: pane_end_ms(pane) > from_ms)

    def counter(self, scope: ScopeKey, day: int, counter: Counter) -> int:
        return sum(
            counts[counter]
            for group in self.scopes[scope]
            for pane, counts in self.cells[group].items()
            if day_of_pane(pane) == day
        )

    # --- verdicts ---

    def judge(self, scope: ScopeKey) -> None:
        verdict = worst(self.lines(scope))
        before = self.verdicts.get(scope)
        self.verdicts[scope] = verdict
        if before is None or key_of(before) != key_of(verdict):
            self.changes.append((self.tick, scope, verdict))

    def lines(self, scope: ScopeKey) -> list[Verdict]:
        granularity = scope[0]
        day = day_of(self.judged_ms)
        targets = [
            (period, target)
            for period in self.reference.periods
            if period.phase_at(self.judged_ms) is not None
            for target in period.targets
            if target.granularity is granularity
        ]
        targets.sort(key=lambda pair: -pair[1].rate)
        found = []
        stricter: list[tuple[object, int, set[Group]]] = []
        for period, target in targets:
            groups = self.members(scope, period, target)
            kind = (period.scope_bit, target.category)
            first = max(pane_of(period.start_ms), pane_of(day_start_ms(day)))
            ruled = any(
                other == kind and since <= first and groups <= all_of
                for other, since, all_of in stricter
            )
            if groups and not ruled:
                found.append(self.line(self.line_of(period, target), groups, first))
            stricter.append((kind, first, groups))
        if not found:
            line = Line(self.policy.routine_target, self.n_min(granularity))
            found.append(self.line(line, self.scopes[scope], 0))
        return found

    def members(self, scope: ScopeKey, period: EventPeriod, target: Target) -> set[Group]:
        return {
            group
            for group in self.scopes[scope]
            if code_matches(self.outlet(group[0]).county_code, period.origin_codes)
            and (target.category is None or group[1] == target.category)
            and (period.scope_bit is None or group[2] >> period.scope_bit & 1)
        }

    def line_of(self, period: EventPeriod, target: Target) -> Line:
        core = period.phase_at(self.judged_ms) is EventPhase.CORE
        n_min = self.n_min(target.granularity) if target.n_min is None else target.n_min
        return Line(
            target.rate,
            n_min,
            target.category,
            period.event_period_id,
            core and period.event_level is EventLevel.L1,
        )

    def n_min(self, granularity: Granularity) -> int:
        if granularity is Granularity.OUTLET:
            return self.policy.n_min_outlet
        return self.policy.n_min_rollup

    def line(self, line: Line, groups: Iterable[Group], first: int) -> Verdict:
        day = day_of(self.judged_ms)
        figures = self.figures(
            groups, lambda pane: pane >= first and day_of_pane(pane) == day and self.mature(pane)
        )
        covered = figures.covered_on_time + figures.covered_late
        return judge_line(line, n=figures.mature, covered=covered, policy=self.policy)

    # --- alerts ---

    def follow(self, scope: ScopeKey) -> None:
        verdict = self.verdicts[scope]
        ruled = verdict.event_period_id is not None or self.policy.routine_alerts
        breach = self.signal(AlertKind.RATE_BELOW_TARGET, scope, verdict, ruled=ruled, above=False)
        self.signal(AlertKind.RATE_AT_RISK, scope, verdict, ruled=ruled, above=breach.alert.is_open)

    def signal(
        self, kind: AlertKind, scope: ScopeKey, verdict: Verdict, *, ruled: bool, above: bool
    ) -> PlainAlert:
        now_ms = self.tick * TICK_MS
        plain = self.alerts.setdefault((kind, scope), PlainAlert())
        signal = self.ending(plain) if not ruled else signal_of(kind, verdict, above=above)
        alert = plain.alert
        if (
            signal is Signal.CLEAR
            and alert.state is AlertState.CLEARING
            and now_ms - alert.since_ms >= self.policy.clear_ms
        ):
            signal = Signal.CLEAR_HELD
        self.tell(kind, scope, plain, signal, self.telling(kind, plain, verdict, signal))
        return plain

    def tell(
        self, kind: AlertKind, scope: ScopeKey, plain: PlainAlert, signal: Signal, told: Told
    ) -> None:
        plain.alert, reason = step(plain.alert, signal, now_ms=self.tick * TICK_MS)
        if reason is None and plain.alert.is_open and told != plain.told:
            reason = Reason.CHANGED
        plain.told = told
        if reason is not None:
            name = f"{kind.value}:{scope[0].value}:{scope[1]}"
            self.told.append(
                (self.tick, name, plain.alert.episode, reason.value, told[0].name, *told[1:])
            )

    def telling(self, kind: AlertKind, plain: PlainAlert, verdict: Verdict, signal: Signal) -> Told:
        severity = verdict.severity or Severity.MINOR
        if kind is AlertKind.RATE_AT_RISK:
            severity = Severity.MINOR
        now = (severity, verdict.target, verdict.event_period_id)
        after, _ = step(plain.alert, signal, now_ms=self.tick * TICK_MS)
        if signal is Signal.SURE or after.state is AlertState.PENDING:
            return now
        active = {
            period.event_period_id
            for period in self.reference.periods
            if period.phase_at(self.judged_ms) is not None
        }
        ruled = verdict.event_period_id is not None or self.policy.routine_alerts
        if plain.told[2] not in active and ruled:
            return (plain.told[0], *now[1:])
        return plain.told

    def ending(self, plain: PlainAlert) -> Signal:
        return self.ending_at(plain, self.judged_ms)

    def ending_at(self, plain: PlainAlert, instant_ms: int) -> Signal:
        for period in self.reference.periods:
            if period.event_period_id == plain.told[2] and period.end_ms <= instant_ms:
                return Signal.PERIOD_ENDED
        return Signal.WITHDRAWN

    # --- silent channels ---

    def hidden(self, scope: ScopeKey) -> bool:
        if scope[0] is Granularity.OUTLET:
            enterprise_id = self.reference.outlets[scope[1]].enterprise_id
        elif scope[0] in (Granularity.ENTERPRISE, Granularity.ENTERPRISE_CITY):
            enterprise_id = scope[1].partition("|")[0]
        else:
            return False
        return self.silent[enterprise_id].alert.is_open

    def listen(self, enterprise_id: str, rows: list[Row]) -> None:
        channel, plain = self.channels[enterprise_id], self.silent[enterprise_id]
        of_it = [
            r for r in rows if self.outlet(r[1] >> (PANE_BITS + 20)).enterprise_id == enterprise_id
        ]
        channel.add(self.tick, of_it)
        now_ms = self.tick * TICK_MS
        counties = {
            outlet.county_code
            for outlet in self.reference.outlets.values()
            if outlet.enterprise_id == enterprise_id
        }
        periods = [
            period
            for period in self.reference.periods
            if period.phase_at(now_ms) is not None
            and any(code_matches(county, period.origin_codes) for county in counties)
        ]
        ruled = bool(periods) or self.policy.routine_alerts
        if ruled and channel.is_silent(self.tick, self.policy):
            self.fall_silent(enterprise_id, periods[0] if periods else None)
        if not plain.alert.is_open:
            return
        sends = self.tick in channel.sent
        clearing = plain.alert.state is AlertState.CLEARING
        since_ms = plain.alert.since_ms if clearing else now_ms
        if sends and now_ms - since_ms >= self.policy.silent_hold_ms:
            self.tell_silent(enterprise_id, Signal.CLEAR_HELD, plain.told)
        elif not ruled:
            self.tell_silent(enterprise_id, self.ending_at(plain, now_ms), plain.told)
        elif sends:
            self.tell_silent(enterprise_id, Signal.CLEAR, plain.told)

    def fall_silent(self, enterprise_id: str, period: EventPeriod | None) -> None:
        severity = Severity.MAJOR
        if period is not None and period.event_level is EventLevel.L1:
            severity = one_step_up(severity)  # All periods here are in their core phase.
        told = (severity, None, None if period is None else period.event_period_id)
        self.tell_silent(enterprise_id, Signal.SURE, told)
        for (kind, scope), plain in self.alerts.items():
            if self.hidden(scope):
                self.tell(kind, scope, plain, Signal.SUPERSEDED, plain.told)

    def tell_silent(self, enterprise_id: str, signal: Signal, told: Told) -> None:
        scope = (Granularity.ENTERPRISE, enterprise_id)
        self.tell(AlertKind.CHANNEL_SILENT, scope, self.silent[enterprise_id], signal, told)


def key_of(verdict: Verdict) -> tuple[object, ...]:
    """What of a verdict is more than its evidence."""
    return (
        verdict.rank,
        verdict.severity,
        verdict.target,
        verdict.event_period_id,
        verdict.category,
        verdict.clear,
    )


def signal_of(kind: AlertKind, verdict: Verdict, *, above: bool) -> Signal:
    ticket = kind is AlertKind.RATE_AT_RISK
    if ticket and (above or verdict.status is RateStatus.BREACH):
        return Signal.SUPERSEDED
    if verdict.status is RateStatus.BREACH:
        return Signal.SURE
    if verdict.status is RateStatus.AT_RISK:
        return Signal.SURE if ticket and verdict.ticket else Signal.LIKELY
    if verdict.status is RateStatus.INSUFFICIENT:
        return Signal.UNKNOWN
    return Signal.CLEAR if verdict.clear else Signal.HOLD
