"""Verdicts on all scopes at once: `domain.verdict` in columns.

`LineTable.judge` gives the same as `judge_line` and `worst` there, bit for bit; a property test holds it
to that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.policy import Policy
from streams.domain.verdict import (
    CERTAIN,
    CRITICAL_SHORTFALL,
    MAJOR_SHORTFALL,
    RANK_AT_RISK,
    RANK_BREACH,
    RANK_INSUFFICIENT,
    RANK_OK,
    RANK_TICKET,
    ROUNDING,
    Line,
    Severity,
    Verdict,
    n_needed,
    status_of_rank,
)
from streams.stages.columns import Array, Bools, Floats, Ints

NONE: Final = -1
"""No severity, no category, no event period."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts of all scopes, as columns of one length.

    `ranks` are those of `domain.verdict`; `periods` are places in the list of the period ids known to
    the `Judge`.
    """

    ranks: Ints
    severities: Ints
    targets: Floats
    categories: Ints
    periods: Ints
    n: Floats
    covered: Floats
    bounds: Floats
    clear: Bools

    def __len__(self) -> int:
        return len(self.ranks)

    def take(self, index: Array | slice) -> "Verdicts":
        """Return the verdicts at an index, a mask or a slice."""
        return Verdicts(*(getattr(self, name)[index] for name in self.__slots__))


def no_verdicts(count: int) -> Verdicts:
    """Return columns of verdicts worse than which is every line's."""
    return Verdicts(
        ranks=np.zeros(count, np.intp),
        severities=np.full(count, NONE, np.intp),
        targets=np.zeros(count),
        categories=np.full(count, NONE, np.intp),
        periods=np.full(count, NONE, np.intp),
        n=np.zeros(count),
        covered=np.zeros(count),
        bounds=np.ones(count),
        clear=np.zeros(count, np.bool_),
    )


def longer(verdicts: Verdicts, count: int) -> Verdicts:
    """Return the verdicts, followed by those of `no_verdicts` up to `count` scopes."""
    new = no_verdicts(count - len(verdicts))
    columns = {
        name: np.concatenate([getattr(verdicts, name), getattr(new, name)])
        for name in Verdicts.__slots__
    }
    return Verdicts(**columns)


def wilson_uppers(rates: Floats, n: Floats, z: float) -> Floats:
    """Return the upper bounds of `domain.rate.wilson_upper`; n must be positive."""
    square = z * z
    centre = rates + square / (2.0 * n)
    spread = z * np.sqrt(rates * (1.0 - rates) / n + square / (4.0 * n * n))
    bounds: Floats = (centre + spread) / (1.0 + square / n)
    return bounds


class LineTable:
    """The lines of `domain.verdict`, one row each, as columns that spread over scopes."""

    def __init__(self, lines: Sequence[Line], periods: Sequence[int], policy: Policy) -> None:
        """Take lines and the numbers of their periods."""

        def column(values: Iterable[float]) -> Floats:
            return np.fromiter(values, np.float64).reshape(-1, 1)

        self._policy: Final = policy
        self.targets: Final = column(line.target for line in lines)
        self.certain: Final = self.targets >= CERTAIN
        self.n_needed: Final = column(n_needed(line) for line in lines)
        margin = policy.clear_margin
        self.margins: Final = column(min(1.0, line.target + margin) - ROUNDING for line in lines)
        self.least_severities: Final = np.array(
            [Severity.MINOR + line.l1_core for line in lines], np.intp
        )
        self.categories: Final = np.array(
            [NONE if line.category is None else line.category for line in lines], np.intp
        )
        self.periods: Final = np.array(periods, np.intp)

    def judge(self, n: Floats, covered: Floats, applies: Bools) -> tuple[Verdicts, Ints]:
        """Return each scope's verdict, and the line that it is of.

        All arguments have a row for each line and a column for each scope; every scope's line must
        apply somewhere, or it is left with rank 0.
        """
        some = np.maximum(n, 1.0)
        rates = covered / some
        page = wilson_uppers(rates, some, self._policy.z_page)
        ticket = wilson_uppers(rates, some, self._policy.z_ticket)
        enough = n >= self.n_needed
        ranks = np.where(rates < self.targets, RANK_AT_RISK, RANK_OK)
        ranks[ticket < self.targets] = RANK_TICKET
        ranks[page < self.targets] = RANK_BREACH
        if self.certain.any():
            every = np.where(covered < n, RANK_BREACH, RANK_OK)
            ranks = np.where(self.certain, every, ranks)
        ranks[~enough] = RANK_INSUFFICIENT
        ranks[~applies] = 0
        shortfalls = np.where(enough, self.targets - rates, 0.0)
        worst = self._worst(ranks, shortfalls)
        at = (worst, np.arange(n.shape[1]))
        judged = enough & applies
        unclear = judged & (rates < self.margins)
        clear = np.logical_and(judged.any(axis=0), ~unclear.any(axis=0))
        rank, shortfall = ranks[at], shortfalls[at]
        bounds = np.where(rank == RANK_TICKET, ticket[at], page[at])
        found = Verdicts(
            ranks=rank,
            severities=self._severities(rank, shortfall, worst),
            targets=self.targets[worst, 0],
            categories=self.categories[worst],
            periods=self.periods[worst],
            n=n[at],
            covered=covered[at],
            bounds=np.where(n[at] > 0, bounds, 1.0),
            clear=clear,
        )
        return found, worst

    def _worst(self, ranks: Ints, shortfalls: Floats) -> Ints:
        """Return each scope's worst line: by rank, shortfall, target, and then the earliest."""
        if len(ranks) == 1:
            return np.zeros(ranks.shape[1], np.intp)
        left = ranks == ranks.max(axis=0)
        for column in (shortfalls, self.targets):
            values = np.where(left, column, -np.inf)
            left = values == values.max(axis=0)
        first: Ints = left.argmax(axis=0)
        return first

    def _severities(self, ranks: Ints, shortfalls: Floats, lines: Ints) -> Ints:
        steps = self.least_severities[lines]
        steps += shortfalls >= MAJOR_SHORTFALL - ROUNDING
        steps += shortfalls >= CRITICAL_SHORTFALL - ROUNDING
        found = np.where(ranks == RANK_BREACH, np.minimum(steps, Severity.CRITICAL), NONE)
        found[ranks == RANK_TICKET] = Severity.MINOR
        return found


def verdict_at(
    verdicts: Verdicts, scope: int, period_ids: Sequence[str], policy: Policy
) -> Verdict:
    """Return one scope's verdict."""
    rank, period = int(verdicts.ranks[scope]), int(verdicts.periods[scope])
    severity, category = int(verdicts.severities[scope]), int(verdicts.categories[scope])
    return Verdict(
        status=status_of_rank(rank),
        ticket=rank == RANK_TICKET,
        severity=None if severity == NONE else Severity(severity),
        target=float(verdicts.targets[scope]),
        category=None if category == NONE else Category(category),
        event_period_id=None if period == NONE else period_ids[period],
        n=int(verdicts.n[scope]),
        covered=int(verdicts.covered[scope]),
        bound=float(verdicts.bounds[scope]),
        bound_z=policy.z_ticket if rank == RANK_TICKET else policy.z_page,
        clear=bool(verdicts.clear[scope]),
    )
