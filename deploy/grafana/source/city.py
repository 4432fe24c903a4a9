"""One city with its counties: where inside it the rate is lost."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text, link
from deploy.grafana.source.panels import COUNT, RATE, bars, table, timeseries
from deploy.grafana.source.parts import (
    COUNTY_COVERED,
    COUNTY_MATURE,
    COVERED,
    EVENTS,
    MATURE,
    TO_ENTERPRISE,
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

_RATE: Final = pooled(COVERED, MATURE, city="$city")
_COUNTIES: Final = named("county", pooled(COUNTY_COVERED, COUNTY_MATURE, "county", city="$city"))
_TO_ENTERPRISE: Final = link(
    TO_ENTERPRISE, "realname-enterprise", {"enterprise": "${__field.labels.enterprise}"}
)
_TO_OUTLET: Final = link(
    TO_OUTLET, "realname-outlet", {"city": "$city", "outlet": "${__data.fields.scope_id}"}
)

CITY: Final = Dashboard(
    uid="realname-city",
    title=Text("城市与区县", "City and counties"),
    about=Text(
        "一个城市及其区县、企业和类别的实名率，以及未达标的网点。",
        "One city: the rates of its counties, enterprises and categories, and its outlets in breach.",
    ),
    variables=[
        place_variable("city", Text("城市", "City"), Text("要看的城市。", "The city to show.")),
    ],
    annotations=[EVENTS],
    rows=[
        Row(
            Text("总览", "Overview"),
            5,
            [*headline(_RATE, city="$city"), breaching(city="$city"), age()],
        ),
        Row(
            Text("判定", "Verdict"),
            4,
            [
                table(
                    Text("城市判定", "Verdict of the city"),
                    Text(
                        "当前判定及其依据的目标；目标可能只针对某一类别。",
                        "The verdict now and the target that decided it, which may be of one category "
                        "only.",
                    ),
                    verdicts("CITY", id="$city"),
                ),
            ],
        ),
        Row(
            Text("走势", "Course"),
            10,
            [
                against_target(Prom(_RATE, "实名率 Rate"), "CITY"),
                timeseries(
                    Text("各区县实名率", "Rates of the counties"),
                    Text("同一营业日内累计。", "Of one business day so far."),
                    Prom(_COUNTIES, NAMES),
                    unit=RATE,
                ),
            ],
        ),
        Row(
            Text("区县、企业、类别", "Counties, enterprises, categories"),
            11,
            [
                bars(
                    Text("区县排名", "Counties, the lowest first"),
                    Text("按实名率。", "By their rates."),
                    Prom(f"sort({cut(_COUNTIES)})", NAMES, now=True),
                    unit=RATE,
                    width=6,
                    field={"max": 1},
                ),
                bars(
                    Text("企业排名", "Enterprises, the lowest first"),
                    Text("在本市的实名率。", "Their rates in this city."),
                    Prom(
                        "sort("
                        + cut(
                            named(
                                "enterprise",
                                pooled(COVERED, MATURE, "enterprise", city="$city"),
                            )
                        )
                        + ")",
                        NAMES,
                        now=True,
                    ),
                    unit=RATE,
                    width=6,
                    links=[_TO_ENTERPRISE],
                    field={"max": 1},
                ),
                bars(
                    Text("按类别", "By category"),
                    Text("散件与各类协议件。", "Loose parcels and those under agreements."),
                    Prom(
                        f"sort({cut(pooled(COVERED, MATURE, 'category', city='$city'))})",
                        "{{category}}",
                        now=True,
                    ),
                    unit=RATE,
                    width=6,
                    field={"max": 1},
                ),
                bars(
                    Text("区县未达标网点", "Outlets in breach by county"),
                    Text("判定为未达标的网点数。", "Outlets whose verdict is a breach."),
                    Prom(
                        "sort_desc("
                        + named(
                            "county",
                            "sum by (county) ("
                            + once("realname_outlets_breaching", city="$city")
                            + ")",
                        )
                        + ")",
                        NAMES,
                        now=True,
                    ),
                    unit=COUNT,
                    width=6,
                ),
            ],
        ),
        Row(
            Text("网点与告警", "Outlets and alerts"),
            11,
            [
                table(
                    Text("区县判定", "Verdicts of the counties"),
                    Text("每个区县当前的判定。", "Each county's verdict now."),
                    verdicts("COUNTY", city="$city"),
                    sort="verdict_rate",
                ),
                table(
                    Text("未达标网点", "Outlets in breach"),
                    Text("点选编码进入网点看板。", "Select an id to see the outlet's dashboard."),
                    verdicts("OUTLET", status="BREACH", city="$city", links=[_TO_OUTLET]),
                    sort="verdict_rate",
                    paged=True,
                ),
                table(
                    Text("未结告警", "Open alerts"),
                    Text("本市各层级的告警。", "Alerts of every level in this city."),
                    open_alerts(status="open", city="$city"),
                    sort="first_at",
                    descending=True,
                    paged=True,
                ),
            ],
        ),
    ],
)
