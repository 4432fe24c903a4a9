"""What open parcels cost: seconds to bring them back, bytes to hold them, bytes to log them.

A worker works off a workload, all of whose parcels are then still open, and leaves. A second one in its
place brings the state back; its memory, less that of a worker with next to nothing, is the parcels'.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.cluster import PARTITIONS, STAGES, Cluster, Scene
from bench.contenders.ours import RunningWorker, worker
from bench.workload import Size
from streams.records import topics

FEW_PARCELS: Final = 1_000
SETTLE_S: Final = 3.0
"""After restoring, until what was needed for it has been freed."""


@dataclass(frozen=True, slots=True)
class StateCost:
    """What was found.

    Attributes:
        records: Input records that led to the state.
        parcels: Open ones.
        restore_s: In which `match` had all its partitions back, as it says itself.
        ready_s: From the start of the process until all stages were ready.
        memory_mb: Of the restored worker.
        memory_few_mb: Of a worker with FEW_PARCELS.
        log_bytes: Of the state log of `match` on the broker's disk, compressed as it is.

    """

    records: int
    parcels: int
    restore_s: float
    ready_s: float
    memory_mb: float
    memory_few_mb: float
    log_bytes: int

    @property
    def bytes_per_parcel(self) -> float:
        """Bytes of memory per open parcel, all in."""
        return (self.memory_mb - self.memory_few_mb) * 2**20 / self.parcels

    @property
    def log_bytes_per_record(self) -> float:
        """Bytes that the state log holds per input record, snapshots included."""
        return self.log_bytes / self.records


def measure(scene: Scene, few: Scene) -> StateCost:
    """Have the parcels of a scene worked off, and brought back by another worker."""
    for each in (few, scene):
        _work_off(each)
    with worker(few) as running:
        _await_ready(running)
        memory_few_mb = running.tree.memory_mb()
    begun_s = time.monotonic()
    with worker(scene) as running:
        _await_ready(running)
        ready_s = time.monotonic() - begun_s
        restore_s = running.metric("realname_restore_seconds_sum", stage="match")
        running.await_that(lambda: running.metric("realname_open_parcels") > 0)
        time.sleep(SETTLE_S)
        memory_mb = running.tree.memory_mb()
        parcels = int(running.metric("realname_open_parcels"))
    return StateCost(
        records=scene.truth.records,
        parcels=parcels,
        restore_s=restore_s,
        ready_s=ready_s,
        memory_mb=memory_mb,
        memory_few_mb=memory_few_mb,
        log_bytes=scene.bytes_on_disk(topics.MATCH_STATE),
    )


def few_parcels(cluster: Cluster, size: Size) -> Scene:
    """Return a scene with next to no parcels, but all outlets."""
    return cluster.scene(Size(FEW_PARCELS, size.outlets, size.seed), lambda _: None)


def _work_off(scene: Scene) -> None:
    if all(scene.left(stage) == 0 for stage, _ in STAGES):
        return
    scene.reset()
    with worker(scene) as running:
        for stage, _ in STAGES:
            running.await_that(partial(_passed, scene, stage))


def _passed(scene: Scene, stage: str) -> bool:
    return scene.left(stage) == 0


def _await_ready(running: RunningWorker) -> None:
    wanted = PARTITIONS[topics.SHIPMENTS]
    running.await_that(
        lambda: running.metric("realname_partitions", stage="match", state="running") == wanted
    )
    running.await_that(
        lambda: running.metric("realname_partitions", stage="rollup", state="running") == 1
    )


def report(cost: StateCost) -> str:
    """Return the figures in words."""
    return "\n".join(
        [
            f"{cost.parcels:,} open parcels after {cost.records:,} records, one process.",
            "",
            "| figure | measured |",
            "| --- | ---: |",
            f"| restore | {cost.restore_s:.2f} s, {cost.parcels / cost.restore_s:,.0f} parcels/s |",
            f"| from the start of the process to ready | {cost.ready_s:.2f} s |",
            f"| memory of the worker | {cost.memory_mb:,.0f} MB |",
            f"| the same with {FEW_PARCELS:,} parcels | {cost.memory_few_mb:,.0f} MB |",
            f"| memory per open parcel, all in | {cost.bytes_per_parcel:.0f} bytes |",
            f"| state log on disk per record | {cost.log_bytes_per_record:.1f} bytes |",
        ]
    )
