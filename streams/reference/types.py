"""What stages look up: outlets, sources, agreements and event periods, as of one version.

A `Reference` is immutable. Versions are numbered in the order in which they were applied; a stage
uses, at each tick, the latest version that is effective at that tick (`ReferenceHistory.at`), so
its results depend on the records and not on when a worker read them.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from streams.domain.period import EventPeriod

OUTLETS_MAX: Final = 65_536  # The unit of a cell has 16 bits.
COUNTIES_MAX: Final = 256  # A (county, enterprise) pair is a unit too: 8 bits each.
ENTERPRISES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Move:
    """Where an outlet belonged before it moved: valid for business days before `until_day`."""

    until_day: int
    enterprise_id: str
    county_code: str


@dataclass(frozen=True, slots=True)
class Outlet:
    """One courier outlet. `number` is its own for ever: never reused, the same in every version."""

    number: int
    outlet_id: str
    name: str
    brand_code: str
    enterprise_id: str
    county_code: str
    duty_group: str
    moves: tuple[Move, ...] = ()

    def place_on(self, day: int) -> tuple[str, str]:
        """Return the enterprise id and county code of the outlet on a business day."""
        for move in self.moves:
            if day < move.until_day:
                return move.enterprise_id, move.county_code
        return self.enterprise_id, self.county_code


@dataclass(frozen=True, slots=True)
class Filing:
    """One filing of an agreement, by headquarters or by an outlet.

    Valid when organisation code and responsible person are both on record. Times in epoch
    milliseconds; `valid_to_ms` is the last valid instant.
    """

    agreement_id: str
    agreement_kind: str
    customer_token: str
    org_code_present: bool
    responsible_id_present: bool
    valid_from_ms: int
    valid_to_ms: int
    filed_by: str
    recorded_at_ms: int


@dataclass(frozen=True, slots=True)
class Source:
    """A producer of records, with the enterprise (or None) and channel that it belongs to."""

    source: str
    enterprise_id: str | None
    channel: str


@dataclass(frozen=True, slots=True)
class Reference:
    """All reference data as of one version.

    Attributes:
        version: Number of the newest apply in it; 0 is empty.
        effective_at_ms: From this tick on stages use it.
        outlets: By outlet id.
        retired: Outlets that are listed no more, by outlet id. Their records are refused, but their
            numbers stay theirs, so that older cells can still be placed.
        counties: County codes by number; the list only grows.
        enterprises: Enterprise ids by number; the list only grows.
        agreements: All filings of an agreement id, withdrawn ones among them.
        sources: By source.
        periods: In order of start, then id.
        retired_scope_bits: Scope bits of removed periods, with the instant from which each may be
            given to another period.

    """

    version: int = 0
    effective_at_ms: int = 0
    outlets: Mapping[str, Outlet] = field(default_factory=dict)
    retired: Mapping[str, Outlet] = field(default_factory=dict)
    counties: Sequence[str] = ()
    enterprises: Sequence[str] = ()
    agreements: Mapping[str, tuple[Filing, ...]] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    periods: tuple[EventPeriod, ...] = ()
    retired_scope_bits: Mapping[int, int] = field(default_factory=dict)

    @property
    def edition(self) -> tuple[int, int]:
        """What tells these data from those of another tick or history.

        The version alone does not: the newest apply may be in use at two ticks, between which an
        older one, of another kind, takes effect.
        """
        return self.version, self.effective_at_ms


def known_enterprises(reference: Reference) -> Sequence[str]:
    """Return the ids of all enterprises that an outlet or a source belongs to, or once did."""
    named = {source.enterprise_id for source in reference.sources.values() if source.enterprise_id}
    return sorted({*reference.enterprises, *named})


class ReferenceHistory:
    """The versions that are known, in order of effect."""

    def __init__(self, versions: Sequence[Reference] = ()) -> None:
        """Take the versions in any order; a later one wins where two take effect at one tick."""
        self._versions: list[Reference] = [Reference()]
        for version in sorted(versions, key=lambda r: r.version):
            self.add(version)

    @classmethod
    def of_timeline(cls, points: Sequence[Reference]) -> "ReferenceHistory":
        """Return the history of these points, which must be in order of effect, one per tick.

        Two points may name one version: the newest apply need not be the last to take effect.
        """
        assert all(a.effective_at_ms < b.effective_at_ms for a, b in pairwise(points))
        assert all(a.version <= b.version for a, b in pairwise(points))
        history = cls()
        history._versions += points
        return history

    def add(self, reference: Reference) -> None:
        """Add a version newer than all known ones; one that is known already changes nothing."""
        if reference.version <= self.latest.version:
            return
        # A newer version also replaces older ones that were to take effect later than it.
        while self._versions and self._versions[-1].effective_at_ms >= reference.effective_at_ms:
            if self._versions[-1].version == 0:
                break
            self._versions.pop()
        self._versions.append(reference)

    def become(self, other: "ReferenceHistory") -> None:
        """Know from now on what another history knows; stages that look here see the change."""
        self._versions = list(other._versions)  # noqa: SLF001 (of this class)

    @property
    def latest(self) -> Reference:
        """The newest version, whether it is in effect yet or not; it contains every apply."""
        return self._versions[-1]

    def at(self, tick_ms: int) -> Reference:
        """Return the version in effect at a tick."""
        index = bisect_right(self._versions, tick_ms, key=lambda r: r.effective_at_ms)
        return self._versions[max(index - 1, 0)]

    def next_change_after(self, tick_ms: int) -> int | None:
        """Return the first tick after `tick_ms` at which another version takes effect, or None."""
        for reference in self._versions:
            if reference.effective_at_ms > tick_ms:
                return reference.effective_at_ms
        return None
