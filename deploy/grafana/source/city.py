"""One city with its counties: where inside it the rate is lost."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text
from deploy.grafana.source.panels import table
from deploy.grafana.source.parts import (
    COUNTY_COVERED,
    COUNTY_MATURE,
    COVERED,
    EVENTS,
    MATURE,
    against_target,
    age,
    alert_list,
    breach_list,
    breaches,
    breaching,
    by_category,
    course,
    headline,
    ranking,
    verdicts,
)
from deploy.grafana.source.queries import Prom, place_variable, pooled

_RATE: Final = pooled(COVERED, MATURE, city="$city")
_COUNTIES: Final = pooled(COUNTY_COVERED, COUNTY_MATURE, "county", city="$city")
_ENTERPRISES: Final = pooled(COVERED, MATURE, "enterprise", city="$city")

_OVERVIEW: Final = Row(
    Text("总览", "Overview"),
    5,
    [*headline(_RATE, city="$city"), breaching(city="$city"), age()],
)

_VERDICT: Final = Row(
    Text("判定", "Verdict"),
    4,
    [
        table(
            Text("城市判定", "Verdict of the city"),
            Text(
                "当前判定及其依据的目标；目标可能只针对某一类别。",
                "The verdict now and the target that decided it, which may be of one category only.",
            ),
            verdicts("CITY", id="$city"),
        ),
    ],
)

_COURSE: Final = Row(
    Text("走势", "Course"),
    10,
    [
        against_target(Prom(_RATE, "实名率 Rate"), "CITY"),
        course(Text("各区县实名率", "Rates of the counties"), "county", _COUNTIES),
    ],
)

_PARTS: Final = Row(
    Text("区县、企业、类别", "Counties, enterprises, categories"),
    11,
    [
        ranking(
            Text("区县排名", "Counties, the lowest first"),
            Text("按实名率。", "By their rates."),
            "county",
            _COUNTIES,
        ),
        ranking(
            Text("企业排名", "Enterprises, the lowest first"),
            Text("在本市的实名率。", "Their rates in this city."),
            "enterprise",
            _ENTERPRISES,
        ),
        by_category(city="$city"),
        breaches(Text("未达标网点所在区县", "Outlets in breach by county"), "county", city="$city"),
    ],
)

_LISTS: Final = Row(
    Text("区县、网点、告警", "Counties, outlets, alerts"),
    11,
    [
        table(
            Text("区县判定", "Verdicts of the counties"),
            Text("每个区县当前的判定。", "Each county's verdict now."),
            verdicts("COUNTY", city="$city"),
            sort="verdict_rate",
        ),
        breach_list("$city", city="$city"),
        alert_list(Text("本市各层级的告警。", "Alerts of every level in this city."), city="$city"),
    ],
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
    rows=[_OVERVIEW, _VERDICT, _COURSE, _PARTS, _LISTS],
)
