"""Planted faults: where they are, what they do to the records, and what should be found of them.

A fault is planned in the scenario, gets its place in the region that is played (`plant`), works on
the columns of each chunk, and says afterwards from alerts, day records and dead letters whether it
was found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streams.domain.window import HOUR_MS, day_of, day_text, instant_from_text
from streams.records.rejects import RejectCode
from streams.simulate.columns import Bools, Ints
from streams.simulate.parcels import EXEMPT, Parcels
from streams.simulate.region import Region
from streams.simulate.registrations import BACKFILL, Registrations, again_registered, numbered
from streams.simulate.scenario import FaultKind, FaultPlan, Scenario, ScenarioError

RAISED_WITHIN_MS: Final = 4 * HOUR_MS
"""How long after its end a fault may still raise its alert: its last parcels mature after two hours."""

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run has led to.

    Attributes:
        alerts: Records of `alerts`, every change of every alert, with `first_at`, when its episode
            was raised.
        days: Records of `days`, at least the last one of each scope and date.
        dead_letters: Records in `shipments.dlq` by reject code.

    """

    alerts: Sequence[Fields] = ()
    days: Sequence[Fields] = ()
    dead_letters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertExpected:
    """An alert about a scope is raised, and, if `ended` names a reason, ended for it.

    Only one that was raised in [start_ms, until_ms) counts: what was open before the fault began is
    not about it. `scope_id` also stands for scopes within it: `<enterprise>` for
    `<enterprise>|<city>`.
    """

    alert_kind: str
    scope_id: str
    start_ms: int
    until_ms: int
    ended: str | None = None

    def met(self, evidence: Evidence) -> bool:
        """Return whether it is in the evidence."""
        own = [a for a in evidence.alerts if self._about(a)]
        return bool(own) and (self.ended is None or any(a.get("reason") == self.ended for a in own))

    def _about(self, alert: Fields) -> bool:
        scope = str(alert.get("scope_id"))
        within = scope == self.scope_id or scope.startswith(f"{self.scope_id}|")
        if not within or alert.get("alert_kind") != self.alert_kind:
            return False
        raised_ms = instant_from_text(str(alert["first_at"]))
        return self.start_ms <= raised_ms < self.until_ms

    def __str__(self) -> str:
        """Say what is expected."""
        ending = f", ended: {self.ended}" if self.ended else ""
        return f"alert {self.alert_kind} of {self.scope_id}{ending}"


@dataclass(frozen=True, slots=True)
class FigureExpected:
    """A figure of an outlet's day is at least a share of its parcels in the base."""

    outlet_id: str
    date: str
    figure: str
    share: float

    def met(self, evidence: Evidence) -> bool:
        """Return whether it is in the evidence."""
        for day in evidence.days:
            if (
                day.get("granularity") == "OUTLET"
                and (day.get("scope_id"), day.get("date")) == (self.outlet_id, self.date)
                and _number(day, "eligible") > 0
                and _number(day, self.figure) >= self.share * _number(day, "eligible")
            ):
                return True
        return False

    def __str__(self) -> str:
        """Say what is expected."""
        share = f"at least {self.share:.0%} of its parcels"
        return f"{self.figure} of {self.outlet_id} on {self.date}: {share}"


@dataclass(frozen=True, slots=True)
class RejectsExpected:
    """At least as many dead letters of each code as are fed."""

    fed: Mapping[RejectCode, int]

    def met(self, evidence: Evidence) -> bool:
        """Return whether they are in the evidence."""
        return all(evidence.dead_letters.get(c.value, 0) >= n for c, n in self.fed.items())

    def __str__(self) -> str:
        """Say what is expected."""
        return "dead letters: " + ", ".join(f"{c.value} {n}" for c, n in self.fed.items())


Expectation = AlertExpected | FigureExpected | RejectsExpected


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """A fault in its place.

    Attributes:
        kind: What goes wrong.
        text: The same in a few words, with the place.
        scope_id: County, enterprise or outlet; "" for garbage.
        start_ms: First instant.
        end_ms: First instant after it.
        expects: What should be found; all of it, for the fault to count as found.
        plan: How it was planned.
        members: The outlets concerned, as a mask over the region's.

    """

    kind: FaultKind
    text: str
    scope_id: str
    start_ms: int
    end_ms: int
    expects: tuple[Expectation, ...]
    plan: FaultPlan
    members: Bools

    def unmet(self, evidence: Evidence) -> list[str]:
        """Return what was expected and is not in the evidence; nothing when the fault was found."""
        return [str(e) for e in self.expects if not e.met(evidence)]

    def found(self, evidence: Evidence) -> bool:
        """Return whether everything that was expected is in the evidence."""
        return not self.unmet(evidence)

    def concerns(self, outlet: Ints, time_ms: Ints) -> Bools:
        """Return which rows lie in the fault's place and interval."""
        return self.members[outlet] & (self.start_ms <= time_ms) & (time_ms < self.end_ms)


