"""What is told about a runner: metrics, whether it is alive, whether it is ready."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from streams.domain.window import TICK_MS
from streams.metrics import Metrics
from streams.records.rejects import Reject
from streams.stages.alerts import AlertDesk
from streams.stages.stage import Stage
from streams.stages.windows import Windows

PRODUCER_LOST: Final = "producer_lost"
"""The reason of an abort that Kafka has not told: another producer has our id, or an outage took ours."""
STALLED_S: Final = 60.0
"""A runner that has not finished a step for so long, and is not restoring, is not alive. A step waits
for one transaction at most, whose calls return after 5 s."""


class Observed(Protocol):
    """What a stage may show beside its contract; each is looked for, none is required."""

    stream_time_ms: int
    windows: Windows
    open_parcels: int
    sources_flagged: list[str]
    desk: AlertDesk


class Telemetry:
    """The state of one runner, written by it, read by the HTTP server's thread."""

    def __init__(self, stage: str, metrics: Metrics | None = None) -> None:
        self._stage = stage
        self._metrics = metrics or Metrics()
        self._log_bytes: dict[int, int] = {}
        self._alerts: set[tuple[str, str]] = set()
        self._stepped_s = time.monotonic()
        self._restoring = True
        self._assigned = False
        self._owned = self._wanted = 0
        for state in ("assigned", "running"):
            self._metrics.set("realname_partitions", 0, stage, state)
        self._metrics.count("realname_records_total", stage, by=0)
        self._metrics.count("realname_batches_total", stage, by=0)
        self._metrics.count("realname_transaction_aborts_total", stage, PRODUCER_LOST, by=0)

    @property
    def alive(self) -> bool:
        """Whether it makes progress, or is restoring or starting."""
        return self._restoring or time.monotonic() - self._stepped_s < STALLED_S

    @property
    def ready(self) -> bool:
        """Whether the group has answered, and all that it assigned is restored.

        A worker may be assigned nothing, when there are more workers than partitions: it is ready.
        """
        return self._assigned and not self._restoring and self._owned == self._wanted

    def stepped(self) -> None:
        """Note that a step has been finished."""
        self._stepped_s = time.monotonic()

    def applied(self, records: int) -> None:
        """Count a batch."""
        self._metrics.count("realname_records_total", self._stage, by=records)
        self._metrics.count("realname_batches_total", self._stage)

    def rejected(self, reject: Reject) -> None:
        """Count a refused record."""
        source = self._metrics.source(reject.source)
        self._metrics.count("realname_records_rejected_total", reject.code.value, source)

    def flushed(self, seconds: float) -> None:
        """Note a committed transaction."""
        self._metrics.observe("realname_flush_seconds", seconds, self._stage)

    def aborted(self, reason: str) -> None:
        """Count an aborted transaction."""
        self._metrics.count("realname_transaction_aborts_total", self._stage, reason)

    def snapshot(self, seconds: float) -> None:
        """Note a snapshot."""
        self._metrics.observe("realname_snapshot_seconds", seconds, self._stage)

    def restoring(self) -> None:
        """Note that restoring begins."""
        self._restoring = True

    def restored(self, seconds: float) -> None:
        """Note that it is over."""
        self.stepped()
        self._restoring = False
        self._metrics.observe("realname_restore_seconds", seconds, self._stage)

    def assigned(self, owned: int, wanted: int) -> None:
        """Note how many partitions run, of those that the group has assigned."""
        self._owned, self._wanted = owned, wanted
        self._assigned = True
        self._restoring = owned < wanted
        self._metrics.set("realname_partitions", wanted, self._stage, "assigned")
        self._metrics.set("realname_partitions", owned, self._stage, "running")

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Note how far a partition is behind."""
        self._metrics.set("realname_lag_records", records, topic, str(partition))

    def clock(self, ahead_ms: int) -> None:
        """Note by how much Kafka's clock is ahead of this machine's."""
        self._metrics.set("realname_kafka_clock_ahead_seconds", ahead_ms / 1_000)

    def log_size(self, partition: int, size: int) -> None:
        """Note the bytes of a partition's state log."""
        self._log_bytes[partition] = size
        self._metrics.set("realname_state_log_bytes", sum(self._log_bytes.values()), self._stage)

    def dropped(self, topic: str, partition: int, *, number: int) -> None:
        """Forget a partition, and its state log, which has this number."""
        self._metrics.remove("realname_lag_records", topic, str(partition))
        self._log_bytes.pop(number, None)

    def states(self, stages: Mapping[int, Stage]) -> None:
        """Show what the stages show; called with the states at rest."""
        shown = [cast("Observed", stage) for stage in stages.values()]
        metrics = self._metrics
        times = [s.stream_time_ms for s in shown if hasattr(s, "stream_time_ms")]
        self._show_slowest("realname_stream_time_seconds", times)
        ticks = [s.windows.tick * TICK_MS for s in shown if hasattr(s, "windows")]
        self._show_slowest("realname_tick_time_seconds", ticks)
        parcels = [s.open_parcels for s in shown if hasattr(s, "open_parcels")]
        if parcels:
            metrics.set("realname_open_parcels", sum(parcels))
        flagged = [s.sources_flagged for s in shown if hasattr(s, "sources_flagged")]
        if flagged:
            metrics.set("realname_sources_flagged", len({s for some in flagged for s in some}))
        self._show_alerts([stage.desk for stage in shown if hasattr(stage, "desk")])

    def _show_slowest(self, name: str, times_ms: Sequence[int]) -> None:
        """Show the least of some instants; nothing where there is none, or one has not begun."""
        if least_ms := min(times_ms, default=0):
            self._metrics.set(name, least_ms / 1_000, self._stage)
        else:
            self._metrics.remove(name, self._stage)

    def _show_alerts(self, desks: Sequence[AlertDesk]) -> None:
        """Show how many alerts are open; none once the partition is another worker's."""
        counts = Counter(
            (entry.kind.value, entry.finding.severity.name)
            for desk in desks
            for entry in desk.open_entries()
        )
        for labels in self._alerts - counts.keys():
            self._metrics.remove("realname_alerts_active", *labels)
        for labels, count in counts.items():
            self._metrics.set("realname_alerts_active", count, *labels)
        self._alerts = set(counts)
