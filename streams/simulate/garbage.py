"""Records that must be refused: a few of every reject code, each otherwise as good as can be."""

from collections.abc import Callable
from typing import Final

import numpy as np
import orjson

from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, instant_text
from streams.records.rejects import RejectCode
from streams.records.shipments import VALUE_BYTES_MAX
from streams.simulate.faults import PlantedFault, garbage_count
from streams.simulate.region import Region
from streams.simulate.text import Block

OVERSIZED_BYTES: Final = 70_000
Good = dict[str, object]
Value = bytes | None

assert OVERSIZED_BYTES > VALUE_BYTES_MAX


def draw_garbage(
    fault: PlantedFault, span_ms: tuple[int, int], region: Region, rng: np.random.Generator
) -> Block:
    """Return the garbage received in a span; each code is spread evenly over the fault."""
    keys: list[bytes] = []
    values: list[Value] = []
    received: list[int] = []
    for position, code in enumerate(RejectCode):
        for number in _numbers(fault, code, span_ms):
            received_ms = _instant(fault, code, number)
            outlet = region.outlets[int(rng.integers(len(region.outlets)))]
            waybill = f"ZZ{position:02d}{number:06d}{fault.start_ms // MINUTE_MS % 1000:03d}"
            good: Good = {
                "type": "shipment.collected",
                "time": instant_text(received_ms - 2_000),
                "id": f"z{position}-{number}",
                "source": f"/enterprise/{outlet.brand_code}",
                "recorded_at": instant_text(received_ms - 1_000),
                "received_at": instant_text(received_ms),
                "waybill_no": waybill,
                "outlet_id": outlet.outlet_id,
                "courier_id": f"{outlet.outlet_id}-0",
                "parcel_category": "LOOSE",
                "agreement_id": None,
                "destination_code": "110101",
                "route_type": "OUTBOUND",
            }
            key, value = _SPOILERS[code](good, received_ms, number)
            keys.append(waybill.encode() if key is None else key)
            values.append(value)
            received.append(received_ms)
    columns = np.empty((2, len(keys)), np.object_)
    columns[0, :], columns[1, :] = keys, values
    return Block(columns[0], columns[1], np.array(received, np.int64))


def _numbers(fault: PlantedFault, code: RejectCode, span_ms: tuple[int, int]) -> range | list[int]:
    start_ms, end_ms = span_ms
    if end_ms <= fault.start_ms or fault.end_ms <= start_ms:
        return []
    count = garbage_count(fault.plan, code)
    return [n for n in range(count) if start_ms <= _instant(fault, code, n) < end_ms]


def _instant(fault: PlantedFault, code: RejectCode, number: int) -> int:
    length_ms = fault.end_ms - fault.start_ms
    return fault.start_ms + (2 * number + 1) * length_ms // (2 * garbage_count(fault.plan, code))


Spoiled = tuple[bytes | None, Value]
"""The Kafka key, None for the waybill, and the value."""


def _empty(_good: Good, _received_ms: int, number: int) -> Spoiled:
    return None, None if number % 2 else b""


def _oversized(good: Good, _received_ms: int, _number: int) -> Spoiled:
    return None, orjson.dumps({**good, "note": "x" * OVERSIZED_BYTES})


def _not_json(good: Good, _received_ms: int, number: int) -> Spoiled:
    text = orjson.dumps(good)
    return None, (text[: len(text) // 2], b"\xff\xfe" + text, b"[" + text + b"]")[number % 3]


def _unknown_type(good: Good, _received_ms: int, number: int) -> Spoiled:
    if number % 2:
        return None, orjson.dumps({**good, "type": "shipment.lost"})
    return None, orjson.dumps({name: v for name, v in good.items() if name != "type"})


def _schema(good: Good, _received_ms: int, number: int) -> Spoiled:
    spoilt: tuple[Good, ...] = (
        {**good, "parcel_category": "PALLET"},
        {**good, "outlet_id": 17},
        {name: v for name, v in good.items() if name != "recorded_at"},
        {name: v for name, v in good.items() if name != "waybill_no"},
    )
    return None, orjson.dumps(spoilt[number % len(spoilt)])


def _bad_time(good: Good, _received_ms: int, number: int) -> Spoiled:
    bad = ("2017-09-06T10:00:00", "2017-13-06T10:00:00+08:00", "yesterday")[number % 3]
    return None, orjson.dumps({**good, ("time", "recorded_at")[number % 2]: bad})


def _unknown_outlet(good: Good, _received_ms: int, number: int) -> Spoiled:
    return None, orjson.dumps({**good, "outlet_id": f"999999-NONE-{number}"})


def _from_the_future(good: Good, received_ms: int, number: int) -> Spoiled:
    ahead = instant_text(received_ms + 5 * MINUTE_MS + 1 + number * HOUR_MS)
    return None, orjson.dumps({**good, ("time", "recorded_at")[number % 2]: ahead})


def _too_old(good: Good, _received_ms: int, number: int) -> Spoiled:
    return None, orjson.dumps({**good, "time": f"1999-12-31T23:59:{number % 60:02d}+08:00"})


def _key_mismatch(good: Good, _received_ms: int, number: int) -> Spoiled:
    return f"ZZ{number}".encode(), orjson.dumps(good)


def _too_late(good: Good, received_ms: int, number: int) -> Spoiled:
    collected_ms = received_ms - 3 * DAY_MS - HOUR_MS - number * MINUTE_MS
    return None, orjson.dumps({**good, "time": instant_text(collected_ms)})


_SPOILERS: Final[dict[RejectCode, Callable[[Good, int, int], Spoiled]]] = {
    RejectCode.EMPTY: _empty,
    RejectCode.OVERSIZED: _oversized,
    RejectCode.NOT_JSON: _not_json,
    RejectCode.UNKNOWN_TYPE: _unknown_type,
    RejectCode.SCHEMA: _schema,
    RejectCode.BAD_TIME: _bad_time,
    RejectCode.UNKNOWN_OUTLET: _unknown_outlet,
    RejectCode.FROM_THE_FUTURE: _from_the_future,
    RejectCode.TOO_OLD: _too_old,
    RejectCode.KEY_MISMATCH: _key_mismatch,
    RejectCode.TOO_LATE: _too_late,
}
assert set(_SPOILERS) == set(RejectCode)
