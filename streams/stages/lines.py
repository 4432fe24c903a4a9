"""Verdicts on all scopes at once: `domain.verdict` in columns.

`LineTable.judge` gives the same as `judge_line` and `worst` there, bit for bit; a property test holds it
to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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

    def bound_zs(self, policy: Policy) -> Floats:
        """Return how many standard deviations up the bounds are."""
        return np.where(self.ranks == RANK_TICKET, policy.z_ticket, policy.z_page)


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


def wilson_uppers(rates: Floats, n: Floats, *zs: float) -> list[Floats]:
    """Return the upper bounds of `domain.rate.wilson_upper`, one column for each z; n must be positive."""
    variances, twice, squares = rates * (1.0 - rates) / n, 2.0 * n, 4.0 * n * n
    bounds = []
    for z in zs:
        square = z * z
        centre = rates + square / twice
        spread = z * np.sqrt(variances + square / squares)
        bounds.append((centre + spread) / (1.0 + square / n))
    return bounds


class LineTable:
    """The lines of `domain.verdict`, in columns with an entry for each."""

    def __init__(self, lines: Sequence[Line], periods: Sequence[int], policy: Policy) -> None:
        """Take lines and the numbers of their periods."""
        self._policy: Final = policy
        self.targets: Final = np.array([line.target for line in lines])
        self._certain: Final = self.targets >= CERTAIN
        self._any_certain: Final = bool(self._certain.any())
        self._n_needed: Final = np.array([n_needed(line) for line in lines], np.float64)
        margin = policy.clear_margin
        self._margins: Final = np.array(
            [min(1.0, line.target + margin) - ROUNDING for line in lines]
        )
        self._least_severities: Final = np.array(
            [Severity.MINOR + line.l1_core for line in lines], np.intp
        )
        self._categories: Final = np.array(
            [NONE if line.category is None else line.category for line in lines], np.intp
        )
        self._periods: Final = np.array(periods, np.intp)

    def judge(self, n: Floats, covered: Floats, applies: Bools) -> tuple[Verdicts, Ints]:
        """Return each scope's verdict, and the line that it is of.

        All arguments have a row for each line and a column for each scope; every scope's line must
        apply somewhere, or it is left with rank 0.
        """
        lines = _applying(applies)
        if len(applies) > 1:
            at = (lines, np.arange(lines.shape[1]))
            n, covered, applies = n[at], covered[at], applies[at]
        some = np.maximum(n, 1.0)
        rates, targets = covered / some, self.targets[lines]
        policy = self._policy
        page, ticket = wilson_uppers(rates, some, policy.z_page, policy.z_ticket)
        enough = n >= self._n_needed[lines]
        ranks = np.where(rates < targets, RANK_AT_RISK, RANK_OK)
        ranks[ticket < targets] = RANK_TICKET
        ranks[page < targets] = RANK_BREACH
        if self._any_certain:
            every = np.where(covered < n, RANK_BREACH, RANK_OK)
            ranks = np.where(self._certain[lines], every, ranks)
        ranks[~enough] = RANK_INSUFFICIENT
        ranks[~applies] = 0
        shortfalls = np.where(enough, targets - rates, 0.0)
        judged = enough & applies
        unclear = judged & (rates < self._margins[lines])
        row = _worst(ranks, shortfalls, targets)
        worst, rank, of_worst = lines[row], ranks[row], n[row]
        bounds = np.where(rank == RANK_TICKET, ticket[row], page[row])
        found = Verdicts(
            ranks=rank,
            severities=self._severities(rank, shortfalls[row], worst),
            targets=self.targets[worst],
            categories=self._categories[worst],
            periods=self._periods[worst],
            n=of_worst,
            covered=covered[row],
            bounds=np.where(of_worst > 0, bounds, 1.0),
            clear=np.logical_and(judged.any(axis=0), ~unclear.any(axis=0)),
        )
        return found, worst

    def _severities(self, ranks: Ints, shortfalls: Floats, lines: Ints) -> Ints:
        steps = self._least_severities[lines]
        steps += shortfalls >= MAJOR_SHORTFALL - ROUNDING
        steps += shortfalls >= CRITICAL_SHORTFALL - ROUNDING
        found = np.where(ranks == RANK_BREACH, np.minimum(steps, Severity.CRITICAL), NONE)
        found[ranks == RANK_TICKET] = Severity.MINOR
        return found


def _applying(applies: Bools) -> Ints:
    """Return the numbers of each scope's lines, in their order, as many rows as any scope has lines.

    Most lines are of other scopes altogether. Where a scope has fewer, others fill the rows up.
    """
    if len(applies) == 1:
        return np.zeros(applies.shape, np.intp)
    most = int(applies.sum(axis=0).max(initial=1))
    if most == 1:
        return np.asarray(applies.argmax(axis=0))[np.newaxis]
    lines: Ints = np.argsort(~applies, axis=0, kind="stable")[:most]
    return lines


Place = tuple[int | Ints, slice | Ints]


def _worst(ranks: Ints, shortfalls: Floats, targets: Floats) -> Place:
    """Return where each scope's worst line stands: by rank, shortfall, target, and then the earliest."""
    if len(ranks) == 1:
        return 0, np.s_[:]
    left = ranks == ranks.max(axis=0)
    for column in (shortfalls, targets):
        values = np.where(left, column, -np.inf)
        left = values == values.max(axis=0)
    return left.argmax(axis=0), np.arange(ranks.shape[1])


@lru_cache(maxsize=64)
def table_of(lines: tuple[Line, ...], periods: tuple[int, ...], policy: Policy) -> LineTable:
    """Return the table of lines and the numbers of their periods: new groups seldom bring new lines."""
    return LineTable(lines, periods, policy)


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