def plant(scenario: Scenario, region: Region) -> list[PlantedFault]:
    """Find a place for every planned fault, wide ones first, so that no outlet has two.

    Raises:
        ScenarioError: The region has no place left for one; the message says which.
    """
    taken = np.zeros(len(region.outlets), np.bool_)
    planted: dict[int, PlantedFault] = {}
    order = sorted(range(len(scenario.faults)), key=lambda i: _WIDTHS[scenario.faults[i].kind])
    for index in order:
        plan = scenario.faults[index]
        fault = _garbage(plan, region) if plan.kind == "garbage" else _place(plan, region, taken)
        taken |= fault.members
        planted[index] = fault
    return [planted[index] for index in sorted(planted)]


_WIDTHS: Final[dict[FaultKind, int]] = {
    "brand_silent": 0,
    "county_stops": 1,
    "low_outlet": 2,
    "duplicate_outlet": 2,
    "late_makeup": 2,
    "backdating_outlet": 2,
    "host_missing": 2,
    "garbage": 3,
}


def _garbage(plan: FaultPlan, region: Region) -> PlantedFault:
    return PlantedFault(
        kind=plan.kind,
        text=f"garbage records of all {len(RejectCode)} reject codes",
        scope_id="",
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
        expects=(RejectsExpected({code: garbage_count(plan, code) for code in RejectCode}),),
        plan=plan,
        members=np.zeros(len(region.outlets), np.bool_),
    )


def garbage_count(plan: FaultPlan, code: RejectCode) -> int:
    """Return how many records of a reject code a garbage fault feeds."""
    return plan.oversized_count if code is RejectCode.OVERSIZED else plan.count


def _place(plan: FaultPlan, region: Region, taken: Bools) -> PlantedFault:
    scopes = _scopes(plan.kind, region)
    volume: dict[str, float] = {}
    for scope, size, outlet in zip(scopes, region.sizes, region.outlets, strict=True):
        if plan.city is None or outlet.county_code.startswith(plan.city[:4]):
            volume[scope] = volume.get(scope, 0.0) + float(size)
    blocked = {scope for scope, used in zip(scopes, taken, strict=True) if used}
    if plan.kind == "county_stops":
        blocked = set()  # A brand has outlets in every county, so nothing would be left.
    free = sorted((s for s in volume if s not in blocked), key=lambda s: (-volume[s], s))
    if not free:
        where = f"city {plan.city}" if plan.city else "the region"
        raise ScenarioError(
            f"faults: {plan.kind} has no place left in {where}: "
            "choose another city, or play more parcels a day"
        )
    scope_id = free[min(plan.rank, len(free) - 1)]
    members = np.array([s == scope_id for s in scopes], np.bool_)
    return PlantedFault(
        kind=plan.kind,
        text=_TEXTS[plan.kind].format(scope=scope_id, plan=plan),
        scope_id=scope_id,
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
        expects=_expectations(plan, scope_id),
        plan=plan,
        members=members,
    )


_TEXTS: Final[dict[FaultKind, str]] = {
    "brand_silent": "enterprise {scope} sends no registration",
    "county_stops": "county {scope} stops registering",
    "low_outlet": "outlet {scope} registers {plan.rate:.0%} of its parcels",
    "duplicate_outlet": "outlet {scope} registers everything twice",
    "late_makeup": "outlet {scope} registers hours late, as make-up entries",
    "backdating_outlet": "outlet {scope} uploads late and claims that it was in time",
    "host_missing": "outlet {scope} does not register items to the host city",
    "garbage": "garbage",
}


def _scopes(kind: FaultKind, region: Region) -> list[str]:
    if kind == "brand_silent":
        return [o.enterprise_id for o in region.outlets]
    if kind == "county_stops":
        return [o.county_code for o in region.outlets]
    return [o.outlet_id for o in region.outlets]


