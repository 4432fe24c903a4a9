"""One enterprise: in which cities and categories it falls short, and all enterprises beside it."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text
from deploy.grafana.source.panels import table
from deploy.grafana.source.parts import (
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
from deploy.grafana.source.region import ENTERPRISES

_CHOSEN: Final = "$enterprise"
_RATE: Final = pooled(COVERED, MATURE, enterprise=_CHOSEN)
_CITIES: Final = pooled(COVERED, MATURE, "city", enterprise=_CHOSEN)

_OVERVIEW: Final = Row(
    Text("总览", "Overview"),
    5,
    [*headline(_RATE, enterprise=_CHOSEN), breaching(enterprise=_CHOSEN), age()],
)

_COURSE: Final = Row(
    Text("走势", "Course"),
    10,
    [
        against_target(Prom(_RATE, "实名率 Rate"), "ENTERPRISE"),
        course(Text("在各城市的实名率", "Rates in the cities"), "city", _CITIES),
    ],
)

_PARTS: Final = Row(
    Text("城市、类别、同行", "Cities, categories, others"),
    11,
    [
        ranking(
            Text("城市排名", "Cities, the lowest first"),
            Text("该企业在各城市的实名率。", "The enterprise's rates in the cities."),
            "city",
            _CITIES,
        ),
        by_category(enterprise=_CHOSEN),
        breaches(
            Text("未达标网点所在城市", "Outlets in breach by city"), "city", enterprise=_CHOSEN
        ),
        ranking(
            Text("全部企业", "All enterprises"),
            Text("全区实名率，最低者在前。", "Their rates in the region, the lowest first."),
            "enterprise",
            ENTERPRISES,
        ),
    ],
)

_LISTS: Final = Row(
    Text("判定、网点、告警", "Verdicts, outlets, alerts"),
    11,
    [
        table(
            Text("企业判定", "Verdicts of the enterprises"),
            Text("各企业在全区的当前判定。", "Each enterprise's verdict in the region now."),
            verdicts("ENTERPRISE"),
            sort="verdict_rate",
        ),
        breach_list("${__data.fields.city_code}", enterprise=_CHOSEN),
        alert_list(
            Text("该企业各层级的告警。", "Alerts of every level of this enterprise."),
            enterprise=_CHOSEN,
        ),
    ],
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
    rows=[_OVERVIEW, _COURSE, _PARTS, _LISTS],
)
