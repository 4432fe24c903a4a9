"""The work as Faust's documentation has it done: agents, JSON values, Tables with change logs.

Far slower than all others, so it gets a smaller load of its own.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import faust

from bench.cluster import PARTITIONS, Scene
from bench.contenders.child import Clock, read_task, run_module
from bench.outcome import Outcome
from bench.truth import Figures
from bench.workload import GRACE_MS
from streams.records.topics import SHIPMENTS

NAME: Final = "bench-faust"
LOOK_S: Final = 0.02
DONE: Final = "joined"
PANE_S: Final = 300


class FaustTables:
    """Stock Faust, as a contender."""

    name = "Faust with Tables"

    def lacks(self) -> str | None:
        """Return None."""
        return None

    def run(self, scene: Scene) -> Outcome:
        """Work off the records once, as an app with a new name, so without memory of earlier runs."""
        scene.delete_topics_of(NAME)
        return run_module("bench.contenders.faust_tables", scene)


def _app(bootstrap: str, data_dir: str) -> faust.App:
    return faust.App(
        f"{NAME}-{time.monotonic_ns()}",
        broker=f"kafka://{bootstrap}",
        datadir=data_dir,
        store="memory://",
        topic_partitions=PARTITIONS[SHIPMENTS],
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.05,
        web_enabled=False,
    )


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


class Joined(NamedTuple):
    """What one record changes: figures of one outlet, category and pane. The pane is of seconds."""

    outlet: str
    figures: list[int]
    category: str
    at_s: float


class Join:
    """The rule, over any table of parcels."""

    def __init__(self, parcels: MutableMapping[str, Any]) -> None:
        self._parcels = parcels

    def take(self, waybill: str, record: dict[str, Any]) -> Joined | None:
        """Take a record; return what it changes, if anything."""
        known, outlet = self._parcels.get(waybill), record["outlet_id"]
        if record["type"] == "shipment.collected":
            at_s, category = _seconds(record["time"]), record["parcel_category"]
            if known is None:
                self._parcels[waybill] = [outlet, category, at_s]
                return Joined(outlet, [0], category, at_s)
            self._parcels[waybill] = DONE
            return Joined(outlet, [0, _covered(known - at_s)], category, at_s)
        at_s = _seconds(record["recorded_at"])
        if known is None:
            self._parcels[waybill] = at_s
            return None
        if known == DONE:
            return Joined(outlet, [3], "", 0)
        outlet, category, collected_s = known
        self._parcels[waybill] = DONE
        return Joined(outlet, [_covered(at_s - collected_s)], category, collected_s)


def main() -> None:
    """Run the app over the task on the command line; ends the process."""
    task = read_task()
    clock = Clock(task)
    app = _app(task.bootstrap, tempfile.mkdtemp(prefix=NAME))
    shipments = app.topic(task.topic, key_type=str, value_serializer="json")
    changes = app.topic(
        f"{app.conf.id}-changes", key_type=str, value_serializer="json", internal=True
    )
    parcels = app.Table("parcels", partitions=PARTITIONS[SHIPMENTS])
    panes = app.Table("panes", default=int, partitions=PARTITIONS[SHIPMENTS])
    rule = Join(parcels)
    done = {"joined": 0, "sent": 0, "counted": 0}

    @app.agent(shipments)
    async def join(records: Any) -> None:  # noqa: ANN401 (Faust's stream has no type)
        async for waybill, record in records.items():
            if waybill is None:
                continue  # A heartbeat: it is of use to others.
            if not done["joined"]:
                clock.first()
            if (made := rule.take(waybill, record)) is not None:
                value = [made.figures, made.category, int(made.at_s // PANE_S)]
                await changes.send(key=made.outlet, value=value)
                done["sent"] += 1
            done["joined"] += 1

    @app.agent(changes)
    async def count(stream: Any) -> None:  # noqa: ANN401 (the same)
        async for outlet, (figures, category, pane) in stream.items():
            for figure in figures:
                panes[f"{outlet}|{category}|{pane}|{figure}"] += 1
            done["counted"] += 1

    @app.task  # type: ignore[untyped-decorator]  # Faust's has no type.
    async def watch() -> None:
        await _finished(done, task.truth.records, clock)
        await app.producer.flush()
        await app.consumer.commit()
        clock.tell(_figures(dict(panes.items())))
        os._exit(0)  # Faust would take ten seconds and more to leave its group.

    sys.argv = [NAME, "worker", "--loglevel", "error", "--without-web"]
    app.main()


async def _finished(done: Mapping[str, int], records: int, clock: Clock) -> None:
    while done["joined"] < records or done["counted"] < done["sent"]:
        await asyncio.sleep(LOOK_S)
        if done["joined"] >= records / 2:
            clock.half()
    clock.processed()


def _covered(delay_s: float) -> int:
    return 1 if delay_s <= GRACE_MS / 1000 else 2


def _figures(panes: dict[str, int]) -> dict[str, Figures]:
    outlets: dict[str, list[int]] = {}
    for key, count in panes.items():
        outlet, _, _, figure = key.split("|")
        outlets.setdefault(outlet, [0, 0, 0, 0])[int(figure)] += count
    return {outlet: Figures(*of) for outlet, of in outlets.items()}


if __name__ == "__main__":
    main()
