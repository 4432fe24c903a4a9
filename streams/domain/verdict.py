"""Verdicts: whether a scope's rate meets its target, and how surely (DOMAIN 4.4).

A *line* is one target with the parcels that it is about. A scope has as many lines as targets apply to
it, and its verdict is that of the worst line. The rule is evaluated every minute, so the bound of a
breach is wide (one-sided 99.9 %): with the usual 95 % hundreds of healthy outlets would page every day.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from streams.domain.category import Category
from streams.domain.policy import Policy
from streams.domain.rate import wilson_upper


class RateStatus(IntEnum):
    """What a verdict says. Names are published; numbers are part of the format of `totals`."""

    INSUFFICIENT = 0  # Too few mature parcels.
    OK = 1
    AT_RISK = 2  # Below target, but it may be chance.
    BREACH = 3  # Below target, and no chance.
    UNKNOWN = 4  # The scope's channel is silent, so its figures mean nothing.


class Severity(IntEnum):
    """How bad it is; pages at MAJOR and above. Numbers are part of the format of `totals`."""

    INFO = 0
    MINOR = 1
    MAJOR = 2
    CRITICAL = 3


CRITICAL_SHORTFALL: Final = 0.30
MAJOR_SHORTFALL: Final = 0.10
ROUNDING: Final = 1e-9
"""0.9 - 0.8 is less than 0.1 in binary; shortfalls and margins are compared this much more leniently."""

CERTAIN: Final = 1.0
"""A target of every single parcel: one missing parcel breaches it, however few there are."""


@dataclass(frozen=True, slots=True)
class Line:
    """One target that applies to a scope.

    Attributes:
        target: Least allowed rate.
        n_min: Mature parcels below which it is not judged.
        category: Which parcels it is about; None for all in the base.
        event_period_id: Whose target it is; None for the routine target.
        l1_core: Whether that period stands in the core phase of an L1 event.

    """

    target: float
    n_min: int
    category: Category | None = None
    event_period_id: str | None = None
    l1_core: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A scope's verdict: that of its worst line, with the evidence.

    Attributes:
        status: What it says.
        ticket: At risk with such a bound that somebody should look (one-sided 99 %).
        severity: None unless it is a breach or a ticket.
        target: The worst line's target.
        category: The worst line's parcels.
        event_period_id: The worst line's period.
        n: Its mature parcels.
        covered: How many of them are covered.
        bound: Upper bound of the rate, `bound_z` standard deviations up.
        bound_z: The bound that decided.
        clear: Whether all its lines are above their targets by the margin.

    """

    status: RateStatus
    ticket: bool
    severity: Severity | None
    target: float
    category: Category | None
    event_period_id: str | None
    n: int
    covered: int
    bound: float
    bound_z: float
    clear: bool

    @property
    def rank(self) -> int:
        """Order of badness; the numbers are part of the format of `totals`."""
        return rank_of(self.status, ticket=self.ticket)

    @property
    def shortfall(self) -> float:
        """How far the rate is below the target; 0 where too few parcels say anything."""
        return shortfall_of(self.status, self.target, covered=self.covered, n=self.n)


RANK_INSUFFICIENT: Final = 1
RANK_OK: Final = 2
RANK_AT_RISK: Final = 3
RANK_TICKET: Final = 4
RANK_BREACH: Final = 5


def rank_of(status: RateStatus, *, ticket: bool) -> int:
    """Return how bad a status is among lines; a breach is worst, too few parcels least."""
    if status is RateStatus.BREACH:
        return RANK_BREACH
    if status is RateStatus.AT_RISK:
        return RANK_TICKET if ticket else RANK_AT_RISK
    return RANK_OK if status is RateStatus.OK else RANK_INSUFFICIENT


def status_of_rank(rank: int) -> RateStatus:
    """Return the status that `rank_of` ranked."""
    if rank == RANK_BREACH:
        return RateStatus.BREACH
    if rank in (RANK_AT_RISK, RANK_TICKET):
        return RateStatus.AT_RISK
    return RateStatus.OK if rank == RANK_OK else RateStatus.INSUFFICIENT


def shortfall_of(status: RateStatus, target: float, *, covered: int, n: int) -> float:
    """Return how far a rate is below its target; negative above it, 0 for too few parcels."""
    return 0.0 if status is RateStatus.INSUFFICIENT else target - covered / n


def n_needed(line: Line) -> int:
    """Return the least mature parcels at which a line is judged."""
    return 1 if line.target >= CERTAIN else max(line.n_min, 1)


def judge_line(line: Line, *, n: int, covered: int, policy: Policy) -> Verdict:
    """Return the verdict on one line with `n` mature parcels."""
    status, ticket, z = _status(line, n=n, covered=covered, policy=policy)
    shortfall = shortfall_of(status, line.target, covered=covered, n=n)
    severity = None
    if status is RateStatus.BREACH:
        severity = severity_of(shortfall, l1_core=line.l1_core)
    elif ticket:
        severity = Severity.MINOR
    return Verdict(
        status=status,
        ticket=ticket,
        severity=severity,
        target=line.target,
        category=line.category,
        event_period_id=line.event_period_id,
        n=n,
        covered=covered,
        bound=wilson_upper(covered, n, z),
        bound_z=z,
        clear=status is not RateStatus.INSUFFICIENT
        and covered / n >= min(1.0, line.target + policy.clear_margin) - ROUNDING,
    )


def _status(line: Line, *, n: int, covered: int, policy: Policy) -> tuple[RateStatus, bool, float]:
    if n < n_needed(line):
        return RateStatus.INSUFFICIENT, False, policy.z_page
    if line.target >= CERTAIN:
        return (RateStatus.BREACH if covered < n else RateStatus.OK), False, policy.z_page
    if wilson_upper(covered, n, policy.z_page) < line.target:
        return RateStatus.BREACH, False, policy.z_page
    if wilson_upper(covered, n, policy.z_ticket) < line.target:
        return RateStatus.AT_RISK, True, policy.z_ticket
    status = RateStatus.AT_RISK if covered / n < line.target else RateStatus.OK
    return status, False, policy.z_page


def severity_of(shortfall: float, *, l1_core: bool) -> Severity:
    """Return the severity of a breach; one step higher in the core phase of an L1 event."""
    severity = Severity.MINOR
    if shortfall >= CRITICAL_SHORTFALL - ROUNDING:
        severity = Severity.CRITICAL
    elif shortfall >= MAJOR_SHORTFALL - ROUNDING:
        severity = Severity.MAJOR
    return one_step_up(severity) if l1_core else severity


def one_step_up(severity: Severity) -> Severity:
    """Return the next higher severity; the highest stays."""
    return Severity(min(severity + 1, Severity.CRITICAL))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of the worst line, `clear` only when every judged line is, and one is judged.

    Ties go to the larger shortfall, then to the stricter target, then to the earlier line.
    """
    lines = list(verdicts)
    assert lines, "a scope has at least the routine target's line"
    found = max(lines, key=lambda v: (v.rank, v.shortfall, v.target))
    judged = [v for v in lines if v.status is not RateStatus.INSUFFICIENT]
    clear = bool(judged) and all(v.clear for v in judged)
    return Verdict(
        status=found.status,
        ticket=found.ticket,
        severity=found.severity,
        target=found.target,
        category=found.category,
        event_period_id=found.event_period_id,
        n=found.n,
        covered=found.covered,
        bound=found.bound,
        bound_z=found.bound_z,
        clear=clear,
    )
