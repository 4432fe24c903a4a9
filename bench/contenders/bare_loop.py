"""The least that Python can do: consume, orjson, dicts; one process, nothing durable, no second stage."""

from datetime import datetime
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.cluster import PARTITIONS, Scene
from bench.contenders.child import Clock, read_task, run_module
from bench.outcome import Outcome
from bench.truth import Figures
from bench.workload import GRACE_MS
from streams.records.topics import SHIPMENTS

BATCH = 10_000


class BareLoop:
    """The loop, as a contender."""

    name = "bare loop, nothing durable"

    def lacks(self) -> str | None:
        """Return None."""
        return None

    def run(self, scene: Scene) -> Outcome:
        """Work off the records once."""
        return run_module("bench.contenders.bare_loop", scene)


class _Counts:
    """Per outlet, what the records of its parcels come to."""

    def __init__(self) -> None:
        self._parcels: dict[str, tuple[str, float] | float | None] = {}
        self.outlets: dict[str, list[int]] = {}

    def take(self, record: dict[str, Any]) -> None:
        waybill, outlet = record["waybill_no"], record["outlet_id"]
        counts = self.outlets.get(outlet)
        if counts is None:
            counts = self.outlets[outlet] = [0, 0, 0, 0]
        known = self._parcels.get(waybill, 0)
        if record["type"] == "shipment.collected":
            at_s = datetime.fromisoformat(record["time"]).timestamp()
            counts[0] += 1
            if isinstance(known, float):
                counts[1 if known - at_s <= GRACE_MS / 1000 else 2] += 1
                self._parcels[waybill] = None
            else:
                self._parcels[waybill] = (outlet, at_s)
            return
        at_s = datetime.fromisoformat(record["recorded_at"]).timestamp()
        if known is None:
            counts[3] += 1
        elif isinstance(known, tuple):
            counts[1 if at_s - known[1] <= GRACE_MS / 1000 else 2] += 1
            self._parcels[waybill] = None
        else:
            self._parcels[waybill] = at_s


def main() -> None:
    """Run the loop over the task on the command line."""
    task = read_task()
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": "bench-bare-loop",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
            "queued.min.messages": 200_000,
        }
    )
    consumer.assign(
        [TopicPartition(task.topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS[SHIPMENTS])]
    )
    clock, counts, done = Clock(task), _Counts(), 0
    records = task.truth.records
    while done < records:
        messages = consumer.consume(BATCH, 0.05)
        if not messages:
            continue
        if not done:
            clock.first()
        for message in messages:
            value = message.value()
            if message.key() is not None and value is not None:
                counts.take(orjson.loads(value))
                done += 1
        if done >= records / 2:
            clock.half()
    clock.processed()
    clock.tell({outlet: Figures(*of) for outlet, of in counts.outlets.items()})


if __name__ == "__main__":
    main()
