"""What panels ask: PromQL made from the catalogues of metrics, and lists of serve's JSON API.

Metrics of figures are shown alike by every replica of serve, so they are taken once before they are
added up: `once`. Metrics of workers are each worker's own, and are added up as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from deploy.grafana.source.model import Json, Text, Variable
from streams.gateway.metrics import CATALOGUE as GATEWAY
from streams.metrics import CATALOGUE as WORKER
from streams.serve.metrics import CATALOGUE as SERVE

PROMETHEUS: Final[Json] = {"type": "prometheus", "uid": "realname-prometheus"}
API: Final[Json] = {"type": "yesoreyeram-infinity-datasource", "uid": "realname-serve"}
"""As in `provisioning/datasources/realname.yml`."""

ALL_OUTLETS: Final = "20000"
"""Rows of a list at most: as many as the API gives."""

_METRICS: Final = {metric.name: metric for metric in (*WORKER, *SERVE, *GATEWAY)}


@dataclass(frozen=True, slots=True)
class Prom:
    """A PromQL query. `now` asks for the end of the time range only."""

    expr: str
    legend: str = ""
    now: bool = False

    @property
    def datasource(self) -> Json:
        """Prometheus."""
        return PROMETHEUS

    def target(self) -> Json:
        """Return its JSON."""
        return {
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": self.now,
            "range": not self.now,
            "format": "time_series",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a list.

    Attributes:
        at: Where its value is in a row of the answer, dots between the levels.
        title: Its heading.
        type: Of its values.
        look: Grafana's properties of the column: unit, width, mappings, links.

    """

    at: str
    title: Text
    type: Literal["string", "number", "timestamp"] = "string"
    look: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """By which links and overrides know it."""
        return self.at.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of serve's API: `path` with filters, of each row some columns."""

    path: str
    filters: Mapping[str, str]
    columns: Sequence[Column]

    @property
    def datasource(self) -> Json:
        """Serve, through the plugin Infinity."""
        return API

    def target(self) -> Json:
        """Return its JSON. The parser `backend` reads nested fields, and works in alerts too."""
        return {
            "type": "json",
            "source": "url",
            "parser": "backend",
            "format": "table",
            "url": self.path,
            "url_options": {
                "method": "GET",
                "data": "",
                "params": [{"key": key, "value": value} for key, value in self.filters.items()],
            },
            "root_selector": "items",
            "columns": [
                {"selector": column.at, "text": column.name, "type": column.type}
                for column in self.columns
            ],
            "filters": [],
        }


def once(name: str, **match: str) -> str:
    """Return a metric of figures, once for all replicas; KeyError for one that is in no catalogue."""
    labels = ", ".join(_METRICS[name].labels)
    return f"max by ({labels}) ({series(name, **match)})"


def series(name: str, **match: str) -> str:
    """Return the series of a metric whose labels match; KeyError for what is in no catalogue."""
    metric = _METRICS[name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")]
    assert set(match) <= set(metric.labels), f"{name} has no labels {sorted(match)}"
    return name + _matchers(match)


def _matchers(match: Mapping[str, str]) -> str:
    if not match:
        return ""
    return "{" + ", ".join(f'{label}="{value}"' for label, value in match.items()) + "}"


def total(name: str, by: str = "", **match: str) -> str:
    """Return the sum of a metric of figures, by labels."""
    return f"sum{_by(by)} ({once(name, **match)})"


def pooled(part: str, whole: str, by: str = "", **match: str) -> str:
    """Return a ratio of sums: never a mean of ratios. Nothing where the whole is nothing."""
    return f"{total(part, by, **match)} / ({total(whole, by, **match)} > 0)"


def cut(expr: str) -> str:
    """Return a rate cut to hundredths of a percent: rounding up would show a target as reached."""
    return f"floor(({expr}) * 1e4 + 1e-6) / 1e4"


def named(label: Literal["city", "county", "enterprise"], expr: str) -> str:
    """Give series by a code the names of its place, as labels."""
    names = f"max by ({label}, name_zh, name_en) (realname_{label}_info)"
    return f"({expr}) * on ({label}) group_left (name_zh, name_en) {names}"


NAMES: Final = "{{name_zh}} {{name_en}}"
"""Legend of what `named` gives."""


def per_second(name: str, by: str, **match: str) -> str:
    """Return how fast a counter grows, added up by labels."""
    return f"sum{_by(by)} (rate({series(name, **match)}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str) -> str:
    """Return a quantile of what was observed lately."""
    rates = f"sum by (le, {by}) (rate({series(histogram + '_bucket')}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rates})"


def or_zero(expr: str, label: str, like: str) -> str:
    """Show 0 for each label of `like` that `expr` lacks: a counter that never counted is not there."""
    return f"{expr} or on ({label}) 0 * {like}"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def place_variable(name: Literal["city", "enterprise"], label: Text, about: Text) -> Variable:
    """Return a variable with the codes of all cities or enterprises, shown by their names."""
    expr = f"query_result(max by ({name}, name_zh, name_en) (realname_{name}_info))"
    return Variable(
        name=name,
        label=label,
        about=about,
        datasource=PROMETHEUS,
        query={"qryType": 3, "query": expr, "refId": name},
        definition=expr,
        # Prometheus gives labels in order of their names.
        pattern=f'/{name}="(?<value>[^"]+)".*name_zh="(?<text>[^"]+)"/',
    )


def listed_variable(name: str, query: Listed, label: Text, about: Text) -> Variable:
    """Return a variable with the first column of a list."""
    return Variable(
        name=name,
        label=label,
        about=about,
        datasource=API,
        query={
            "queryType": "infinity",
            "refId": name,
            "infinityQuery": {"refId": name, "datasource": API, **query.target()},
        },
        definition=f"{query.path} {query.columns[0].at}",
    )
