"""Sums by group put together to figures by scope and category."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.category import BATCH_CATEGORIES, LOOSE_CATEGORIES, Category
from streams.stages.columns import Array, Bools, Floats, Int64s, Ints
from streams.stages.scopes import Scopes
from streams.stages.windows import CORE

CATEGORIES: Final = len(Category)
LOOSE: Final = sorted(LOOSE_CATEGORIES)
BATCH: Final = sorted(BATCH_CATEGORIES)
RATE_DIGITS: Final = 6
"""Published rates are rounded to a millionth, so that no platform's last bit shows."""


@dataclass(frozen=True, slots=True)
class FigureColumns:
    """`domain.rate.Figures` of many scopes, as columns of one shape."""

    covered_on_time: Int64s
    covered_late: Int64s
    missing: Int64s
    covered_young: Int64s
    pending: Int64s

    @property
    def eligible(self) -> Int64s:
        """All parcels of the base."""
        return (
            self.covered_on_time
            + self.covered_late
            + self.missing
            + self.covered_young
            + self.pending
        )

    @property
    def rate(self) -> Floats:
        """Share of the mature parcels that are covered; NaN where there are none."""
        covered = self.covered_on_time + self.covered_late
        return ratios(covered, covered + self.missing)

    @property
    def on_time_rate(self) -> Floats:
        """Share of the mature parcels that were covered within the grace; NaN where there are none."""
        mature = self.covered_on_time + self.covered_late + self.missing
        return ratios(self.covered_on_time, mature)

    @property
    def rate_low(self) -> Floats:
        """The final rate if nothing more is registered; NaN where there are no parcels."""
        covered = self.covered_on_time + self.covered_late + self.covered_young
        return ratios(covered, self.eligible)

    @property
    def rate_high(self) -> Floats:
        """The final rate if every pending parcel is registered; NaN where there are no parcels."""
        return ratios(self.eligible - self.missing, self.eligible)

    def over(self, categories: list[Category] | slice) -> "FigureColumns":
        """Return the figures of some categories together, where the last axis is the category."""
        return FigureColumns(*(column[..., categories].sum(axis=-1) for column in self.columns()))

    def at(self, index: Ints | int) -> "FigureColumns":
        """Return the figures at places of the first axis."""
        return FigureColumns(*(column[index] for column in self.columns()))

    def columns(self) -> tuple[Int64s, ...]:
        """Return the five columns in the order of their names above."""
        return (
            self.covered_on_time,
            self.covered_late,
            self.missing,
            self.covered_young,
            self.pending,
        )


def ratios(part: Array, whole: Array) -> Floats:
    """Return part / whole, NaN for an empty whole."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(whole != 0, part / whole, np.nan)
    return found


def rounded(rates: Floats) -> list[float | None]:
    """Return rates as they are published: rounded, None for NaN."""
    return [None if rate != rate else rate for rate in np.round(rates, RATE_DIGITS).tolist()]  # noqa: PLR0124 - NaN differs from itself


def by_scope(scopes: Scopes, column: Array) -> Int64s:
    """Return the sums of one column of groups, by scope and category."""
    count = scopes.count
    sums = np.zeros(count * CATEGORIES)
    for granularity in scopes.granularities:
        keys = scopes.of_groups(granularity) * CATEGORIES + scopes.group_categories
        sums += np.bincount(keys, weights=column[: len(keys)], minlength=count * CATEGORIES)
    return sums.astype(np.int64).reshape(count, CATEGORIES)


def figures(scopes: Scopes, core: Array, members: Bools | None = None) -> FigureColumns:
    """Return figures by scope and category from the core columns of groups, all and then mature.

    `members` tells which groups count; None is all of them.
    """
    if members is not None:
        core = core[:, : len(members)] * members
    sums = [by_scope(scopes, column) for column in core]
    eligible, on_time, late = sums[:CORE]
    mature, mature_on_time, mature_late = sums[CORE:]
    young = on_time + late - mature_on_time - mature_late
    return FigureColumns(
        covered_on_time=mature_on_time,
        covered_late=mature_late,
        missing=mature - mature_on_time - mature_late,
        covered_young=young,
        pending=eligible - mature - young,
    )


def latest(scopes: Scopes, ticks: Array) -> Int64s:
    """Return, by scope, the latest of its groups' ticks."""
    found = np.zeros(scopes.count, np.int64)
    for granularity in scopes.granularities:
        numbers = scopes.of_groups(granularity)
        np.maximum.at(found, numbers, ticks[: len(numbers)].astype(np.int64))
    return found
