"""Panels, columns and lines that several dashboards share."""

from collections.abc import Sequence
from typing import Final, Literal

from deploy.grafana.source.model import Json, Panel, Text, link
from deploy.grafana.source.panels import (
    PARCELS,
    RATE,
    SECONDS,
    SEVERITY,
    STATUS,
    bars,
    stat,
    steps,
    table,
    timeseries,
)
from deploy.grafana.source.queries import (
    ALL_OUTLETS,
    NAMES,
    PROMETHEUS,
    Column,
    Listed,
    Prom,
    cut,
    named,
    once,
    pooled,
    total,
)

COVERED: Final = "realname_parcels_covered"
MATURE: Final = "realname_parcels_mature"
COUNTY_COVERED: Final = "realname_county_parcels_covered"
COUNTY_MATURE: Final = "realname_county_parcels_mature"

TODAY: Final = Text(
    "口径：正在判定的营业日，宽限期已过的包裹。",
    "Of parcels whose grace has run out, on the business day that is being judged.",
)

NONE: Final = Text("无", "None")
"""Instead of "No data", where having none is good."""

TO_OUTLET: Final = Text("查看网点", "Show the outlet")

_TO_CITY: Final = Text("查看城市", "Show the city")
_TO_ENTERPRISE: Final = Text("查看企业", "Show the enterprise")


def to_city(column: str) -> Json:
    """Return the link of a list to the city that a column names."""
    return link(_TO_CITY, "realname-city", {"city": f"${{__data.fields.{column}}}"})


Label = Literal["city", "county", "enterprise"]
_BY_SERIES: Final[dict[Label, Sequence[Json]]] = {
    "city": [link(_TO_CITY, "realname-city", {"city": "${__field.labels.city}"})],
    "county": [],
    "enterprise": [
        link(
            _TO_ENTERPRISE,
            "realname-enterprise",
            {"enterprise": "${__field.labels.enterprise}"},
        )
    ],
}
"""Links of bars: a county is on its city's dashboard."""

EVENTS: Final[Json] = {
    "name": Text("重大活动期", "Event periods").line,
    "datasource": PROMETHEUS,
    "enable": True,
    "hide": False,
    "iconColor": "purple",
    "target": {"refId": "Anno", "expr": once("realname_event_active"), "interval": "60s"},
    "titleFormat": "{{event}}",
    "textFormat": "{{level}}",
    "tagKeys": "level",
    "useValueForTime": False,
}
"""Shades the time during which an event period holds."""

Granularity = Literal["REGION", "CITY", "COUNTY", "ENTERPRISE"]


def targets(granularity: Granularity) -> Prom:
    """Ask what each active event period demands of such a scope, and what is demanded outside them."""
    found = f'realname_rate_target_ratio{{granularity=~"{granularity}|[*]", category="*"}}'
    return Prom(f"max by (event) ({found})", "目标 Target {{event}}")


def against_target(rate: Prom, granularity: Granularity, *, width: int = 12) -> Panel:
    """Return a rate's course with the targets."""
    return timeseries(
        Text("实名率与目标", "Rate and targets"),
        Text(
            "虚线为各活动期对该层级的目标；routine 为平日目标。限定寄达地的活动期只约束寄往该地的包裹。",
            "Dashed: what each event period demands of this level; `routine` holds outside them. A "
            "period with destinations demands it of the parcels to there only.",
        ),
        rate,
        targets(granularity),
        unit=RATE,
        width=width,
        targets="B",
    )


def headline(rate: str, **match: str) -> list[Panel]:
    """Return the figures that stand at the top: rate, share in time, parcels that are missing."""
    missing = f"{total(MATURE, **match)} - {total(COVERED, **match)}"
    return [
        stat(Text("实名率", "Rate"), TODAY, Prom(cut(rate)), unit=RATE),
        stat(
            Text("及时率", "In time"),
            Text(
                "宽限期内完成实名的包裹占比。",
                "Share of the parcels that were covered within their grace.",
            ),
            Prom(cut(pooled("realname_parcels_covered_on_time", MATURE, **match))),
            unit=RATE,
        ),
        stat(
            Text("未实名", "Missing"),
            Text(
                "宽限期已过仍未实名的包裹数。", "Parcels whose grace has run out without coverage."
            ),
            Prom(missing),
            unit=PARCELS,
        ),
        stat(
            Text("应实名", "Base"),
            Text(
                "当日纳入口径的全部包裹数，含宽限期内的。",
                "All parcels of the base that day, young ones too.",
            ),
            Prom(total("realname_parcels_eligible", **match)),
            unit=PARCELS,
        ),
    ]


def breaching(**match: str) -> Panel:
    """Return how many outlets are in breach."""
    return stat(
        Text("未达标网点", "Outlets in breach"),
        Text(
            "判定为未达标的网点数，样本不足的不判。",
            "Outlets whose verdict is a breach; those with too few parcels are not judged.",
        ),
        # Where none is in breach the metric has no series.
        Prom(f"{total('realname_outlets_breaching', **match)} or vector(0)"),
        unit=PARCELS,
        field=steps((None, "text"), (1, "orange")),
    )


def age() -> Panel:
    """Return how old the figures are."""
    return stat(
        Text("数据时延", "Age of the figures"),
        Text(
            "最新数据的流时间距现在多久；回放旧数据时无意义。",
            "How far the newest figures' stream time lies back; meaningless for replayed data.",
        ),
        Prom(f"time() - {once('realname_figures_timestamp_seconds')}"),
        unit=SECONDS,
        field=steps((None, "text"), (300, "orange")),
    )


