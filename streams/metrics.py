"""The catalogue of a worker's Prometheus metrics: every name, label and meaning, once.

Names follow Prometheus' conventions: base units, `_total` for what only grows. No label names an
outlet, a courier or a parcel: a label value is a series for as long as the process lives.
"""

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SOURCES_MAX: Final = 200
"""Values of the label `source`; records of further sources count under `other`."""

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_SECONDS: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: As Prometheus shows it.
        kind: Its type.
        labels: Names of its labels.
        help: What it says, with its unit, in one sentence.
        buckets: Upper bounds of a histogram.

    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


CATALOGUE: Final = (
    Metric("realname_records_total", "counter", ("stage",), "Input records applied."),
    Metric(
        "realname_records_rejected_total",
        "counter",
        ("code", "source"),
        "Records that went to the dead letters, by reject code and the source that they name.",
    ),
    Metric("realname_batches_total", "counter", ("stage",), "Batches of input records applied."),
    Metric(
        "realname_flush_seconds",
        "histogram",
        ("stage",),
        "Seconds that a transaction with state, outputs and offsets took.",
        _SECONDS,
    ),
    Metric(
        "realname_transaction_aborts_total",
        "counter",
        ("stage", "reason"),
        "Transactions aborted and tried again, by the name of Kafka's error.",
    ),
    Metric(
        "realname_restore_seconds",
        "histogram",
        ("stage",),
        "Seconds that bringing back the states of an assignment took.",
        _LONG_SECONDS,
    ),
    Metric(
        "realname_snapshot_seconds",
        "histogram",
        ("stage",),
        "Seconds that a snapshot of one partition's state took.",
        _LONG_SECONDS,
    ),
    Metric(
        "realname_state_log_bytes",
        "gauge",
        ("stage",),
        "Bytes that a restore of this worker's partitions would read, before compression.",
    ),
    Metric(
        "realname_partitions",
        "gauge",
        ("stage", "state"),
        "Input partitions of this worker: assigned, or restored and running.",
    ),
    Metric(
        "realname_lag_records",
        "gauge",
        ("topic", "partition"),
        "Input records not yet applied, as of the last fetch.",
    ),
    Metric(
        "realname_stream_time_seconds",
        "gauge",
        ("stage",),
        "Stream time of the worker's slowest partition, in seconds since the epoch.",
    ),
    Metric(
        "realname_tick_time_seconds",
        "gauge",
        ("stage",),
        "Last tick judged by the stage's slowest partition, in seconds since the epoch.",
    ),
    Metric(
        "realname_kafka_clock_ahead_seconds",
        "gauge",
        (),
        "How far Kafka's clock is ahead of the worker's at the least, negative where it is behind; 0 where "
        "no difference is certain.",
    ),
    Metric("realname_open_parcels", "gauge", (), "Parcels that are open in this worker."),
    Metric(
        "realname_sources_flagged",
        "gauge",
        (),
        "Sources of whose last 10,000 records more than half were rejected.",
    ),
    Metric(
        "realname_alerts_active",
        "gauge",
        ("kind", "severity"),
        "Alerts that are firing or clearing.",
    ),
    Metric(
        "realname_notify_records_total",
        "counter",
        ("result",),
        "Records of alerts that `notify` took in: read, or unreadable.",
    ),
    Metric("realname_notify_alerts", "gauge", (), "Open alerts that `notify` keeps posting."),
    Metric(
        "realname_notify_kafka_heard_timestamp_seconds",
        "gauge",
        (),
        "When `notify` last heard from Kafka, in seconds since the epoch.",
    ),
    Metric(
        "realname_notify_posts_total",
        "counter",
        ("alertmanager", "result"),
        "Batches of alerts that an Alertmanager answered: taken, partly, or too_large.",
    ),
    Metric(
        "realname_notify_failures_total",
        "counter",
        ("alertmanager", "reason"),
        "Requests to an Alertmanager that failed and are tried again, by reason.",
    ),
    Metric(
        "realname_notify_refused_alerts_total",
        "counter",
        ("alertmanager",),
        "Alerts found to be refused by an Alertmanager; they are posted apart from then on.",
    ),
    Metric(
        "realname_notify_alerts_refused",
        "gauge",
        ("alertmanager",),
        "Alerts that an Alertmanager refuses now.",
    ),
    Metric(
        "realname_notify_last_success_timestamp_seconds",
        "gauge",
        ("alertmanager",),
        "When an Alertmanager last took all that was due, in seconds since the epoch; 0 is never.",
    ),
    Metric(
        "realname_notify_post_seconds",
        "histogram",
        ("alertmanager",),
        "Seconds that one batch of alerts took to post.",
        _SECONDS,
    ),
)


class Metrics:
    """The metrics of one process. For any thread."""

    def __init__(self) -> None:
        # A second series per counter that says when it was made: nobody asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # The library has no types there.
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._sources: set[str] = set()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        for metric in CATALOGUE:
            self._make(metric)

    def _make(self, metric: Metric) -> None:
        name, labels, registry = metric.name, metric.labels, self._registry
        if metric.kind == "counter":
            self._counters[name] = Counter(name, metric.help, labels, registry=registry)
        elif metric.kind == "gauge":
            self._gauges[name] = Gauge(name, metric.help, labels, registry=registry)
        else:
            self._histograms[name] = Histogram(
                name, metric.help, labels, buckets=metric.buckets, registry=registry
            )

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter. KeyError for a name that is not in the catalogue."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge. KeyError for a name that is not in the catalogue."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add an observation to a histogram. KeyError for a name that is not in the catalogue."""
        histogram = self._histograms[name]
        (histogram.labels(*labels) if labels else histogram).observe(value)

    def remove(self, name: str, *labels: str) -> None:
        """Remove a gauge's series; nothing if it is not there."""
        if labels in self._gauges[name]._metrics:  # noqa: SLF001 (there is no public question)
            self._gauges[name].remove(*labels)

    def source(self, source: str) -> str:
        """Return the label value for a source: itself, or `other` beyond SOURCES_MAX."""
        if source not in self._sources:
            if len(self._sources) >= SOURCES_MAX:
                return "other"
            self._sources.add(source)
        return source

    def expose(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)
