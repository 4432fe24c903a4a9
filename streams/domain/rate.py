"""The real-name rate: its five counts, its bounds, and how sure one can be of it (DOMAIN 4.3, 4.4).

Young parcels, whose grace has not run out, are left out of the rate whether they are covered or not:
dropping only the pending ones would count the quick successes and hide the slow failures.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of parcels of one scope and window; `eligible` is their sum.

    Attributes:
        covered_on_time: Mature, registered within the grace.
        covered_late: Mature, registered after it.
        missing: Mature, not registered.
        covered_young: Young, registered already.
        pending: Young, not registered yet.

    """

    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int

    @property
    def mature(self) -> int:
        """Parcels whose grace has run out."""
        return self.covered_on_time + self.covered_late + self.missing

    @property
    def eligible(self) -> int:
        """All parcels of the base."""
        return self.mature + self.covered_young + self.pending

    @property
    def rate(self) -> float | None:
        """Share of the mature parcels that are covered; None when there are none."""
        return ratio(self.covered_on_time + self.covered_late, self.mature)

    @property
    def on_time_rate(self) -> float | None:
        """Share of the mature parcels that were covered within the grace. No make-up improves it."""
        return ratio(self.covered_on_time, self.mature)

    @property
    def rate_low(self) -> float | None:
        """The final rate if nothing more is registered."""
        covered = self.covered_on_time + self.covered_late + self.covered_young
        return ratio(covered, self.eligible)

    @property
    def rate_high(self) -> float | None:
        """The final rate if every pending parcel is registered and no missing one."""
        return ratio(self.eligible - self.missing, self.eligible)


def ratio(part: int, whole: int) -> float | None:
    """Return `part / whole`, or None for an empty whole: never 0 or 100 % for want of parcels."""
    return part / whole if whole else None


def pooled(parts: Iterable[Figures]) -> Figures:
    """Return the figures of all parts together. A rate of rates is never taken: one city has 45 %."""
    on_time = late = missing = young = pending = 0
    for part in parts:
        on_time += part.covered_on_time
        late += part.covered_late
        missing += part.missing
        young += part.covered_young
        pending += part.pending
    return Figures(on_time, late, missing, young, pending)


def wilson_upper(covered: int, mature: int, z: float) -> float:
    """Return the upper bound of the Wilson score interval, `z` standard deviations up; 1 for no parcels."""
    return _wilson(covered, mature, z) if mature else 1.0


def wilson_lower(covered: int, mature: int, z: float) -> float:
    """Return the lower bound of the Wilson score interval; 0 for no parcels."""
    return _wilson(covered, mature, -z) if mature else 0.0


def _wilson(covered: int, mature: int, z: float) -> float:
    # The order of operations is that of stages/lines.py, so that both give the same bits.
    n = float(mature)
    p = covered / n
    centre = p + z * z / (2.0 * n)
    spread = z * sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    return (centre + spread) / (1.0 + z * z / n)