_SCOPE: Final = Text("编码", "Id")
_PERCENT: Final = {"unit": RATE, "decimals": 2}


def verdicts(granularity: str, *, links: list[Json] | None = None, **filters: str) -> Listed:
    """Ask for rates now with their verdicts."""
    status = {"mappings": [STATUS], "custom.cellOptions": {"type": "color-text"}}
    return Listed(
        "/api/v1/rates",
        {"granularity": granularity, "limit": ALL_OUTLETS, **filters},
        [
            Column(at="scope_id", title=_SCOPE, look={"links": links or []}),
            Column(at="name_zh", title=Text("名称", "Name")),
            Column(at="name_en", title=Text("英文名称", "Name in English")),
            Column(at="verdict.rate_status", title=Text("判定", "Verdict"), look=status),
            Column(at="verdict.rate", title=Text("实名率", "Rate"), type="number", look=_PERCENT),
            Column(at="verdict.target", title=Text("目标", "Target"), type="number", look=_PERCENT),
            Column(at="verdict.n", title=Text("样本", "Parcels judged"), type="number"),
            Column(at="today.missing", title=Text("未实名", "Missing"), type="number"),
            Column(at="today.pending", title=Text("待实名", "Pending"), type="number"),
            Column(at="verdict.event_period_id", title=Text("活动期", "Event period")),
            Column(at="city_code", title=Text("城市", "City")),
            Column(at="as_of", title=Text("数据时刻", "As of")),
        ],
    )


def alerts(**filters: str) -> Listed:
    """Ask for alerts."""
    severity = {"mappings": [SEVERITY], "custom.cellOptions": {"type": "color-text"}}
    return Listed(
        "/api/v1/alerts",
        {"limit": "500", **filters},
        [
            Column(at="severity", title=Text("级别", "Severity"), look=severity),
            Column(at="alert_kind", title=Text("种类", "Kind")),
            Column(at="scope_id", title=_SCOPE, look={"links": [to_city("city_code")]}),
            Column(at="name_zh", title=Text("名称", "Name")),
            Column(at="name_en", title=Text("英文名称", "Name in English")),
            Column(at="state", title=Text("状态", "State")),
            Column(at="observed", title=Text("实名率", "Observed"), type="number", look=_PERCENT),
            Column(at="target", title=Text("目标", "Target"), type="number", look=_PERCENT),
            Column(at="first_at", title=Text("首次", "Raised")),
            Column(at="last_at", title=Text("最近", "Last change")),
            Column(at="acked_by", title=Text("认领", "Acknowledged by")),
            Column(at="city_code", title=Text("城市", "City")),
        ],
    )


def alert_list(about: Text, *, width: int = 24, **filters: str) -> Panel:
    """Return the open alerts, the latest first."""
    return table(
        Text("未结告警", "Open alerts"),
        about,
        alerts(status="open", **filters),
        width=width,
        sort="first_at",
        descending=True,
        paged=True,
    )


def breach_list(city: str, /, **filters: str) -> Panel:
    """Return the outlets in breach; `city` is the value of the variable in a link to one of them."""
    variables = {"city": city, "outlet": "${__data.fields.scope_id}"}
    to_outlet = link(TO_OUTLET, "realname-outlet", variables)
    return table(
        Text("未达标网点", "Outlets in breach"),
        Text("点选编码进入网点看板。", "Select an id to see the outlet's dashboard."),
        verdicts("OUTLET", status="BREACH", links=[to_outlet], **filters),
        sort="verdict_rate",
        paged=True,
    )


def ranking(title: Text, about: Text, label: Label, rate: str, *, width: int = 6) -> Panel:
    """Return rates by place, the lowest first, with links to the places."""
    return bars(
        title,
        about,
        Prom(f"sort({cut(named(label, rate))})", NAMES, now=True),
        unit=RATE,
        width=width,
        links=_BY_SERIES[label],
        field={"max": 1},
    )


def by_category(**match: str) -> Panel:
    """Return rates by category, the lowest first."""
    return bars(
        Text("按类别", "By category"),
        Text("散件与各类协议件。", "Loose parcels and those under agreements."),
        Prom(
            f"sort({cut(pooled(COVERED, MATURE, 'category', **match))})", "{{category}}", now=True
        ),
        unit=RATE,
        width=6,
        field={"max": 1},
    )


def breaches(title: Text, label: Label, *, width: int = 6, **match: str) -> Panel:
    """Return the number of outlets in breach by place, the most first."""
    count = named(label, total("realname_outlets_breaching", label, **match))
    return bars(
        title,
        Text("判定为未达标的网点数。", "Outlets whose verdict is a breach."),
        Prom(f"sort_desc({count})", NAMES, now=True),
        unit=PARCELS,
        width=width,
        links=_BY_SERIES[label],
        field={"noValue": NONE.line},
    )


def course(title: Text, label: Label, rate: str) -> Panel:
    """Return rates by place over time."""
    return timeseries(
        title,
        Text(
            "同一营业日内累计，过零点换日。", "Of one business day so far; it changes at midnight."
        ),
        Prom(named(label, rate), NAMES),
        unit=RATE,
    )
