"""Record streams drawn by hypothesis, and the match stage's rule at its plainest, to compare with.

A stream is short but unkind: few waybills, and time goes on in steps that fall before, on and after the
instants at which something happens to them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from hypothesis import strategies as st

from streams.domain.policy import Policy
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, PANE_MS, instant_text
from streams.records import changes, shipments, topics
from streams.records.changes import Rows
from streams.records.rejects import Refused, Reject
from streams.records.shipments import VALUE_BYTES_MAX, Heartbeat
from streams.reference.types import ReferenceHistory
from streams.stages.match import MatchPartition
from streams.stages.match.hash_key import HashKey
from streams.stages.match.waybills import Clock, Waybills
from streams.stages.stage import Batch, Drained, Output
from tests.builders import a_filing, a_history, a_period, a_reference, an_outlet, at

SECOND_MS: Final = 1000
START_MS: Final = at("10:00")
THIRTY_HOURS_MS: Final = START_MS + 30 * HOUR_MS


def changing_history() -> ReferenceHistory:
    """Return three versions: a filing, a period and an outlet come; later a filing and an outlet go."""
    filed = a_filing("OK")
    half, late = (
        a_filing("HALF", org_code_present=False),
        a_filing("LATE", recorded_at_ms=at("11:00")),
    )
    ended = a_filing("OK", valid=(filed.valid_from_ms, THIRTY_HOURS_MS))
    a, b, c = an_outlet("A", 0), an_outlet("B", 1, "150203", "E2"), an_outlet("C", 2)
    period = a_period("11:00", "+2 00:00")
    second = a_reference(
        filed, half, late, version=2, effective_at_ms=at("12:00"), outlets=(a, b, c),
        periods=(period,),
    )  # fmt: skip
    third = a_reference(
        ended, half, late, version=3, effective_at_ms=THIRTY_HOURS_MS, outlets=(a, c),
        retired=(b,), periods=(period,),
    )  # fmt: skip
    return a_history(a_reference(filed, half, outlets=(a, b)), second, third)


class Sent(NamedTuple):
    """One record of a log."""

    received_ms: int
    key: bytes | None
    value: bytes | None


# What is ordinary stands here several times, so that there is something for the rest to happen to.
STEPS_MS: Final = [
    *[0, SECOND_MS, 30 * SECOND_MS, MINUTE_MS, 5 * MINUTE_MS, HOUR_MS] * 4,
    *(2 * HOUR_MS, DAY_MS, 71 * HOUR_MS, 73 * HOUR_MS),
]
BACKWARDS_MS: Final = [-30 * SECOND_MS, -2 * MINUTE_MS, -3 * HOUR_MS]
LAGS_MS: Final = [
    *[0, 0, 1, MINUTE_MS, 5 * MINUTE_MS, 90 * MINUTE_MS] * 5,
    *(2 * HOUR_MS, 71 * HOUR_MS, 72 * HOUR_MS, 72 * HOUR_MS + 5 * MINUTE_MS, 74 * HOUR_MS),
    *(8 * DAY_MS, -4 * MINUTE_MS, -5 * MINUTE_MS, -5 * MINUTE_MS - 1),
]
UPLOAD_LAGS_MS: Final = [
    *[0] * 8,
    *(15 * MINUTE_MS, 15 * MINUTE_MS + 1, 3 * HOUR_MS, 60 * DAY_MS),
    *(-5 * MINUTE_MS, -6 * MINUTE_MS),
]
CATEGORIES: Final = [*["LOOSE"] * 5, "UNCLASSIFIED", "AGREEMENT", "ECOMMERCE", "EXEMPT"]
KINDS: Final = [
    *["shipment.collected"] * 7,
    *["realname.registered"] * 7,
    *("realname.revoked", "waybill.voided", "hub.outbound_scanned", "stream.heartbeat", "garbage"),
]
GARBAGE: Final = [
    None,
    b"",
    b"[",
    b"{}",
    b'{"type":"waybill.voided","source":"S1"}',
    b'{"type":"stream.heartbeat"}',
    b'{"type":"stream.heartbeat","received_at":"now"}',
    b'{"type":"waybill.voided","id":"i","source":"S1","waybill_no":"W0","time":"1","recorded_at":"2"}',
    b" " * (VALUE_BYTES_MAX + 1),
]


class Fields(NamedTuple):
    """What is drawn of one record."""

    step_ms: int
    kind: str
    waybill: int
    wrong_key: bool
    lag_ms: int
    upload_lag_ms: int
    record_id: int
    source: str
    outlet: str
    category: str
    agreement: str | None
    destination: str | None
    registration: str
    result: str
    garbage: bytes | None


def choices(steps_ms: Sequence[int], waybills: int = 4) -> Sequence[Sequence[object]]:
    """Return what each field of `Fields` is chosen from."""
    return [
        steps_ms,
        KINDS,
        range(waybills),
        [False] * 20 + [True],
        LAGS_MS,
        UPLOAD_LAGS_MS,
        range(4),
        ["S1", "S1", "S1", "S2"],
        ["A"] * 10 + ["B"] * 5 + ["C", "X"],
        CATEGORIES,
        [None, "OK", "HALF", "LATE"],
        [None, "150602", "150102"],
        ["R1", "R1", "R1", "R2", "R3"],
        ["MATCHED"] * 5 + ["REFUSED"],
        GARBAGE,
    ]


def streams(steps_ms: Sequence[int], *, orderly: bool) -> st.SearchStrategy[list[Sent]]:
    """Draw a log of up to 40 records, with long ones as likely as short ones.

    A record is drawn as bytes, each of which chooses one field: one draw instead of sixteen.
    """
    options_of = choices(steps_ms)

    def chosen(drawn: bytes) -> Fields:
        return Fields._make(
            options[byte % len(options)] for byte, options in zip(drawn, options_of, strict=True)
        )

    record = st.binary(min_size=len(options_of), max_size=len(options_of)).map(chosen)
    return (
        st.integers(0, 40)
        .flatmap(lambda length: st.lists(record, min_size=length, max_size=length))
        .map(lambda drawn: sent(drawn, orderly=orderly))
    )


def value_of(drawn: Fields, received_ms: int, record_id: str) -> bytes | None:
    if drawn.kind == "garbage":
        return drawn.garbage
    body: dict[str, str | None] = {"type": drawn.kind, "received_at": instant_text(received_ms)}
    if drawn.kind == "stream.heartbeat":
        return json.dumps(body).encode()
    body |= {
        "id": record_id,
        "source": drawn.source,
        "time": instant_text(received_ms - drawn.lag_ms),
        "recorded_at": instant_text(received_ms - drawn.upload_lag_ms),
        "waybill_no": f"W{drawn.waybill}",
    }
    if drawn.kind == "shipment.collected":
        body |= {
            "outlet_id": drawn.outlet,
            "parcel_category": drawn.category,
            "agreement_id": drawn.agreement,
            "destination_code": drawn.destination,
        }
    elif drawn.kind == "realname.registered":
        body |= {
            "outlet_id": drawn.outlet,
            "registration_id": drawn.registration,
            "verification_result": drawn.result,
        }
    elif drawn.kind == "realname.revoked":
        body["registration_id"] = drawn.registration
    elif drawn.kind == "hub.outbound_scanned":
        body["hub_id"] = "H"
    return json.dumps(body).encode()


def sent(drawn: Iterable[Fields], *, orderly: bool) -> list[Sent]:
    """Return the log that drawn fields make."""
    records = []
    clock_ms = START_MS
    for number, record in enumerate(drawn):
        clock_ms += record.step_ms
        received_ms = _away_from_the_ends_of_panes(clock_ms) if orderly else clock_ms
        record_id = f"i{number}" if orderly else f"i{record.record_id}"
        key = b"W9" if record.wrong_key else f"W{record.waybill}".encode()
        records.append(Sent(received_ms, key, value_of(record, received_ms, record_id)))
    return records


def _away_from_the_ends_of_panes(instant_ms: int) -> int:
    """Return an instant of the same pane that is a minute away from where parcels close."""
    return instant_ms // PANE_MS * PANE_MS + MINUTE_MS + instant_ms % PANE_MS * 3 // 5


STREAMS: Final = streams([*STEPS_MS, *BACKWARDS_MS], orderly=False)
"""Records received in about any order; some share source and id though they differ."""

DISTINCT_STREAMS: Final = streams([*STEPS_MS, *BACKWARDS_MS], orderly=True)
"""The same with an id of its own for each, received away from the ends of panes."""

ORDERLY_STREAMS: Final = streams(STEPS_MS, orderly=True)
"""Records in the order in which they were received, each with an id of its own.

