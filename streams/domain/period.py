"""Event periods: when, from where and to where a higher target holds.

A parcel falls under a period when it was collected inside it, at an outlet in its origin and, if the
period names destinations, towards one of them. A parcel collected before a period started never meets
that period's target.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.domain.category import Category


class Granularity(Enum):
    """What a rate is kept for. ENTERPRISE_CITY's scope id is `<enterprise_id>|<city_code>`."""

    OUTLET = "OUTLET"
    COUNTY = "COUNTY"
    CITY = "CITY"
    ENTERPRISE = "ENTERPRISE"
    ENTERPRISE_CITY = "ENTERPRISE_CITY"
    REGION = "REGION"


class EventLevel(Enum):
    """How high an event stands; L1 is the highest."""

    ROUTINE = "ROUTINE"
    L3 = "L3"
    L2 = "L2"
    L1 = "L1"


class EventPhase(Enum):
    """Part of an event period. In an L1 event's CORE, severities are one step higher."""

    PRE = "PRE"
    CORE = "CORE"
    POST = "POST"


ANY_CATEGORY: Final = None
"""A target for all categories of the base together; written `*` in files and records."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a period: [start_ms, end_ms), both on pane boundaries."""

    event_phase: EventPhase
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Target:
    """A rate that scopes of one granularity must reach.

    Attributes:
        granularity: Which scopes.
        category: Which parcels; `ANY_CATEGORY` for all in the base.
        rate: The least allowed share of covered parcels, above 0 and at most 1.
        n_min: Mature parcels below which nothing is judged; None for the policy's floor.

    """

    granularity: Granularity
    category: Category | None
    rate: float
    n_min: int | None


@dataclass(frozen=True, slots=True)
class EventPeriod:
    """A declared event period.

    Attributes:
        event_period_id: Its stable name, for example `EP2017-COP13`.
        scope_bit: Its bit in the event scope of a cell; None when it names no destination.
        phases: In order of time, touching, without gaps.
        origin_codes: County, city or province codes; empty means the whole region.
        destination_codes: The same for the destination; empty means anywhere.

    """

    event_period_id: str
    name_zh: str
    name_en: str
    event_level: EventLevel
    origin_codes: tuple[str, ...]
    destination_codes: tuple[str, ...]
    phases: tuple[Phase, ...]
    targets: tuple[Target, ...]
    scope_bit: int | None

    @property
    def start_ms(self) -> int:
        """First instant of the period."""
        return self.phases[0].start_ms

    @property
    def end_ms(self) -> int:
        """First instant after the period."""
        return self.phases[-1].end_ms

    def phase_at(self, instant_ms: int) -> EventPhase | None:
        """Return the phase that holds `instant_ms`, or None outside the period."""
        for phase in self.phases:
            if phase.start_ms <= instant_ms < phase.end_ms:
                return phase.event_phase
        return None


def code_matches(code: str, prefixes: tuple[str, ...]) -> bool:
    """Return whether an administrative code lies in one of the named areas.

    An area is named at province (`15`, `150000`), city (`1501`, `150100`) or county level (`150102`).
    No area at all means everywhere.
    """
    return not prefixes or code.startswith(tuple(area_prefix(prefix) for prefix in prefixes))


def area_prefix(code: str) -> str:
    """Return the significant digits of an administrative code: `150100` is `1501`, `150000` is `15`."""
    if len(code) == 6:  # noqa: PLR2004 - GB/T 2260 codes have six digits
        if code.endswith("0000"):
            return code[:2]
        if code.endswith("00"):
            return code[:4]
    return code
