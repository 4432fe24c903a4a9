"""The region: is the target held, where is it not, and what is being done about it."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text
from deploy.grafana.source.panels import (
    COUNT,
    RATE,
    stat,
    steps,
    switch,
    table,
    timeline,
    timeseries,
)
from deploy.grafana.source.parts import (
    EVENTS,
    NONE,
    against_target,
    age,
    alert_list,
    breaches,
    breaching,
    course,
    headline,
    ranking,
    to_city,
    verdicts,
)
from deploy.grafana.source.queries import Prom, once

RATE_NOW: Final = "region:realname_parcels_covered_per_mature:ratio"
CITIES: Final = "city:realname_parcels_covered_per_mature:ratio"
ENTERPRISES: Final = "enterprise:realname_parcels_covered_per_mature:ratio"

_STRICTEST: Final = 'max(realname_rate_target_ratio{granularity=~"REGION|[*]", category="*"})'

_OVERVIEW: Final = Row(
    Text("总览", "Overview"),
    5,
    [
        *headline(RATE_NOW),
        stat(
            Text("与目标之差", "Margin to the target"),
            Text(
                "全区实名率减去当前最严目标；为负即未达标。",
                "The region's rate less the strictest target that holds for it now; below zero is short "
                "of it.",
            ),
            Prom(f"{RATE_NOW} - on () {_STRICTEST}"),
            unit=RATE,
            field=steps((None, "orange"), (0, "blue")),
        ),
        breaching(),
        stat(
            Text("未结告警", "Open alerts"),
            Text("触发中或恢复确认中的告警数。", "Alerts that are firing or clearing."),
            Prom("sum(realname_alerts_active) or vector(0)"),
            unit=COUNT,
            field=steps((None, "text"), (1, "orange")),
        ),
        age(),
    ],
)

_COURSE: Final = Row(
    Text("走势", "Course"),
    10,
    [
        against_target(Prom(RATE_NOW, "实名率 Rate"), "REGION"),
        course(Text("各城市实名率", "Rates of the cities"), "city", CITIES),
        timeline(
            Text("重大活动期", "Event periods"),
            Text("各活动期是否生效。", "Whether each event period holds."),
            Prom(once("realname_event_active"), "{{event}} {{level}}"),
            mappings=[switch(Text("未生效", "Off"), Text("生效", "On"), bad=False)],
        ),
    ],
)

_PLACES: Final = Row(
    Text("城市与企业", "Cities and enterprises"),
    12,
    [
        ranking(
            Text("城市排名", "Cities, the lowest first"),
            Text("点选进入城市看板。", "Select one to see its dashboard."),
            "city",
            CITIES,
            width=8,
        ),
        ranking(
            Text("企业排名", "Enterprises, the lowest first"),
            Text("点选进入企业看板。", "Select one to see its dashboard."),
            "enterprise",
            ENTERPRISES,
            width=8,
        ),
        breaches(Text("未达标网点所在城市", "Outlets in breach by city"), "city", width=8),
        table(
            Text("城市判定", "Verdicts of the cities"),
            Text(
                "每个城市当前的判定及其依据的目标。",
                "Each city's verdict now, and the target that decided it.",
            ),
            verdicts("CITY", links=[to_city("scope_id")]),
            sort="verdict_rate",
        ),
    ],
)

_ALERTS: Final = Row(
    Text("告警", "Alerts"),
    11,
    [
        alert_list(
            Text(
                "触发中或恢复确认中的告警，含认领人。",
                "Alerts that are firing or clearing, and who has taken them on.",
            ),
            width=16,
        ),
        timeseries(
            Text("未结告警数", "Open alerts over time"),
            Text("按种类与级别。", "By kind and severity."),
            Prom("sum by (kind, severity) (realname_alerts_active)", "{{kind}} {{severity}}"),
            unit=COUNT,
            width=8,
            field={"noValue": NONE.line},
        ),
    ],
)

REGION: Final = Dashboard(
    uid="realname-region",
    title=Text("全区实名率", "Region"),
    about=Text(
        "全区实名收寄率与目标、各城市、活动期和告警。",
        "The region's real-name rate against its target, cities, event periods and alerts.",
    ),
    rows=[_OVERVIEW, _COURSE, _PLACES, _ALERTS],
    annotations=[EVENTS],
)
