"""Has the machine code of this stage made before it is needed."""

import logging
import time
from typing import Final

import msgspec

from streams.domain.policy import Policy
from streams.domain.window import DAY_MS, instant_text
from streams.records.shipments import TYPE_OF, Collected, Heartbeat, Registered, Scanned
from streams.reference.types import Outlet, Reference, ReferenceHistory
from streams.stages.match.partition import MatchPartition
from streams.stages.stage import Batch

LOGGER: Final = logging.getLogger(__name__)

_START_MS: Final = 1_504_800_000_000
_OUTLET: Final = Outlet(0, "-", "-", "-", "-", "150102", "")
_TOLD_AFTER_S: Final = 2.0


def warm_up() -> None:
    """Make, or load from its cache, all machine code that a partition needs.

    Some tenths of a second with the cache; some twenty seconds on two cores without it, which is
    the first time after an installation, or where no cache can be written.
    """
    begun_s = time.monotonic()
    history = ReferenceHistory([Reference(version=1, outlets={_OUTLET.outlet_id: _OUTLET})])
    first, second = (
        MatchPartition(0, Policy(), history, counts_partitions=1, clock="data") for _ in range(2)
    )
    first.apply(_a_batch(0, _START_MS))
    changes = list(first.drain(publish=True).state)
    first.committed()
    second.restore_snapshot(list(first.snapshot()))
    second.restore_delta(changes[0])
    second.restored()
    # Everything closes, and is forgotten.
    for day in range(1, 30):
        second.apply(_a_batch(100 * day, _START_MS + day * DAY_MS))
    second.drain(publish=True)
    second.committed()
    took_s = time.monotonic() - begun_s
    if took_s > _TOLD_AFTER_S:
        LOGGER.info("made machine code of the match stage in %.0f s", took_s)


def _a_batch(offset: int, at_ms: int) -> Batch:
    """Return more records than the rule alone would be given, and one of each other kind."""
    at = instant_text(at_ms)
    values: list[bytes] = []
    keys: list[bytes | None] = []
    for number in range(30):
        waybill = f"W{offset}-{number}"
        head = {"time": at, "recorded_at": at, "source": "-", "waybill_no": waybill, "id": waybill}
        for body in (
            {"type": TYPE_OF[Collected], **head, "outlet_id": "-", "parcel_category": "LOOSE"},
            {"type": TYPE_OF[Registered], **head, "outlet_id": "-", "registration_id": waybill,
             "verification_result": "MATCHED"},
            {"type": TYPE_OF[Scanned], **head, "hub_id": "-"},
        )[: 1 + number % 3]:  # fmt: skip
            values.append(msgspec.json.encode(body))
            keys.append(waybill.encode())
    values += [msgspec.json.encode({"type": TYPE_OF[Heartbeat], "received_at": at}), b""]
    keys += [None, None]
    return Batch(range(offset, offset + len(values)), keys, values, [at_ms] * len(values))