def _expectations(plan: FaultPlan, scope_id: str) -> tuple[Expectation, ...]:
    date = day_text(day_of(plan.start_ms))
    until_ms = plan.end_ms + RAISED_WITHIN_MS
    if plan.kind == "brand_silent":
        return (AlertExpected("CHANNEL_SILENT", scope_id, plan.start_ms, plan.end_ms),)
    if plan.kind == "duplicate_outlet":
        return (FigureExpected(scope_id, date, "duplicates", 0.5),)
    if plan.kind == "backdating_outlet":
        return (FigureExpected(scope_id, date, "backdated", 0.3),)
    if plan.kind == "late_makeup":
        return (
            AlertExpected("RATE_BELOW_TARGET", scope_id, plan.start_ms, until_ms, "recovered"),
            FigureExpected(scope_id, date, "covered_late", 0.2),
        )
    return (AlertExpected("RATE_BELOW_TARGET", scope_id, plan.start_ms, until_ms),)


def spoil_parcels(
    faults: Iterable[PlantedFault], parcels: Parcels, rng: np.random.Generator
) -> None:
    """Change which parcels are covered, and how, where a fault says so."""
    in_base = ~EXEMPT[parcels.category]
    for fault in faults:
        here = fault.concerns(parcels.outlet, parcels.time_ms)
        if fault.kind == "low_outlet":
            registered = rng.random(parcels.count) < fault.plan.rate
            parcels.covered = np.where(here, registered & in_base, parcels.covered)
            parcels.by_agreement &= parcels.covered
            parcels.agreement[here & ~parcels.by_agreement] = 0
        elif fault.kind == "host_missing":
            missed = here & parcels.to_host
            parcels.covered &= ~missed
            parcels.by_agreement &= ~missed
            parcels.agreement[missed] = 0
        elif fault.kind in ("duplicate_outlet", "late_makeup", "backdating_outlet"):
            # What the outlet does shows only in parcels that it registers itself.
            parcels.by_agreement &= ~here
            parcels.agreement[here] = 0


def spoil_registrations(
    faults: Iterable[PlantedFault], registrations: Registrations, rng: np.random.Generator
) -> Registrations:
    """Return the registrations as they come in under the faults: doubled, delayed, or not."""
    r = registrations
    for fault in faults:
        here = fault.concerns(r.outlet, r.recorded_ms)
        if fault.kind == "duplicate_outlet":
            second = again_registered(r.take(here), rng)
            r = numbered(Registrations.concatenate([r, second]))
        elif fault.kind == "county_stops":
            r = r.take(~here)
        elif fault.kind == "brand_silent":
            r = _silenced(fault, r, rng)
        elif fault.kind == "late_makeup":
            r = _made_up(fault, r, rng)
        elif fault.kind == "backdating_outlet":
            held_ms = rng.integers(3 * HOUR_MS, 5 * HOUR_MS, r.count)
            r = r.but(received_ms=np.where(here, r.received_ms + held_ms, r.received_ms))
    return r


def _silenced(fault: PlantedFault, r: Registrations, rng: np.random.Generator) -> Registrations:
    """Return what is received all the same: nothing during the fault, the backlog just after."""
    here = fault.concerns(r.outlet, r.received_ms)
    if not fault.plan.backlog:
        return r.take(~here)
    after_ms = fault.end_ms + rng.integers(0, HOUR_MS // 4, r.count)
    return r.but(received_ms=np.where(here, after_ms, r.received_ms))


def _made_up(fault: PlantedFault, r: Registrations, rng: np.random.Generator) -> Registrations:
    from_ms = _instant(fault.plan)
    here = fault.concerns(r.outlet, r.recorded_ms) & (r.recorded_ms < from_ms)
    recorded_ms = from_ms + rng.integers(0, HOUR_MS, r.count)
    return r.but(
        time_ms=np.where(here, recorded_ms - 1_000, r.time_ms),
        recorded_ms=np.where(here, recorded_ms, r.recorded_ms),
        received_ms=np.where(here, recorded_ms + 2_000, r.received_ms),
        channel=np.where(here, BACKFILL, r.channel),
    )


def _instant(plan: FaultPlan) -> int:
    assert plan.makeup_ms is not None, "checked when the scenario was read"
    return plan.makeup_ms


def _number(record: Fields, name: str) -> float:
    value = record.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
