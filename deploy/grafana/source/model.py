"""Grafana's dashboard model, as far as these dashboards use it, and its JSON.

The JSON is of the classic schema, which every Grafana from 11 on reads and 13 carries over by itself.
Titles say a thing in Chinese and in English, since Grafana has no translations of a dashboard.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Protocol

Json = dict[str, Any]

GRAFANA_VERSION: Final = "13.2.3"
SCHEMA_VERSION: Final = 42
COLUMNS: Final = 24
"""A row of panels is so many units wide."""

TAG: Final = "realname"
"""Every dashboard carries it, and links to all others that do."""


@dataclass(frozen=True, slots=True)
class Text:
    """What people read, in both languages."""

    zh: str
    en: str

    @property
    def line(self) -> str:
        """Both on one line, for a title."""
        return f"{self.zh} · {self.en}"

    @property
    def paragraphs(self) -> str:
        """Both below one another, for a description."""
        return f"{self.zh}\n\n{self.en}"


class Query(Protocol):
    """What a panel asks a data source for."""

    @property
    def datasource(self) -> Json:
        """Whom it asks."""
        ...

    def target(self) -> Json:
        """Return its JSON, without `refId` and `datasource`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        kind: Grafana's name of its visualization.
        unit: Grafana's name of the unit of its values.
        queries: At least one, all of one data source. They get the ids A, B, C in this order.
        width: Of COLUMNS units.
        options: Of the visualization.
        field: Of every value: bounds, colours, mappings, links, and `custom` of the visualization.
        overrides: Of some values.
        transformations: What is done to the answers first.

    """

    kind: str
    title: Text
    about: Text
    unit: str
    queries: Sequence[Query]
    width: int
    options: Json
    field: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()

    def json(self, number: int, place: Json) -> Json:
        """Return it as the panel `number` at a place."""
        datasource = self.queries[0].datasource
        return {
            "id": number,
            "type": self.kind,
            "title": self.title.line,
            "description": self.about.paragraphs,
            "datasource": datasource,
            "gridPos": place,
            "pluginVersion": GRAFANA_VERSION,
            "targets": [
                {"refId": ref, "datasource": query.datasource, **query.target()}
                for ref, query in zip("ABCDEFGH", self.queries, strict=False)
            ],
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self.field},
                "overrides": list(self.overrides),
            },
            "options": self.options,
            "transformations": list(self.transformations),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under a heading; those that do not fit go to the next line."""

    title: Text
    height: int
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What the reader chooses: one value out of those that a query finds, the first by default.

    Attributes:
        name: Queries and links write it `$name`.
        query: What the data source's editor of variables would save.
        definition: The same in a line, for people.
        pattern: Takes value and text out of what is found; empty takes it as it is.

    """

    name: str
    label: Text
    about: Text
    datasource: Json
    query: Json
    definition: str
    pattern: str = ""

    def json(self) -> Json:
        """Return its JSON."""
        return {
            "type": "query",
            "name": self.name,
            "label": self.label.line,
            "description": self.about.paragraphs,
            "datasource": self.datasource,
            "query": self.query,
            "definition": self.definition,
            "regex": self.pattern,
            "refresh": 2,  # When the time range changes, not only when the dashboard is opened.
            "sort": 0,
            "multi": False,
            "includeAll": False,
            "hide": 0,
            "options": [],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard. Its file and its address are named by `uid`, which stays for ever."""

    uid: str
    title: Text
    about: Text
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    annotations: Sequence[Json] = ()
    since: str = "now-24h"

    def json(self) -> Json:
        """Return what Grafana is provisioned with."""
        return {
            "uid": self.uid,
            "title": self.title.line,
            "description": self.about.paragraphs,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,  # A change belongs here, where it is reviewed.
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": self.since, "to": "now"},
            "timezone": "Asia/Shanghai",  # The business day's.
            "weekStart": "monday",
            "links": [_LINKS],
            "templating": {"list": [variable.json() for variable in self.variables]},
            "annotations": {"list": list(self.annotations)},
            "panels": list(_laid_out(self.rows)),
        }


_LINKS: Final[Json] = {
    "type": "dashboards",
    "title": Text("各看板", "Dashboards").line,
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
    "icon": "dashboard",
    "tooltip": "",
    "url": "",
}


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Number the panels and give each its place, row below row."""
    numbers = count(1)
    y = 0
    for row in rows:
        yield {
            "id": next(numbers),
            "type": "row",
            "title": row.title.line,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + row.height
            yield panel.json(next(numbers), {"x": x, "y": y, "w": panel.width, "h": row.height})
            x += panel.width
        y += row.height


def link(title: Text, uid: str, variables: Mapping[str, str]) -> Json:
    """Return a link from a value to a dashboard, with its variables set, at the same times."""
    query = "&".join(f"var-{name}={value}" for name, value in variables.items())
    return {
        "title": title.line,
        "url": f"/d/{uid}?{query}&${{__url_time_range}}",
        "targetBlank": False,
    }
