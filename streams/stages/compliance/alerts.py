"""From `alerts` to `alert.raised`, `alert.changed` and `alert.ended`: one event for each change."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from streams.domain.alert import ENDS, AlertKind, Reason
from streams.domain.small_cell import is_small
from streams.domain.verdict import Severity
from streams.records import compliance, published
from streams.records.compliance import (
    AlertData,
    AlertEvidence,
    correlation,
    encode,
    event,
    event_id,
    key_of,
)
from streams.records.published import AlertRecord
from streams.stages.compliance.telling import Entry, Told

_ENDS: Final = frozenset(reason.value for reason in ENDS.values())
_DATE_CHARS: Final = len("2017-09-08")

SEVERITY_NUMBERS: Final[Mapping[str, int]] = {
    Severity.INFO.name: 9,
    Severity.MINOR.name: 13,
    Severity.MAJOR.name: 17,
    Severity.CRITICAL.name: 21,
}
"""The extension `severitynumber`: info, warning, error and fatal of the scale that it shares with
OpenTelemetry, each at its least."""
assert set(SEVERITY_NUMBERS) == {severity.name for severity in Severity}


class LastTold(msgspec.Struct, array_like=True, frozen=True):
    """The newest record of an alert that was told, and all those of the same instant."""

    last_at: str
    marks: tuple[str, ...]


class AlertsTeller:
    """One partition of `alerts`."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self._told: dict[str, LastTold] = {}

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in a change of an alert's life. One that is no newer than what was told is a repeat."""
        if entry.value is None:
            return
        record = published.decode(entry.value, AlertRecord)
        if record.enterprise_id is None:
            return
        mark = f"{record.episode}|{record.reason}"
        told = self._told.get(record.alert_id)
        marks: tuple[str, ...] = ()
        if told is not None:
            if record.last_at < told.last_at:
                return
            if record.last_at == told.last_at:
                if mark in told.marks:
                    return
                marks = told.marks
        self._told[record.alert_id] = LastTold(record.last_at, (*marks, mark))
        yield _tell(record, record.enterprise_id)

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Tell nothing: everything here comes with a record."""
        del now_ms
        yield from ()

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        return msgspec.msgpack.encode(self._told)

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        self._told = msgspec.msgpack.decode(state, type=dict[str, LastTold])


def _tell(record: AlertRecord, enterprise_id: str) -> Told:
    kind = _kind(record.reason)
    key = key_of(kind, record.alert_id, str(record.episode))
    date = record.evidence.date or record.last_at[:_DATE_CHARS]
    extensions = {
        "correlationid": correlation(record.granularity, record.scope_id, date),
        "severitytext": record.severity,
        "severitynumber": str(SEVERITY_NUMBERS[record.severity]),
    }
    if kind != compliance.ALERT_RAISED:
        raised = _mark(Reason.RAISED.value, record.first_at)
        extensions["causationid"] = event_id(compliance.ALERT_RAISED, key, raised)
    told = event(
        kind,
        key=key,
        subject=f"{record.granularity}|{record.scope_id}",
        time=record.last_at,
        mark=_mark(record.reason, record.last_at),
        data=encode(_data(record)),
        extensions=extensions,
    )
    return Told(enterprise_id, told)


def _kind(reason: str) -> str:
    if reason == Reason.RAISED.value:
        return compliance.ALERT_RAISED
    return compliance.ALERT_ENDED if reason in _ENDS else compliance.ALERT_CHANGED


def _mark(reason: str, at: str) -> str:
    return f"{at}|{reason}"


def _data(record: AlertRecord) -> AlertData:
    # A silent channel's figures are of outlets and collections, not of parcels.
    small = record.alert_kind != AlertKind.CHANNEL_SILENT.value and is_small(record.n)
    evidence = record.evidence
    return AlertData(
        alert_id=record.alert_id,
        episode=record.episode,
        alert_kind=record.alert_kind,
        state=record.state,
        reason=record.reason,
        severity=record.severity,
        severity_highest=record.severity_highest,
        granularity=record.granularity,
        scope_id=record.scope_id,
        city_code=record.city_code,
        county_code=record.county_code,
        withheld=small,
        observed=None if small else record.observed,
        n=None if small else record.n,
        target=record.target,
        parcel_category=record.parcel_category,
        event_period_id=record.event_period_id,
        evidence=AlertEvidence(
            window=evidence.window,
            date=evidence.date,
            covered=None if small else evidence.covered,
            missing=None if small else evidence.missing,
            pending=None if small else evidence.pending,
            breaching=evidence.breaching,
            judged=evidence.judged,
            collections=evidence.collections,
        ),
        first_at=record.first_at,
        last_at=record.last_at,
        duration_s=record.duration_s,
        caliber_id=record.caliber_id,
    )
