"""One enterprise: in which cities and categories it falls short, and all enterprises beside it."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text, link
from deploy.grafana.source.panels import COUNT, RATE, bars, table, timeseries
from deploy.grafana.source.parts import (
    COVERED,
    EVENTS,
    MATURE,
    TO_CITY,
    TO_OUTLET,
    against_target,
    age,
    breaching,
    headline,
    open_alerts,
    verdicts,
)
from deploy.grafana.source.queries import (
    NAMES,
    Prom,
    cut,
    named,
    once,
    place_variable,
    pooled,
)

_RATE: Final = pooled(COVERED, MATURE, enterprise="$enterprise")
_CITIES: Final = named("city", pooled(COVERED, MATURE, "city", enterprise="$enterprise"))
_TO_CITY: Final = link(TO_CITY, "realname-city", {"city": "${__field.labels.city}"})
_TO_OUTLET: Final = link(
    TO_OUTLET,
    "realname-outlet",
    {"city": "${__data.fields.city_code}", "outlet": "${__data.fields.scope_id}"},
)

ENTERPRISE: Final = Dashboard(
    uid="realname-enterprise",
    title=Text("企业实名率", "Enterprise"),
    about=Text(
        "一家企业在各城市、各类别的实名率，未达标网点和告警，以及各企业的比较。",
        "One enterprise: its rates by city and category, its outlets in breach and alerts, and all "
        "enterprises compared.",
    ),
    variables=[
        place_variable(
            "enterprise",
            Text("企业", "Enterprise"),
            Text("要看的企业。", "The enterprise to show."),
        ),
    ],
    annotations=[EVENTS],
    rows=[
        Row(
            Text("总览", "Overview"),
            5,
            [
                *headline(_RATE, enterprise="$enterprise"),
                breaching(enterprise="$enterprise"),
                age(),
            ],
        ),
        Row(
            Text("走势", "Course"),
            10,
            [
                against_target(Prom(_RATE, "实名率 Rate"), "ENTERPRISE"),
                timeseries(
                    Text("在各城市的实名率", "Rates in the cities"),
                    Text("同一营业日内累计。", "Of one business day so far."),
                    Prom(_CITIES, NAMES),
                    unit=RATE,
                ),
            ],
        ),
        Row(
            Text("城市、类别、同行", "Cities, categories, others"),
            11,
            [
                bars(
                    Text("城市排名", "Cities, the lowest first"),
                    Text("该企业在各城市的实名率。", "The enterprise's rates in the cities."),
                    Prom(f"sort({cut(_CITIES)})", NAMES, now=True),
                    unit=RATE,
                    width=6,
                    links=[_TO_CITY],
                    field={"max": 1},
                ),
                bars(
                    Text("按类别", "By category"),
                    Text("散件与各类协议件。", "Loose parcels and those under agreements."),
                    Prom(
                        "sort("
                        + cut(pooled(COVERED, MATURE, "category", enterprise="$enterprise"))
                        + ")",
                        "{{category}}",
                        now=True,
                    ),
                    unit=RATE,
                    width=6,
                    field={"max": 1},
                ),
                bars(
                    Text("未达标网点所在城市", "Cities of the outlets in breach"),
                    Text("判定为未达标的网点数。", "Outlets whose verdict is a breach."),
                    Prom(
                        "sort_desc("
                        + named(
                            "city",
                            "sum by (city) ("
                            + once("realname_outlets_breaching", enterprise="$enterprise")
                            + ")",
                        )
                        + ")",
                        NAMES,
                        now=True,
                    ),
                    unit=COUNT,
                    width=6,
                    links=[_TO_CITY],
                ),
                bars(
                    Text("全部企业", "All enterprises"),
                    Text(
                        "全区实名率，最低者在前。", "Their rates in the region, the lowest first."
                    ),
                    Prom(
                        "sort("
                        + cut(
                            named(
                                "enterprise",
                                "enterprise:realname_parcels_covered_per_mature:ratio",
                            )
                        )
                        + ")",
                        NAMES,
                        now=True,
                    ),
                    unit=RATE,
                    width=6,
                    field={"max": 1},
                ),
            ],
        ),
        Row(
            Text("判定与告警", "Verdicts and alerts"),
            11,
            [
                table(
                    Text("企业判定", "Verdicts of the enterprises"),
                    Text(
                        "各企业在全区的当前判定。", "Each enterprise's verdict in the region now."
                    ),
                    verdicts("ENTERPRISE"),
                    sort="verdict_rate",
                ),
                table(
                    Text("未达标网点", "Outlets in breach"),
                    Text("点选编码进入网点看板。", "Select an id to see the outlet's dashboard."),
                    verdicts(
                        "OUTLET", status="BREACH", enterprise="$enterprise", links=[_TO_OUTLET]
                    ),
                    sort="verdict_rate",
                    paged=True,
                ),
                table(
                    Text("未结告警", "Open alerts"),
                    Text("该企业各层级的告警。", "Alerts of every level of this enterprise."),
                    open_alerts(status="open", enterprise="$enterprise"),
                    sort="first_at",
                    descending=True,
                    paged=True,
                ),
            ],
        ),
    ],
)
