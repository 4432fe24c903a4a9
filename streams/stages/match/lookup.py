"""Reference data as the match stage looks it up: the version in effect at a record's own tick."""

from typing import Final

from streams.domain.cell import UNIT_SHIFT
from streams.domain.parcel import Collection
from streams.domain.period import EventPeriod, code_matches
from streams.domain.window import TICK_MS, tick_at_or_after
from streams.reference.types import Outlet, Reference, ReferenceHistory
from streams.stages.match.agenda import NEVER_MS
from streams.stages.match.native.names import table_of

UNKNOWN: Final = -1
_REMEMBERED_MAX: Final = 100_000


class Units(dict[str, int]):
    """Numbers of outlets, shifted to their place in a group; `UNKNOWN` for every other outlet id."""

    def __missing__(self, outlet_id: str) -> int:
        """Return `UNKNOWN`."""
        return UNKNOWN


class Lookup:
    """The version in use, and what the hot path wants of it.

    Attributes:
        after_ms: The version in use holds for instants after this ...
        until_ms: ... up to and including this. Instants outside need `use_at` first.
        units: An outlet's number, shifted to its place in a group, by outlet id.
        names: The same for machine code.
        scoped: Whether any period names destinations.
        version_used: The newest version that was ever in use.

    """

    def __init__(self, history: ReferenceHistory) -> None:
        """Look things up in a history that may still grow."""
        self._history = history
        self.version_used = 0
        self._adopt(history.at(0))
        self.after_ms = self.until_ms = -1
        self._outlets: dict[int, Outlet] = {}

    def renew(self) -> None:
        """Look again at the next instant: the history has grown."""
        self.after_ms = self.until_ms = -1
        self._outlets = {}

    def use_at(self, now_ms: int) -> None:
        """Use the version that is in effect at the tick of an instant."""
        tick_ms = tick_at_or_after(now_ms)
        reference = self._history.at(tick_ms)
        if reference is not self._reference:
            self._adopt(reference)
        changes_ms = self._history.next_change_after(tick_ms)
        # What takes effect at tick E holds for the minute before E, whose records have that tick.
        self.after_ms = reference.effective_at_ms - TICK_MS if reference.effective_at_ms else -1
        self.until_ms = NEVER_MS if changes_ms is None else changes_ms - TICK_MS

    def _adopt(self, reference: Reference) -> None:
        self._reference = reference
        self.version_used = max(self.version_used, reference.version)
        self.units = Units(
            (outlet_id, outlet.number << UNIT_SHIFT)
            for outlet_id, outlet in reference.outlets.items()
        )
        self.names = table_of(self.units)
        self._periods = [p for p in reference.periods if p.scope_bit is not None]
        self.scoped = bool(self._periods)
        self._periods_between: dict[tuple[str, str], list[EventPeriod]] = {}

    def outlet(self, number: int) -> Outlet:
        """Return the outlet of a number, be it retired. The newest version knows all of them."""
        if number not in self._outlets:
            latest = self._history.latest
            for outlets in (latest.retired, latest.outlets):
                self._outlets.update({outlet.number: outlet for outlet in outlets.values()})
        return self._outlets[number]

    def scope_of(self, outlet_id: str, destination_code: str | None, time_ms: int) -> int:
        """Return the bits of the destination-scoped periods that a collection falls under."""
        between = outlet_id, destination_code or ""
        periods = self._periods_between.get(between)
        if periods is None:
            if len(self._periods_between) >= _REMEMBERED_MAX:
                self._periods_between.clear()
            periods = self._periods_between[between] = self._find_periods(*between)
        scope = 0
        for period in periods:
            if period.start_ms <= time_ms < period.end_ms and period.scope_bit is not None:
                scope |= 1 << period.scope_bit
        return scope

    def _find_periods(self, outlet_id: str, destination: str) -> list[EventPeriod]:
        county = self._reference.outlets[outlet_id].county_code
        return [
            period
            for period in self._periods
            if destination
            and code_matches(county, period.origin_codes)
            and code_matches(destination, period.destination_codes)
        ]

    def filed(self, agreement_ids: "set[str] | dict[str, set[bytes]]") -> list[str]:
        """Return those of the agreement ids that have a filing, in order."""
        return sorted(agreement_ids & self._reference.agreements.keys())

    def covers_at_once(self, agreement_id: str | None, time_ms: int) -> bool:
        """Return whether a filing covers what is collected at `time_ms` from that very instant."""
        for filing in self._reference.agreements.get(agreement_id or "", ()):
            if (
                filing.org_code_present
                and filing.responsible_id_present
                and filing.recorded_at_ms <= time_ms
                and filing.valid_from_ms <= time_ms <= filing.valid_to_ms
            ):
                return True
        return False

    def cover_by_agreement(self, collection: Collection) -> int | None:
        """Return the upload time of a collection's cover by a filed agreement, or None."""
        return _cover(self._reference, collection)

    def cover_awaited(self, collection: Collection, judged_until_ms: int) -> int | None:
        """Return the same for a collection that waits for a filing which takes effect now.

        Time may be ahead: the collection may have come after a withdrawal that is yet to take effect
        here. So the filing must stand in the newest version that any record was judged by as well;
        what that withdrew is still there for the collections before.
        """
        newest = self._history.at(tick_at_or_after(judged_until_ms))
        if newest is not self._reference and _cover(newest, collection) is None:
            return None
        return _cover(self._reference, collection)


def _cover(reference: Reference, collection: Collection) -> int | None:
    """One filing with organisation code and responsible person on record is enough, whoever filed it."""
    return min(
        (
            max(collection.time_ms, filing.recorded_at_ms)
            for filing in reference.agreements.get(collection.agreement_id, ())
            if filing.org_code_present
            and filing.responsible_id_present
            and filing.valid_from_ms <= collection.time_ms <= filing.valid_to_ms
        ),
        default=None,
    )
