"""Event periods as the enterprises are told of them: declared, changed, and how they ended."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from streams.domain.period import EventPeriod, code_matches
from streams.domain.window import day_of, instant_text
from streams.records import compliance
from streams.records.compliance import (
    PeriodData,
    PeriodPhase,
    PeriodTarget,
    encode,
    event,
    event_id,
    key_of,
)
from streams.reference.types import Reference, ReferenceHistory
from streams.stages.compliance.telling import Told

Reason = Literal["declared", "changed", "over", "withdrawn"]
ANY_CATEGORY: Final = "*"


class ToldPeriod(msgspec.Struct, array_like=True, frozen=True):
    """What an enterprise was last told of a period, and the id of the event that did."""

    data: PeriodData
    end_ms: int
    event_id: str


class PeriodState(msgspec.Struct, array_like=True):
    """A snapshot: by enterprise and period id."""

    open: dict[str, dict[str, ToldPeriod]]
    over: dict[str, list[str]]


class PeriodBook:
    """The periods of the enterprises of one partition of `rates`."""

    def __init__(self, history: ReferenceHistory) -> None:
        """Start with no enterprise. `history` may grow later."""
        self._history: Final = history
        self._open: dict[str, dict[str, ToldPeriod]] = {}
        self._over: dict[str, list[str]] = {}
        self._edition: tuple[int, int] | None = None
        self._next_end_ms = 0

    def know(self, enterprise_id: str, now_ms: int) -> Iterator[Told]:
        """Take note of an enterprise; a new one is told of the periods that concern it."""
        if enterprise_id not in self._open:
            self._open[enterprise_id] = {}
            self._over[enterprise_id] = []
            yield from self._look(enterprise_id, self._history.at(now_ms), now_ms)
            self._edition = None  # Of this one, too, the next end is to be found.

    def pass_time(self, now_ms: int) -> Iterator[Told]:
        """Tell what has been declared, changed or withdrawn, and what is over by now."""
        reference = self._history.at(now_ms)
        if reference.edition == self._edition and now_ms < self._next_end_ms:
            return
        for enterprise_id in self._open:
            yield from self._look(enterprise_id, reference, now_ms)
        self._edition = reference.edition
        ends = [told.end_ms for periods in self._open.values() for told in periods.values()]
        self._next_end_ms = min(ends, default=1 << 62)

    def _look(self, enterprise_id: str, reference: Reference, now_ms: int) -> Iterator[Told]:
        open_, over = self._open[enterprise_id], self._over[enterprise_id]
        counties = _counties(reference, enterprise_id, now_ms)
        declared = {
            period.event_period_id: period
            for period in reference.periods
            if any(code_matches(county, period.origin_codes) for county in counties)
        }
        for period_id, period in declared.items():
            known = open_.get(period_id)
            if period.end_ms <= now_ms or period_id in over:
                continue
            data = _data(period, "declared" if known is None else "changed")
            if known is None or _facts(known.data) != _facts(data):
                told, open_[period_id] = _declare(enterprise_id, period, data, now_ms)
                yield told
        for period_id in [*open_]:
            known = open_[period_id]
            if known.end_ms <= now_ms or period_id not in declared:
                del open_[period_id]
                over_now = known.end_ms <= now_ms
                if over_now:
                    over.append(period_id)
                yield _end(enterprise_id, known, "over" if over_now else "withdrawn", now_ms)
        # What nobody declares any more needs no remembering: it cannot come back as it was.
        over[:] = [period_id for period_id in over if period_id in declared]

    def snapshot(self) -> PeriodState:
        """Return what was told."""
        return PeriodState(self._open, self._over)

    def restore(self, state: PeriodState) -> None:
        """Take back what `snapshot` returned."""
        self._open, self._over = state.open, state.over
        self._edition = None


def _counties(reference: Reference, enterprise_id: str, now_ms: int) -> set[str]:
    day = day_of(now_ms)
    places = (outlet.place_on(day) for outlet in reference.outlets.values())
    return {county for enterprise, county in places if enterprise == enterprise_id}


def _data(period: EventPeriod, reason: Reason) -> PeriodData:
    return PeriodData(
        event_period_id=period.event_period_id,
        name_zh=period.name_zh,
        name_en=period.name_en,
        event_level=period.event_level.value,
        start=instant_text(period.start_ms),
        end=instant_text(period.end_ms),
        origin_codes=list(period.origin_codes),
        destination_codes=list(period.destination_codes),
        phases=[
            PeriodPhase(
                phase.event_phase.value, instant_text(phase.start_ms), instant_text(phase.end_ms)
            )
            for phase in period.phases
        ],
        targets=[
            PeriodTarget(
                target.granularity.value,
                ANY_CATEGORY if target.category is None else target.category.name,
                target.rate,
                target.n_min,
            )
            for target in period.targets
        ],
        reason=reason,
    )


def _facts(data: PeriodData) -> PeriodData:
    return msgspec.structs.replace(data, reason="declared")


def _declare(
    enterprise_id: str, period: EventPeriod, data: PeriodData, now_ms: int
) -> tuple[Told, ToldPeriod]:
    kind, subject = compliance.PERIOD_DECLARED, _subject(period.event_period_id)
    key, value, time = key_of(kind, subject), encode(data), instant_text(now_ms)
    mark = f"{time}|{value.decode()}"
    told = event(
        kind,
        key=key,
        subject=subject,
        time=time,
        mark=mark,
        data=value,
        extensions=_linked(subject),
    )
    return Told(enterprise_id, told), ToldPeriod(data, period.end_ms, event_id(kind, key, mark))


def _end(enterprise_id: str, known: ToldPeriod, reason: Reason, now_ms: int) -> Told:
    kind, subject = compliance.PERIOD_ENDED, _subject(known.data.event_period_id)
    time = known.data.end if reason == "over" else instant_text(now_ms)
    told = event(
        kind,
        key=key_of(kind, subject),
        subject=subject,
        time=time,
        mark=f"{time}|{reason}",
        data=encode(msgspec.structs.replace(known.data, reason=reason)),
        extensions={**_linked(subject), "causationid": known.event_id},
    )
    return Told(enterprise_id, told)


def _subject(event_period_id: str) -> str:
    return f"{compliance.PERIOD}|{event_period_id}"


def _linked(subject: str) -> dict[str, str]:
    return {"correlationid": subject}
