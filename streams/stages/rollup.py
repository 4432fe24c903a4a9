"""The rollup stage: county, city, enterprise, enterprise x city and region; and the life of all alerts.

It reads what the `rate` partitions pass on, and is the only one of its kind: alerts of outlets need to
know of the others of their enterprise.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from streams.domain.alert import AlertKind, AlertState, Signal
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, code_matches
from streams.domain.policy import Policy
from streams.domain.verdict import Severity, Verdict, one_step_up
from streams.domain.window import TICK_MS, tick_at_or_after
from streams.records import verdicts
from streams.records.changes import Changes, Rows
from streams.records.published import Evidence
from streams.records.verdicts import VerdictChange
from streams.reference.types import Outlet, ReferenceHistory
from streams.stages.alerts import AlertDesk, DeskState, Entry, Finding, end_signal, finding_of
from streams.stages.bench import Turns, no_turns
from streams.stages.columns import Array, Bools, Ints, distinct
from streams.stages.figures import RATE_DIGITS
from streams.stages.scopes import RollupScopes, Scope, city_of, outlet_scope
from streams.stages.silence import Channels, Collapses, Place
from streams.stages.stage import Output
from streams.stages.ticked import TickedStage

SILENT: Final = AlertKind.CHANNEL_SILENT
RATE_KINDS: Final = frozenset(AlertKind) - {SILENT}


class RollupState(msgspec.Struct, frozen=True):
    """What a snapshot of this stage holds beside that of every ticked stage."""

    waiting: list[VerdictChange]
    latest: list[VerdictChange]
    places: dict[int, Place]
    outlets: list[Outlet]
    desk: DeskState
    channels_tick: int


class RollupPartition(TickedStage):
    """The whole region. `sources` is the number of partitions of `counts`."""

    def __init__(self, policy: Policy, history: ReferenceHistory, *, sources: int) -> None:
        self.rollups: Final = RollupScopes()
        super().__init__(policy, history, self.rollups, sources=sources)
        self.desk: Final = AlertDesk(policy)
        self._channels: Final = Channels(policy)
        self._collapses: Final = Collapses(policy)
        self._outlets: dict[int, Outlet] = {}
        self._waiting: dict[int, list[VerdictChange]] = {}
        self._latest: dict[int, VerdictChange] = {}  # By outlet.
        self._outlet_scopes: dict[int, Scope] = {}  # By outlet, under the present reference data.
        self._places: dict[int, Place] = {}  # The same, of those that have never moved.
        self._counties: dict[str, set[str]] = {}  # By enterprise.
        self._silent: set[Place | str] = set()  # Places and enterprises with an open alert.
        self._touched: set[Place] = set()  # Places whose tally may have changed at this tick.
        self._row_ticks: list[int] = []  # Ticks with rows among those that are gone through.
        self._now = 0  # The tick of which the verdicts are followed.
        self._scopes_now = 0  # How many scopes had been seen by then.
        self._pending: Ints | None = None  # By scope, at this tick, once somebody has asked.
        self._followed: object = None  # What was judged by when the alerts were last followed.
        self._sent = 0

    # --- input ---

    def _take(self, taken: Changes) -> None:
        super()._take(taken)
        for change in verdicts.decode([taken.extra]):
            self._waiting.setdefault(change.tick, []).append(change)

    def _take_reference(self) -> None:
        """Know the outlets; what has been removed needs no alerts any more."""
        known = {outlet.number for outlet in self.reference.outlets.values()}
        self._outlets |= {outlet.number: outlet for outlet in self.reference.outlets.values()}
        self._outlet_scopes, self._places = {}, {}
        self._counties = {}
        for outlet in self.reference.outlets.values():
            self._counties.setdefault(outlet.enterprise_id, set()).add(outlet.county_code)
        gone = sorted(self._latest.keys() - known)
        for number in gone:
            del self._latest[number]
            self._touched.update(self._collapses.drop(number))
        removed = {self._outlets[number].outlet_id for number in gone}

        def concerns(entry: Entry) -> bool:
            scope = entry.scope
            return scope.granularity is Granularity.OUTLET and scope.scope_id in removed

        if removed:
            now_ms = self.windows.tick * TICK_MS
            self.desk.end_where(concerns, Signal.WITHDRAWN, now_ms=now_ms)

    def _rows_added(self, rows: Rows) -> None:
        self._channels.add(rows)
        self._row_ticks = distinct(rows.ticks)

    # --- verdicts and alerts ---

    def _verdicts_made(self, first: int, turns: Turns) -> None:
        """Follow the ticks at which there are rows, or anything else to do, one after the other."""
        ticks = sorted({first, *self._row_ticks})
        self._row_ticks = []
        begins = turns.ticks.searchsorted([*ticks, ticks[-1] + 1]).tolist()
        self._now = first - 1
        for tick, part in zip(ticks, pairwise(begins), strict=True):
            while (extra := self._extra_tick(self._now)) is not None and extra < tick:
                self._follow_tick(extra, no_turns())
            self._follow_tick(tick, turns.take(slice(*part)))

    def _follow_tick(self, tick: int, turns: Turns) -> None:
        """Follow the outlets' verdicts, the roll-ups' own, and silent channels, into alerts."""
        now_ms = tick * TICK_MS
        self._now = tick
        if len(turns):  # New scopes are among them, and have the highest numbers.
            self._scopes_now = max(self._scopes_now, int(turns.scopes[-1]) + 1)
        self._follow(turns)
        self._pending = None
        self._channels.move_to(tick)
        due: dict[int, Outlet] = {}
        for change in sorted(self._waiting.pop(tick, ()), key=lambda change: change.outlet):
            self._take_verdict(change, due)
        handing_over = self._judged_by != self._followed
        self._followed = self._judged_by
        if handing_over:
            self._touched.update(name for name in self._silent if isinstance(name, tuple))
        before = set(self._silent)
        self._follow_channels(now_ms)
        self._follow_collapses(now_ms)
        released = before - self._silent
        for number, outlet in due.items():
            self._evaluate_outlet(number, outlet, now_ms)
        for number in turns.scopes[turns.changed].tolist():
            self._evaluate_rollup(number, now_ms)
        if handing_over:
            self._evaluate_entries(now_ms)
        if released:
            self._evaluate_released(released, now_ms)
        if before != self._silent:
            self._tell_unknown(before ^ self._silent)
        self.desk.move(now_ms, RATE_KINDS, self._finding_now)

    def _take_verdict(self, change: VerdictChange, due: dict[int, Outlet]) -> None:
        outlet = self._outlets.get(change.outlet)
        if outlet is None or outlet.outlet_id not in self.reference.outlets:
            return
        self._latest[change.outlet] = change
        self._touched.update(self._collapses.put(self._place_of(outlet, change.day), change))
        due[change.outlet] = outlet

    def _place_of(self, outlet: Outlet, day: int) -> Place:
        place = self._places.get(outlet.number)
        if place is None:
            enterprise_id, county_code = outlet.place_on(day)
            place = (enterprise_id, city_of(county_code))
            if not outlet.moves:
                self._places[outlet.number] = place
        return place

    def _evaluate_outlet(self, number: int, outlet: Outlet, now_ms: int) -> None:
        change = self._latest[number]
        if self.desk.passes_over(outlet.outlet_id, change.event_period_id, change.rank):
            return
        verdict = change.verdict

        def find() -> Finding:
            return finding_of(verdict, day=change.day, pending=change.pending)

        self._evaluate(self._outlet_scope(outlet), verdict, find, now_ms)

    def _outlet_scope(self, outlet: Outlet) -> Scope:
        scope = self._outlet_scopes.get(outlet.number)
        if scope is None:
            scope = self._outlet_scopes[outlet.number] = outlet_scope(outlet)
        return scope

    def _evaluate_rollup(self, number: int, now_ms: int) -> None:
        scope, (period_id, rank) = self.rollups.scope(number), self.judge.ruling(number)
        if self.desk.passes_over(scope.scope_id, period_id, rank):
            return
        verdict = self.judge.verdict(number)

        def find() -> Finding:
            return self._rollup_finding(number, verdict)

        self._evaluate(scope, verdict, find, now_ms)

    def _rollup_finding(self, number: int, verdict: Verdict) -> Finding:
        if self._pending is None:
            self._pending = self.judge.pending(self._now)
        return finding_of(verdict, day=self.judge.day, pending=int(self._pending[number]))

    def _evaluate(
        self, scope: Scope, verdict: Verdict, find: Callable[[], Finding], now_ms: int
    ) -> None:
        if not self._is_silent(scope):
            self.desk.evaluate(scope, verdict, find, reference=self.reference, now_ms=now_ms)

    def _evaluate_entries(self, now_ms: int) -> None:
        """Look at all alerts: their period may be over though their scope's verdict is what it was."""
        for entry in self.desk.entries():
            scope = entry.scope
            if entry.kind is SILENT:
                continue
            if scope.granularity is Granularity.OUTLET:
                outlet = self.reference.outlets[scope.scope_id]
                self._evaluate_outlet(outlet.number, outlet, now_ms)
            else:
                self._evaluate_rollup(self._number_of(scope), now_ms)

    def _evaluate_released(self, released: Iterable[Place | str], now_ms: int) -> None:
        """Judge anew what a silent channel has hidden."""
        ended = set(released)
        for number in sorted(self._latest):
            outlet = self._outlets[number]
            if _hides(ended, self._outlet_scope(outlet)):
                self._evaluate_outlet(number, outlet, now_ms)
        for number in range(self._scopes_now):
            if _hides(ended, self.rollups.scope(number)):
                self._evaluate_rollup(number, now_ms)

    def _finding_now(self, entry: Entry) -> Finding:
        scope = entry.scope
        if entry.kind is SILENT:
            return entry.finding
        if scope.granularity is Granularity.OUTLET:
            change = self._latest[self.reference.outlets[scope.scope_id].number]
            return finding_of(change.verdict, day=change.day, pending=change.pending)
        number_of = self._number_of(scope)
        return self._rollup_finding(number_of, self.judge.verdict(number_of))

    def _number_of(self, scope: Scope) -> int:
        number = self.rollups.number_of(scope.granularity, scope.scope_id)
        assert number is not None, "an alert's scope has been seen"
        return number

    # --- silent channels ---

    def _is_silent(self, scope: Scope) -> bool:
        return bool(self._silent) and _hides(self._silent, scope)

    def _follow_channels(self, now_ms: int) -> None:
        silent = self._channels.silent()
        for enterprise, collections in silent.items():
            enterprise_id = self.reference.enterprises[enterprise]
            scope = self._scope(Granularity.ENTERPRISE, enterprise_id)
            period = self._active_period(enterprise_id, now_ms)
            if period is None and not self.policy.routine_alerts:
                continue
            evidence = Evidence(window="SILENCE", collections=collections)
            finding = self._silent_finding(period, now_ms, evidence)
            entry = self.desk.entry(SILENT, scope)
            if entry is not None and _tells(entry, finding):
                continue  # It is firing already, and says so.
            self.desk.signal(SILENT, scope, Signal.SURE, finding, now_ms=now_ms)
            self._silence(enterprise_id, now_ms)
        for enterprise_id in sorted(s for s in self._silent if isinstance(s, str)):
            entry = self.desk.entry(SILENT, self._scope(Granularity.ENTERPRISE, enterprise_id))
            assert entry is not None
            signal = self._channel_signal(entry, enterprise_id, now_ms)
            if signal is not None:
                self.desk.signal(SILENT, entry.scope, signal, entry.finding, now_ms=now_ms)
            if signal not in (None, Signal.CLEAR):
                self._release(enterprise_id)

    def _channel_signal(self, entry: Entry, enterprise_id: str, now_ms: int) -> Signal | None:
        """Return what this tick says to the open alert of a silent enterprise; None for nothing."""
        sent = self._channels.sent[self.reference.enterprises.index(enterprise_id)]
        clearing = entry.alert.state is AlertState.CLEARING
        since_ms = entry.alert.since_ms if clearing else now_ms
        if sent and now_ms - since_ms >= self.policy.silent_hold_ms:
            return Signal.CLEAR_HELD
        if self._no_longer_ruled(enterprise_id, now_ms):
            return end_signal(self.reference, entry.finding.event_period_id, now_ms)
        return Signal.CLEAR if sent else None

    def _release(self, enterprise_id: str) -> None:
        self._silent.discard(enterprise_id)
        self._touched.update(self._collapses.places_of(enterprise_id))  # No longer hidden.

    def _no_longer_ruled(self, enterprise_id: str, now_ms: int) -> bool:
        ruled = self.policy.routine_alerts or self._active_period(enterprise_id, now_ms) is not None
        return not ruled

    def _follow_collapses(self, now_ms: int) -> None:
        for place in sorted(self._touched):
            self._follow_collapse(place, now_ms)
        self._touched = set()
        # The desk clears a collapse by itself when it has been over long enough.
        self.desk.move(now_ms, (SILENT,), self._finding_now)
        for place in sorted(s for s in self._silent if isinstance(s, tuple)):
            if (
                self.desk.entry(SILENT, self._scope(Granularity.ENTERPRISE_CITY, "|".join(place)))
                is None
            ):
                self._silent.discard(place)

    def _follow_collapse(self, place: Place, now_ms: int) -> None:
        signal = self._collapses.signal(place)
        name = "|".join(place)
        if signal is not Signal.SURE and not self.desk.concerns(name):
            return
        number = self.rollups.number_of(Granularity.ENTERPRISE_CITY, name)
        if number is None or number >= self._scopes_now:
            return  # An outlet that has moved here and collected nothing yet.
        scope = self.rollups.scope(number)
        entry = self.desk.entry(SILENT, scope)
        if entry is None and (signal is not Signal.SURE or place[0] in self._silent):
            return
        if signal is None:
            assert entry is not None
            judged_ms = self._judged_ms(self._now)
            signal = end_signal(self.reference, entry.finding.event_period_id, judged_ms)
        finding = self._collapse_finding(place, entry)
        self.desk.signal(SILENT, scope, signal, finding, now_ms=now_ms)
        if signal is Signal.SURE and place not in self._silent:
            self._silence(place, now_ms)

    def _collapse_finding(self, place: Place, entry: Entry | None) -> Finding:
        tally = self._collapses.tally(place)
        evidence = Evidence(window="TODAY", breaching=tally.breaching, judged=tally.judged)
        judged_ms = self._judged_ms(self._now)
        periods = self._collapses.periods(place)
        breached = [p for p in self.reference.periods if p.event_period_id in periods]
        told = None if entry is None else entry.finding
        active = [
            period.event_period_id
            for period in self.reference.periods
            if period.phase_at(judged_ms) is not None
        ]
        if told is None or (told.event_period_id not in active and breached):
            told = self._silent_finding(breached[0] if breached else None, judged_ms, evidence)
        if not tally.judged:
            return told  # With the last figures that there were.
        share = round(tally.share, RATE_DIGITS)
        return replace(told, observed=share, n=tally.judged, evidence=evidence)

    def _silent_finding(
        self, period: EventPeriod | None, instant_ms: int, evidence: Evidence
    ) -> Finding:
        severity = Severity.MAJOR
        if (
            period is not None
            and period.event_level is EventLevel.L1
            and period.phase_at(instant_ms) is EventPhase.CORE
        ):
            severity = one_step_up(severity)
        return Finding(
            severity=severity,
            target=None,
            category=None,
            event_period_id=None if period is None else period.event_period_id,
            observed=None,
            n=evidence.collections or 0,
            evidence=evidence,
            event_level=None if period is None else period.event_level,
        )

    def _silence(self, what: Place | str, now_ms: int) -> None:
        """Let a silent channel's alert stand for all that it hides."""
        self._silent.add(what)
        hidden = {what}
        self.desk.end_where(
            lambda entry: (
                _hides(hidden, entry.scope)
                and not (entry.kind is SILENT and _name(entry.scope) == what)
            ),
            Signal.SUPERSEDED,
            now_ms=now_ms,
        )

    def _active_period(self, enterprise_id: str, now_ms: int) -> EventPeriod | None:
        """Return the first event period that holds now where the enterprise collects."""
        counties = self._counties.get(enterprise_id, set())
        for period in self.reference.periods:
            if period.phase_at(now_ms) is not None and any(
                code_matches(code, period.origin_codes) for code in counties
            ):
                return period
        return None

    def _scope(self, granularity: Granularity, scope_id: str) -> Scope:
        number = self.rollups.number_of(granularity, scope_id)
        assert number is not None, "its parcels have been counted"
        return self.rollups.scope(number)

    def _tell_unknown(self, changed: set[Place | str]) -> None:
        """See to it that the scopes are published again whose verdicts are hidden or shown."""
        numbers = [n for n in range(self._scopes_now) if _hides(changed, self.rollups.scope(n))]
        self.verdicts_changed[np.array(numbers, np.intp)] = self._now
        touched = np.zeros(len(self.windows.changed), np.bool_)
        for granularity in (Granularity.ENTERPRISE, Granularity.ENTERPRISE_CITY):
            scopes = self.rollups.of_groups(granularity)
            touched[: len(scopes)] |= np.isin(scopes, numbers)
        if self.windows.keeps_day(self.judge.day):
            seen = self.windows.day_changes(self.judge.day) > 0
            self.windows.touch_day(self.judge.day, touched & seen, self._now)

    def _unknown(self) -> Bools:
        return np.array(
            [self._is_silent(self.rollups.scope(n)) for n in range(self.rollups.count)], np.bool_
        )

    # --- ticks and output ---

    def _extra_tick(self, after: int) -> int | None:
        ticks = [
            self.desk.next_tick(),
            self._channels.next_tick(),
            min(self._waiting, default=None),
        ]
        ticks += [
            tick_at_or_after(bound_ms) // TICK_MS
            for period in self.reference.periods
            for phase in period.phases
            for bound_ms in (phase.start_ms, phase.end_ms)
        ]
        return min((tick for tick in ticks if tick is not None and tick > after), default=None)

    def _changes_out(self) -> list[Output]:
        self._sent = len(self.desk.outputs)
        return list(self.desk.outputs)

    def _forget_changes(self) -> None:
        del self.desk.outputs[: self._sent]
        self._sent = 0

    # --- snapshots ---

    def _extra_state(self) -> tuple[dict[str, Array], bytes]:
        arrays, tick = self._channels.snapshot()
        state = RollupState(
            waiting=[change for _, many in sorted(self._waiting.items()) for change in many],
            latest=[change for _, change in sorted(self._latest.items())],
            places=self._collapses.places(),
            outlets=[self._outlets[number] for number in sorted(self._latest)],
            desk=self.desk.snapshot(),
            channels_tick=tick,
        )
        return arrays, msgspec.msgpack.encode(state)

    def _restore_extra(self, arrays: Mapping[str, Array], extra: bytes) -> None:
        state = msgspec.msgpack.decode(extra, type=RollupState)
        self._channels.restore(dict(arrays), state.channels_tick)
        self._waiting = {}
        for change in state.waiting:
            self._waiting.setdefault(change.tick, []).append(change)
        self._latest = {change.outlet: change for change in state.latest}
        self._outlet_scopes, self._places = {}, {}
        reference = self.history.at(self.windows.tick * TICK_MS)
        self._outlets = {outlet.number: outlet for outlet in state.outlets}
        self._outlets |= {outlet.number: outlet for outlet in reference.outlets.values()}
        self._counties = {}
        for outlet in reference.outlets.values():
            self._counties.setdefault(outlet.enterprise_id, set()).add(outlet.county_code)
        self._collapses.restore(
            (place, self._latest[number]) for number, place in sorted(state.places.items())
        )
        self.desk.restore(state.desk)
        self._silent = {
            _name(entry.scope) for entry in self.desk.open_entries() if entry.kind is SILENT
        }

    def _use_restored_reference(self) -> None:
        super()._use_restored_reference()
        self._followed = self._judged_by
        self._scopes_now = self.rollups.count


def _tells(entry: Entry, finding: Finding) -> bool:
    """Return whether a silent enterprise's alert says already what was found."""
    firing = entry.alert.state is AlertState.FIRING
    return firing and entry.finding.event_period_id == finding.event_period_id


def _name(scope: Scope) -> Place | str:
    """Return what a silent channel's scope is called here."""
    assert scope.enterprise_id is not None
    if scope.granularity is Granularity.ENTERPRISE:
        return scope.enterprise_id
    assert scope.city_code is not None
    return scope.enterprise_id, scope.city_code


def _hides(silent: set[Place | str], scope: Scope) -> bool:
    """Return whether one of the silent channels makes a scope's figures meaningless."""
    if scope.enterprise_id is None:
        return False
    if scope.enterprise_id in silent:
        return True
    in_city = scope.city_code is not None
    return in_city and (scope.enterprise_id, str(scope.city_code)) in silent
