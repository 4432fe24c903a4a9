"""The outlets of a city, and one of them: what Prometheus does not hold comes from serve's API."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text, link
from deploy.grafana.source.panels import RATE, STATUS, switch, table, timeline
from deploy.grafana.source.parts import TO_OUTLET, alerts, verdicts
from deploy.grafana.source.queries import (
    ALL_OUTLETS,
    Column,
    Listed,
    Prom,
    listed_variable,
    once,
    place_variable,
)

_SHOWN: Final = 100
"""Outlets in breach of which the states are drawn; more cannot be told apart."""

_OUTLETS: Final = Listed(
    "/api/v1/rates",
    {"granularity": "OUTLET", "city": "$city", "limit": ALL_OUTLETS},
    [Column(at="scope_id", title=Text("编码", "Id"))],
)
_TO_OUTLET: Final = link(
    TO_OUTLET, "realname-outlet", {"city": "$city", "outlet": "${__data.fields.scope_id}"}
)
_OF_SERIES: Final = link(
    TO_OUTLET, "realname-outlet", {"city": "$city", "outlet": "${__field.labels.outlet}"}
)
_PERCENT: Final = {"unit": RATE, "decimals": 2}

_DAYS: Final = Listed(
    "/api/v1/days",
    {"granularity": "OUTLET", "id": "$outlet"},
    [
        Column(at="date", title=Text("营业日", "Business day"), type="timestamp"),
        Column(at="rate_status", title=Text("判定", "Verdict"), look={"mappings": [STATUS]}),
    ],
)
_DAY_FIGURES: Final = Listed(
    "/api/v1/days",
    {"granularity": "OUTLET", "id": "$outlet"},
    [
        Column(at="date", title=Text("营业日", "Business day")),
        Column(
            at="rate_status",
            title=Text("判定", "Verdict"),
            look={"mappings": [STATUS], "custom.cellOptions": {"type": "color-text"}},
        ),
        Column(at="rate", title=Text("实名率", "Rate"), type="number", look=_PERCENT),
        Column(at="on_time_rate", title=Text("及时率", "In time"), type="number", look=_PERCENT),
        Column(at="target", title=Text("目标", "Target"), type="number", look=_PERCENT),
        Column(at="eligible", title=Text("应实名", "Base"), type="number"),
        Column(at="missing", title=Text("未实名", "Missing"), type="number"),
        Column(at="pending", title=Text("待实名", "Pending"), type="number"),
        Column(at="duplicates", title=Text("重复登记", "Duplicates"), type="number"),
        Column(at="attempts_failed", title=Text("核验失败", "Attempts failed"), type="number"),
        Column(at="backdated", title=Text("倒填", "Backdated"), type="number"),
        Column(at="orphans", title=Text("无件登记", "Orphans"), type="number"),
        Column(at="day_status", title=Text("状态", "Status of the day")),
    ],
)

OUTLET: Final = Dashboard(
    uid="realname-outlet",
    title=Text("网点", "Outlets"),
    about=Text(
        "一个城市的全部网点，以及一个网点的判定、营业日和告警。",
        "All outlets of a city, and one outlet's verdict, business days and alerts.",
    ),
    since="now-7d",
    variables=[
        place_variable("city", Text("城市", "City"), Text("网点所在城市。", "The outlets' city.")),
        listed_variable(
            "outlet",
            _OUTLETS,
            Text("网点", "Outlet"),
            Text(
                "要看的网点，在下表中也可点选。",
                "The outlet to show; the table below sets it, too.",
            ),
        ),
    ],
    rows=[
        Row(
            Text("本网点", "The outlet"),
            5,
            [
                table(
                    Text("当前判定", "Verdict now"),
                    Text(
                        "所选网点的判定及其依据的目标。",
                        "The chosen outlet's verdict, and the target that decided it.",
                    ),
                    verdicts("OUTLET", id="$outlet"),
                ),
                timeline(
                    Text("每日判定", "Verdict by day"),
                    Text(
                        "所选网点各营业日的判定；网点保留一周。",
                        "The chosen outlet's verdict on each business day; a week of them is kept.",
                    ),
                    _DAYS,
                    mappings=[STATUS],
                ),
            ],
        ),
        Row(
            Text("本网点明细", "The outlet in detail"),
            8,
            [
                table(
                    Text("营业日", "Business days"),
                    Text("最终结算前会修订。", "They are revised until the final close."),
                    _DAY_FIGURES,
                    sort="date",
                    descending=True,
                ),
                table(
                    Text("告警", "Alerts"),
                    Text(
                        "所选网点的全部告警，含已结束的。",
                        "All alerts of the chosen outlet, also those that have ended.",
                    ),
                    alerts(status="all", granularity="OUTLET", id="$outlet"),
                    sort="first_at",
                    descending=True,
                ),
            ],
        ),
        Row(
            Text("本市网点", "Outlets of the city"),
            14,
            [
                table(
                    Text("全部网点", "All outlets"),
                    Text(
                        "点选编码查看该网点；表头可筛选和排序。",
                        "Select an id to see that outlet; the headings filter and sort.",
                    ),
                    verdicts("OUTLET", city="$city", links=[_TO_OUTLET]),
                    sort="today_missing",
                    descending=True,
                    paged=True,
                ),
                timeline(
                    Text("未达标时段", "Times in breach"),
                    Text(
                        "本市未达标的网点；Prometheus 只保存全区差距最大的 200 个。",
                        "Outlets of the city that are in breach; of the whole region, Prometheus has the "
                        "200 that fall shortest.",
                    ),
                    Prom(
                        f"topk({_SHOWN}, {once('realname_outlet_breaching', city='$city')})",
                        "{{outlet}}",
                    ),
                    mappings=[switch(Text("达标", "OK"), Text("未达标", "Breach"))],
                    links=[_OF_SERIES],
                ),
            ],
        ),
    ],
)
