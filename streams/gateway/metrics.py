"""The catalogue of a gateway's metrics. No label holds anything that a record says."""

from collections import Counter as Counts
from collections.abc import Iterable
from typing import Final

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

from streams.metrics import Metric

ACCEPTED: Final = "accepted"
SHIPMENTS_ROUTE: Final = "/v1/shipments"
ANSWERS: Final = ("200", "429", "503")
"""Codes that are shown from the beginning on: rules put the later ones in proportion to the rest."""

_REQUESTS: Final = Metric(
    "realname_gateway_requests_total",
    "counter",
    ("route", "code"),
    "Requests answered, by the route's pattern and the status code.",
)
_SECONDS: Final = Metric(
    "realname_gateway_request_seconds",
    "histogram",
    ("route",),
    "Seconds until a request was answered.",
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_RECORDS: Final = Metric(
    "realname_gateway_records_total",
    "counter",
    ("enterprise", "code"),
    "Records answered, by the token's enterprise: `accepted`, or the code of the rejection.",
)
_UNACKNOWLEDGED: Final = Metric(
    "realname_gateway_batches_unacknowledged_total",
    "counter",
    ("reason",),
    "Batches that Kafka did not acknowledge, by its error's name.",
)
_HELD: Final = Metric(
    "realname_gateway_held_bytes", "gauge", (), "Bytes of requests in memory, of the budget."
)
_WAITING: Final = Metric(
    "realname_gateway_waiting_batches",
    "gauge",
    (),
    "Batches that Kafka has not acknowledged yet.",
)
CATALOGUE: Final = (_REQUESTS, _SECONDS, _RECORDS, _UNACKNOWLEDGED, _HELD, _WAITING)


class GatewayMetrics:
    """All metrics of one gateway. For any thread."""

    def __init__(self) -> None:
        """Begin at nothing."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Theirs.
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests, self._records, self._unacknowledged = (
            Counter(metric.name, metric.help, metric.labels, registry=registry)
            for metric in (_REQUESTS, _RECORDS, _UNACKNOWLEDGED)
        )
        for code in ANSWERS:
            self._requests.labels(SHIPMENTS_ROUTE, code)
        self._seconds = Histogram(
            _SECONDS.name,
            _SECONDS.help,
            _SECONDS.labels,
            buckets=_SECONDS.buckets,
            registry=registry,
        )
        self._held, self._waiting = (
            Gauge(metric.name, metric.help, registry=registry) for metric in (_HELD, _WAITING)
        )

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(code)).inc()
        self._seconds.labels(route).observe(seconds)

    def records(self, enterprise: str, accepted: int, rejected: Iterable[str]) -> None:
        """Count the records of a batch, with the codes of those that were rejected."""
        self._records.labels(enterprise, ACCEPTED).inc(accepted)
        for code, count in Counts(rejected).items():
            self._records.labels(enterprise, code).inc(count)

    def unacknowledged(self, reason: str) -> None:
        """Count a batch that Kafka did not acknowledge."""
        self._unacknowledged.labels(reason).inc()

    def expose(self, *, held: int, waiting: int) -> bytes:
        """Return all of them in Prometheus' text format."""
        self._held.set(held)
        self._waiting.set(waiting)
        return generate_latest(self._registry)
