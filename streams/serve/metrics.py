"""The catalogue of what `serve` shows to Prometheus, and how it is made from the view.

Figures of parcels are gauges, although they count. They are those of one business day, and fall when a
parcel is voided, moves to another outlet, or the day ends; Prometheus would take a counter that falls
for one that began anew, and add the whole day once more. Gauges of counts may be summed and divided:

    sum by (city) (realname_parcels_covered) / sum by (city) (realname_parcels_mature)

All replicas show the same. No label names an outlet, but for the worst that breach now.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Final, Protocol

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streams.domain.window import instant_from_text
from streams.metrics import Metric
from streams.serve.periods import shown
from streams.serve.rows import DayRow, RateRow
from streams.serve.view import View

OUTLETS_MAX: Final = 200
"""Series of breaching outlets; beyond it those that fall shortest of their target are shown."""

_PARCELS: Final = ("city", "enterprise", "category")
_COUNTY: Final = ("city", "county", "enterprise")
_DAY: Final = "of the business day that is judged."

CATALOGUE: Final = (
    Metric("realname_parcels_eligible", "gauge", _PARCELS, f"Parcels of the base {_DAY}"),
    Metric(
        "realname_parcels_mature",
        "gauge",
        _PARCELS,
        f"Parcels whose grace has run out, the base of the rate, {_DAY}",
    ),
    Metric(
        "realname_parcels_covered",
        "gauge",
        _PARCELS,
        f"Mature parcels that are covered, late or not, {_DAY}",
    ),
    Metric(
        "realname_parcels_covered_on_time",
        "gauge",
        _PARCELS,
        f"Mature parcels that were covered within their grace {_DAY}",
    ),
    Metric(
        "realname_county_parcels_mature",
        "gauge",
        _COUNTY,
        f"Parcels whose grace has run out {_DAY}",
    ),
    Metric(
        "realname_county_parcels_covered",
        "gauge",
        _COUNTY,
        f"Mature parcels that are covered {_DAY}",
    ),
    Metric(
        "realname_rate_target_ratio",
        "gauge",
        ("event", "granularity", "category"),
        "Least rate that an active event period demands; event `routine` demands it outside them.",
    ),
    Metric(
        "realname_event_active",
        "gauge",
        ("event", "level"),
        "1 while an event period holds, else 0.",
    ),
    Metric(
        "realname_outlet_breaching",
        "gauge",
        ("outlet", "county", "city", "enterprise"),
        f"1 for an outlet whose verdict is a breach now; at most {OUTLETS_MAX}, the worst.",
    ),
    Metric(
        "realname_outlets_breaching", "gauge", _COUNTY, "Outlets whose verdict is a breach now."
    ),
    Metric(
        "realname_city_info",
        "gauge",
        ("city", "name_zh", "name_en"),
        "1; a city's names by its code.",
    ),
    Metric(
        "realname_county_info",
        "gauge",
        ("county", "city", "name_zh", "name_en"),
        "1; a county's names by its code.",
    ),
    Metric(
        "realname_enterprise_info",
        "gauge",
        ("enterprise", "name_zh", "name_en"),
        "1; an enterprise's brands by its id.",
    ),
    Metric(
        "realname_figures_timestamp_seconds",
        "gauge",
        (),
        "Stream time of the newest figures, in seconds since the epoch.",
    ),
    Metric(
        "realname_view_received_timestamp_seconds",
        "gauge",
        (),
        "When Kafka had the newest rates, in seconds since the epoch.",
    ),
    Metric("realname_view_ready", "gauge", (), "1 once the topics have been read to their ends."),
    Metric("realname_view_records_total", "counter", ("topic",), "Records read."),
    Metric(
        "realname_view_lag_records",
        "gauge",
        ("topic",),
        "Records not read yet, as of the last fetch.",
    ),
    Metric(
        "realname_view_invalid_records",
        "gauge",
        (),
        "Records left out because they cannot be read, since the topics were last begun anew.",
    ),
    Metric(
        "realname_serve_requests_total",
        "counter",
        ("route", "code"),
        "Requests answered, by the route's pattern and the status code.",
    ),
    Metric(
        "realname_serve_request_seconds",
        "histogram",
        ("route",),
        "Seconds until an answer began.",
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    ),
    Metric("realname_serve_streams", "gauge", (), "Boards that are being kept up to date."),
)

_BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
Series = Iterable[tuple[Sequence[str], float]]


class _Part(msgspec.Struct):
    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int


class _Parts(msgspec.Struct):
    by_category: dict[str, _Part]


class Followed(Protocol):
    """How far the reading of the topics has come."""

    @property
    def ready(self) -> bool:
        """Whether all that was there at the start has been read."""
        ...

    @property
    def lag(self) -> Mapping[str, int]:
        """Records not read yet, by topic."""
        ...

    @property
    def records(self) -> Mapping[str, int]:
        """Records read so far, by topic."""
        ...


class ServeMetrics:
    """All metrics of one server. For any thread."""

    def __init__(self, view: View, follower: Followed, *, routine_target: float) -> None:
        """Take what the figures are made from."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Theirs.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(ViewCollector(view, routine_target=routine_target))
        self._registry.register(FollowerCollector(view, follower))
        requests, seconds, streams = (
            _BY_NAME[f"realname_serve_{name}"]
            for name in ("requests_total", "request_seconds", "streams")
        )
        self._requests = Counter(
            requests.name, requests.help, requests.labels, registry=self._registry
        )
        self._seconds = Histogram(
            seconds.name,
            seconds.help,
            seconds.labels,
            buckets=seconds.buckets,
            registry=self._registry,
        )
        self._streams = Gauge(streams.name, streams.help, registry=self._registry)

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(code)).inc()
        self._seconds.labels(route).observe(seconds)

    def streams(self, count: int) -> None:
        """Tell how many boards are connected."""
        self._streams.set(count)

    def expose(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


class ViewCollector(Collector):
    """Figures from the view, made anew only when it has changed."""

    def __init__(self, view: View, *, routine_target: float) -> None:
        """Take the view; `routine_target` is the policy's."""
        self._view = view
        self._routine_target = routine_target
        self._lock = Lock()
        self._made: tuple[int, Sequence[Family]] = (-1, ())

    def describe(self) -> Iterable[Family]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        with self._lock:
            revision = self._view.revision
            if self._made[0] != revision:
                self._made = revision, list(self._families())
            return self._made[1]

    def _families(self) -> Iterator[Family]:
        date = self._judged_date()
        days = self._view.days(date) if date else []
        yield from self._parcels(row for row in days if row.granularity == "ENTERPRISE_CITY")
        yield from self._counties(row for row in days if row.granularity == "OUTLET")
        yield from self._events()
        yield from self._breaching(date)
        yield from self._names()
        if (as_of := self._view.as_of) is not None:
            yield _gauge(
                "realname_figures_timestamp_seconds", [((), instant_from_text(as_of) / 1000)]
            )
        if (received_ms := self._view.received_ms) is not None:
            yield _gauge("realname_view_received_timestamp_seconds", [((), received_ms / 1000)])

    def _judged_date(self) -> str | None:
        """Return the business day whose parcels have just matured."""
        rows = self._view.rates("REGION") or self._view.rates("CITY")
        return max((row.verdict.date for row in rows), default=None)

    def _parcels(self, rows: Iterable[DayRow]) -> Iterator[Family]:
        parts = [
            ((row.city_code or "", row.enterprise_id or "", category), part)
            for row in rows
            for category, part in msgspec.json.decode(row.record, type=_Parts).by_category.items()
        ]
        yield _gauge("realname_parcels_eligible", [(at, part.eligible) for at, part in parts])
        yield _gauge(
            "realname_parcels_mature",
            [(at, part.covered_on_time + part.covered_late + part.missing) for at, part in parts],
        )
        yield _gauge(
            "realname_parcels_covered",
            [(at, part.covered_on_time + part.covered_late) for at, part in parts],
        )
        yield _gauge(
            "realname_parcels_covered_on_time", [(at, part.covered_on_time) for at, part in parts]
        )

    def _counties(self, rows: Iterable[DayRow]) -> Iterator[Family]:
        mature: dict[Sequence[str], int] = defaultdict(int)
        covered: dict[Sequence[str], int] = defaultdict(int)
        for row in rows:
            mature[_county_of(row)] += row.mature
            covered[_county_of(row)] += row.covered
        yield _gauge("realname_county_parcels_mature", mature.items())
        yield _gauge("realname_county_parcels_covered", covered.items())

    def _events(self) -> Iterator[Family]:
        as_of = self._view.as_of
        at_ms = instant_from_text(as_of) if as_of is not None else None
        periods = [shown(period, at_ms) for period in self._view.reference.periods]
        yield _gauge(
            "realname_event_active",
            [((p.event_period_id, p.event_level), float(p.active)) for p in periods],
        )
        yield _gauge(
            "realname_rate_target_ratio",
            [
                (("routine", "*", "*"), self._routine_target),
                *(
                    ((p.event_period_id, t.granularity, t.parcel_category), t.target_rate)
                    for p in periods
                    if p.active
                    for t in p.targets
                ),
            ],
        )

    def _breaching(self, date: str | None) -> Iterator[Family]:
        rows = [
            row
            for row in self._view.rates("OUTLET")
            if row.status == "BREACH" and row.verdict.date == date
        ]
        counts: dict[Sequence[str], int] = defaultdict(int)
        for row in rows:
            counts[_county_of(row)] += 1
        worst = sorted(rows, key=lambda row: (-row.verdict.shortfall, row.scope_id))[:OUTLETS_MAX]
        yield _gauge("realname_outlets_breaching", counts.items())
        yield _gauge(
            "realname_outlet_breaching",
            [
                ((r.scope_id, r.county_code or "", r.city_code or "", r.enterprise_id or ""), 1)
                for r in worst
            ],
        )

    def _names(self) -> Iterator[Family]:
        names = self._view.names
        yield _gauge(
            "realname_city_info",
            [((code, name.zh, name.en), 1) for code, name in names.cities.items()],
        )
        yield _gauge(
            "realname_county_info",
            [
                ((code, names.city_of(code) or "", name.zh, name.en), 1)
                for code, name in names.counties.items()
            ],
        )
        yield _gauge(
            "realname_enterprise_info",
            [((code, name.zh, name.en), 1) for code, name in names.enterprises.items()],
        )


class FollowerCollector(Collector):
    """How far the view is behind its topics."""

    def __init__(self, view: View, follower: Followed) -> None:
        """Take whom to ask."""
        self._view = view
        self._follower = follower

    def describe(self) -> Iterable[Family]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        yield _gauge("realname_view_ready", [((), float(self._follower.ready))])
        yield _gauge("realname_view_invalid_records", [((), self._view.invalid)])
        yield _gauge("realname_view_lag_records", _by_topic(self._follower.lag))
        metric = _BY_NAME["realname_view_records_total"]
        records = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in _by_topic(self._follower.records):
            records.add_metric(labels, value)
        yield records


def _by_topic(values: Mapping[str, int]) -> Series:
    return [((topic,), value) for topic, value in values.items()]


def _county_of(row: RateRow | DayRow) -> Sequence[str]:
    return row.city_code or "", row.county_code or "", row.enterprise_id or ""


def _gauge(name: str, series: Series) -> Family:
    metric = _BY_NAME[name]
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in series:
        family.add_metric(labels, value)
    return family