None was received within a minute of the end of a pane, where the final close of a parcel may lie: which
of two records were received before it and which after it must not be in doubt.
"""


def batch(records: Sequence[Sent], offset: int = 0) -> Batch:
    return Batch(
        range(offset, offset + len(records)),
        [record.key for record in records],
        [record.value for record in records],
        [record.received_ms for record in records],
    )


def take_plainly(waybills: Waybills, taken: Batch) -> list[Reject]:
    """Do what `fast_path.run` does by the rule alone: one record after the other, no short cut."""
    rejects = []
    for index, (key, value) in enumerate(zip(taken.keys, taken.values, strict=True)):
        source = ""
        try:
            if not value or len(value) > VALUE_BYTES_MAX:
                rejects.append(Reject(index, *shipments.why_refused(value, None)))
                continue
            record = shipments.decode(value)
            source = "" if isinstance(record, Heartbeat) else record.source
            received_ms = _take_one(waybills, record, key, taken.timestamps_ms[index])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            rejects.append(Reject(index, *shipments.why_refused(value, error)))
        except Refused as refusal:
            rejects.append(Reject(index, refusal.code, refusal.path, source))
        else:
            if received_ms > waybills.received_max_ms:
                waybills.received_max_ms = received_ms
                waybills.advance(received_ms - waybills.policy.disorder_ms)
    return rejects


def _take_one(
    waybills: Waybills, record: shipments.Record, key: bytes | None, stamp_ms: int
) -> int:
    """Take one record by the rule; return when it was received."""
    if isinstance(record, Heartbeat):
        return waybills.heard(record, stamp_ms)
    parse = waybills.instants.parse
    recorded_ms = parse(record.recorded_at, "$.recorded_at")
    time_ms = parse(record.time, "$.time")
    if waybills.clock == "wall":
        received_ms = stamp_ms
    elif record.received_at is None:
        received_ms = recorded_ms
    else:
        received_ms = parse(record.received_at, "$.received_at")
    now_ms = max(waybills.watermark_ms, received_ms)
    waybills.lookup.use_at(now_ms)
    waybills.take(record, key, (time_ms, recorded_ms, received_ms, now_ms))
    return received_ms


def a_partition(
    history: ReferenceHistory,
    *,
    clock: Clock = "data",
    targets: int = 1,
    policy: Policy | None = None,
) -> MatchPartition:
    return MatchPartition(
        0, policy or Policy(), history, counts_partitions=targets, clock=clock, key=HashKey(7, 7)
    )


def rows_in(drained: Iterable[Drained]) -> Rows:
    """Return all changes of cells in the outputs of some drains."""
    return changes.concatenate(
        [
            changes.decode(output.value or b"").rows
            for drain in drained
            for output in drain.outputs
            if output.topic == topics.COUNTS
        ]
    )


def by_cell(rows: Rows) -> dict[tuple[int, int], int]:
    """Return what each counter of each cell comes to, whatever the ticks."""
    sums: dict[tuple[int, int], int] = {}
    columns = zip(rows.cells.tolist(), rows.counters.tolist(), rows.deltas.tolist(), strict=True)
    for cell, counter, delta in columns:
        sums[cell, counter] = sums.get((cell, counter), 0) + delta
    return {key: figure for key, figure in sums.items() if figure}


def listed(rows: Rows) -> list[tuple[int, int, int, int]]:
    """Return the rows summed by tick, cell and counter, in order."""
    added = changes.summed(rows)
    return list(
        zip(
            added.ticks.tolist(),
            added.cells.tolist(),
            added.counters.tolist(),
            added.deltas.tolist(),
            strict=True,
        )
    )


def missing_of(outputs: Iterable[Output]) -> dict[bytes, bytes]:
    """Return the records of `parcels.missing` that a compacted topic would end with."""
    missing: dict[bytes, bytes] = {}
    for output in outputs:
        if output.topic == topics.PARCELS_MISSING:
            assert output.key is not None
            if output.value is None:
                missing.pop(output.key, None)
            else:
                missing[output.key] = output.value
    return missing


def outputs_of(drained: Iterable[Drained]) -> Iterator[Output]:
    for drain in drained:
        yield from drain.outputs
