"""Kinds of panels, each with what all of its kind have in common.

Colour is kept for verdicts: figures themselves are not red or green, since what is demanded of them
differs by place, category and day.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.grafana.source.model import Json, Panel, Query, Text
from deploy.grafana.source.queries import Column, Listed

RATE: Final = "percentunit"
PARCELS: Final = "locale"
COUNT: Final = "locale"
SECONDS: Final = "s"

_LAST: Final[Json] = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_PLAIN: Final[Json] = {"color": {"mode": "fixed", "fixedColor": "text"}}
_CLASSIC: Final[Json] = {"color": {"mode": "palette-classic"}}
_NO_LEGEND: Final[Json] = {
    "showLegend": False,
    "displayMode": "list",
    "placement": "bottom",
    "calcs": [],
}

# Told apart by people who do not see red and green, too; the words are always there as well.
GOOD, POOR, BAD, NEUTRAL = "blue", "yellow", "orange", "text"


def _words(*rows: tuple[str, str, str]) -> Json:
    """Return a mapping of values to words and colours."""
    options = {
        value: {"index": index, "text": text, "color": colour}
        for index, (value, text, colour) in enumerate(rows)
    }
    return {"type": "value", "options": options}


STATUS: Final = _words(
    ("OK", "达标 OK", GOOD),
    ("AT_RISK", "有风险 At risk", POOR),
    ("BREACH", "未达标 Breach", BAD),
    ("INSUFFICIENT", "样本不足 Too few", NEUTRAL),
    ("UNKNOWN", "无法判定 Unknown", NEUTRAL),
)
"""A verdict in words."""

SEVERITY: Final = _words(
    ("CRITICAL", "紧急 Critical", BAD),
    ("MAJOR", "重要 Major", BAD),
    ("MINOR", "一般 Minor", POOR),
    ("INFO", "提示 Info", NEUTRAL),
)


def switch(off: Text, on: Text, *, bad: bool = True) -> Json:
    """Return the words for 0 and 1."""
    return _words(
        ("0", f"{off.zh} {off.en}", GOOD if bad else NEUTRAL),
        ("1", f"{on.zh} {on.en}", BAD if bad else GOOD),
    )


def steps(*pairs: tuple[float | None, str]) -> Json:
    """Colour values by thresholds: from each number on, that colour; None is the least."""
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in pairs],
        },
    }


def stat(
    title: Text,
    about: Text,
    *queries: Query,
    unit: str,
    width: int = 4,
    field: Json | None = None,
    graph: bool = True,
) -> Panel:
    """Return a large figure for each series, by default with its course behind it."""
    return Panel(
        kind="stat",
        title=title,
        about=about,
        unit=unit,
        queries=queries,
        width=width,
        field={**_decimals(unit), **_PLAIN, **(field or {})},
        options={
            "reduceOptions": _LAST,
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "colorMode": "value",
            "graphMode": "area" if graph else "none",
            "justifyMode": "auto",
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
        },
    )


def timeseries(
    title: Text,
    about: Text,
    *queries: Query,
    unit: str,
    width: int = 12,
    field: Json | None = None,
    targets: str = "",
) -> Panel:
    """Return curves. Those of the query with the id `targets` are drawn as dashed lines."""
    return Panel(
        kind="timeseries",
        title=title,
        about=about,
        unit=unit,
        queries=queries,
        width=width,
        field={
            **_decimals(unit),
            **_CLASSIC,
            "custom": {
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": 0,
                "showPoints": "auto",
                "spanNulls": False,
            },
            **(field or {}),
        },
        overrides=[_dashed(targets)] if targets else [],
        options={
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "min", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "asc"},
        },
    )


def _dashed(ref: str) -> Json:
    return {
        "matcher": {"id": "byFrameRefID", "options": ref},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
            {"id": "custom.lineWidth", "value": 2},
        ],
    }


def bars(
    title: Text,
    about: Text,
    query: Query,
    *,
    unit: str,
    width: int = 8,
    links: Sequence[Json] = (),
    field: Json | None = None,
) -> Panel:
    """Return a bar for each series, in the order that the query gives."""
    return Panel(
        kind="bargauge",
        title=title,
        about=about,
        unit=unit,
        queries=[query],
        width=width,
        field={
            **_decimals(unit),
            "color": {"mode": "fixed", "fixedColor": "blue"},
            "links": list(links),
            "min": 0,
            **(field or {}),
        },
        options={
            "reduceOptions": _LAST,
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "text",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
            "maxVizHeight": 28,
            "legend": _NO_LEGEND,
        },
    )


def table(
    title: Text,
    about: Text,
    query: Listed,
    *,
    width: int = 24,
    sort: str = "",
    descending: bool = False,
    paged: bool = False,
) -> Panel:
    """Return a list of the API, sorted by the column named `sort`; its readers may filter it."""
    by = {column.name: column.title.line for column in query.columns}
    return Panel(
        kind="table",
        title=title,
        about=about,
        unit="none",
        queries=[query],
        width=width,
        field={
            "custom": {
                "align": "auto",
                "cellOptions": {"type": "auto"},
                "filterable": True,
                "inspect": False,
            },
            "noValue": "–",
        },
        overrides=[_column(column) for column in query.columns],
        options={
            "frameIndex": 0,
            "showHeader": True,
            "cellHeight": "sm",
            "enablePagination": paged,
            "sortBy": [{"displayName": by[sort], "desc": descending}] if sort else [],
        },
    )


def _column(column: Column) -> Json:
    look: Mapping[str, object] = {"displayName": column.title.line, **column.look}
    return {
        "matcher": {"id": "byName", "options": column.name},
        "properties": [{"id": name, "value": value} for name, value in look.items()],
    }


def timeline(
    title: Text,
    about: Text,
    query: Query,
    *,
    mappings: Sequence[Json],
    width: int = 24,
    links: Sequence[Json] = (),
    per_page: int = 20,
) -> Panel:
    """Return the states of each series over time, in the words of the mappings."""
    return Panel(
        kind="state-timeline",
        title=title,
        about=about,
        unit="none",
        queries=[query],
        width=width,
        field={
            "color": {"mode": "thresholds"},
            "thresholds": {"mode": "absolute", "steps": [{"value": None, "color": NEUTRAL}]},
            "mappings": list(mappings),
            "links": list(links),
            "custom": {"fillOpacity": 80, "lineWidth": 0},
        },
        overrides=[_column(column) for column in query.columns]
        if isinstance(query, Listed)
        else [],
        options={
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.85,
            "perPage": per_page,
            "legend": _NO_LEGEND,
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def _decimals(unit: str) -> Json:
    return {"decimals": 2} if unit == RATE else {}
