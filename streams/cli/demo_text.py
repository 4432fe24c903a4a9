"""What the demo says, in English and Simplified Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language. Braces are filled in by whoever uses them."""

    title: str
    board: str
    board_ends: str
    play: str
    quick_night: str
    period: str
    no_period: str
    targets: str
    cities: str
    city_columns: tuple[str, ...]
    worst: str
    worst_columns: tuple[str, ...]
    none_worse: str
    alerts: str
    no_alerts: str
    planted: str
    planted_from: str
    open_alerts: str
    raised: str
    ended: str
    evidence: str
    silent: str
    collapsed: str
    flow: str
    no_refused: str
    refused: str
    whole: str
    loose: str
    loose_only: str
    towards: str
    settling: str
    found: str
    unmet: str
    alerts_by_kind: str
    raised_and_ended: str
    healthy: str
    rates_on: str
    rate_columns: tuple[str, ...]
    totals: str
    kinds: Mapping[str, str]
    severities: Mapping[str, str]
    granularities: Mapping[str, str]
    statuses: Mapping[str, str]
    reasons: Mapping[str, str]
    phases: Mapping[str, str]
    faults: Mapping[str, str]


EN: Final = Words(
    title="Real-name registration of courier parcels, simulated",
    board="The board: {url}",
    board_ends="The board was at {url} and ends with the demo.",
    play="{time}, {speed:,.0f} times real speed",
    quick_night=" (the night goes by faster)",
    period="{name} ({phase})",
    no_period="no event period: routine target",
    targets="targets: {targets}",
    cities="Cities: parcels collected today, registered within the rules so far",
    city_columns=("city", "today", "by hour", "parcels", "missing", "not due", "judged by", ""),
    worst="Worst outlets",
    worst_columns=("outlet", "missing", "judged by", ""),
    none_worse="every judged outlet is above its target",
    alerts="Alerts, the latest first",
    no_alerts="None yet: a parcel is judged two hours after its collection.",
    planted="Planted, to be found among {outlets:,} outlets and {parcels:,.0f} parcels a day:",
    planted_from="from {time}  {fault}",
    open_alerts="{open} open of {raised} raised",
    raised="raised",
    ended="ended after {duration}: {reason}",
    evidence="{rate} of {n:,} {what}; target {target}",
    silent="{n} loose parcels collected and none registered for half an hour",
    collapsed="{n} of its {of} judged outlets there fall below target at once",
    flow="{sent:,} records sent, {processed:,} processed at {speed:,.0f} a second, lag {lag:,}",
    no_refused="no record refused",
    refused="{count:,} records refused: {codes}",
    whole="parcels",
    loose="loose parcels",
    loose_only="loose",
    towards="to {place}",
    settling="The play is over; waiting until everything is worked off",
    found="{found} of {planted} planted faults found",
    unmet="not found",
    alerts_by_kind="Alerts",
    raised_and_ended="{kind}: {raised} raised, {ended} of them ended",
    healthy="{count} outlets without a planted fault were alerted as below target",
    rates_on="Rates of {date} by city, as they are in the end",
    rate_columns=("city", "rate", "target", "parcels", "late", "missing", ""),
    totals=(
        "{sent:,} records and {beats:,} heartbeats sent, {refused:,} records refused; "
        "{took:.0f} s from start to end"
    ),
    kinds={
        "RATE_BELOW_TARGET": "below target",
        "RATE_AT_RISK": "at risk",
        "CHANNEL_SILENT": "channel silent",
    },
    severities={"CRITICAL": "CRITICAL", "MAJOR": "MAJOR", "MINOR": "MINOR", "INFO": "INFO"},
    granularities={
        "OUTLET": "outlet",
        "COUNTY": "county",
        "CITY": "city",
        "ENTERPRISE": "enterprise",
        "ENTERPRISE_CITY": "enterprise",
        "REGION": "region",
    },
    statuses={
        "OK": "OK",
        "AT_RISK": "AT RISK",
        "BREACH": "BREACH",
        "INSUFFICIENT": "too few",
        "UNKNOWN": "silent",
    },
    reasons={
        "recovered": "recovered",
        "period_ended": "the event period is over",
        "withdrawn": "its rule was withdrawn",
        "superseded": "a greater alert says it all",
    },
    phases={"PRE": "before", "CORE": "under way", "POST": "after"},
    faults={
        "county_stops": "a county stops registering: {scope}",
        "brand_silent": "an enterprise's channel falls silent: {scope}",
        "low_outlet": "an outlet registers too little: {scope}",
        "duplicate_outlet": "an outlet registers everything twice: {scope}",
        "late_makeup": "an outlet makes up its entries hours later: {scope}",
        "backdating_outlet": "an outlet uploads late and claims it was in time: {scope}",
        "host_missing": "an outlet does not register items to the host city: {scope}",
        "garbage": "garbage among the records, of every kind",
    },
)

ZH: Final = Words(
    title="快递实名收寄（模拟）",
    board="看板：{url}",
    board_ends="看板 {url} 随演示一同关闭。",
    play="{time}，{speed:,.0f} 倍速",
    quick_night="（夜间加速）",
    period="{name}（{phase}）",
    no_period="非重大活动期间：日常目标",
    targets="目标：{targets}",
    cities="各市：今日收寄，迄今实名情况",
    city_columns=("市", "实名率", "每小时", "件数", "漏录", "未到期", "判定依据", ""),
    worst="最差网点",
    worst_columns=("网点", "漏录", "判定依据", ""),
    none_worse="已判定网点均达标",
    alerts="告警（最新在前）",
    no_alerts="暂无：邮件收寄两小时后才判定。",
    planted="预设问题，须在 {outlets:,} 个网点、每日 {parcels:,.0f} 件邮件中发现：",
    planted_from="{time} 起  {fault}",
    open_alerts="未结束 {open}，共发出 {raised}",
    raised="发出",
    ended="{duration}后结束：{reason}",
    evidence="{what}{n:,}件，实名率 {rate}，目标 {target}",
    silent="半小时内收寄散件 {n} 件，无任何登记",
    collapsed="当地已判定的 {of} 个网点中 {n} 个同时低于目标",
    flow="已发送 {sent:,} 条，已处理 {processed:,} 条，每秒 {speed:,.0f} 条，积压 {lag:,}",
    no_refused="无拒收记录",
    refused="拒收 {count:,} 条：{codes}",
    whole="邮件",
    loose="散件",
    loose_only="散件",
    towards="寄往{place}",
    settling="播放完毕，等待全部处理",
    found="预设问题 {planted} 个，发现 {found} 个",
    unmet="未发现",
    alerts_by_kind="告警",
    raised_and_ended="{kind}：发出 {raised}，已结束 {ended}",
    healthy="无预设问题而被告警低于目标的网点：{count} 个",
    rates_on="{date} 各市实名率（最终）",
    rate_columns=("市", "实名率", "目标", "件数", "补录", "漏录", ""),
    totals="发送记录 {sent:,} 条、心跳 {beats:,} 条，拒收 {refused:,} 条，共用时 {took:.0f} 秒",
    kinds={
        "RATE_BELOW_TARGET": "低于目标",
        "RATE_AT_RISK": "有风险",
        "CHANNEL_SILENT": "通道静默",
    },
    severities={"CRITICAL": "特急", "MAJOR": "严重", "MINOR": "一般", "INFO": "提示"},
    granularities={
        "OUTLET": "网点",
        "COUNTY": "县区",
        "CITY": "市",
        "ENTERPRISE": "企业",
        "ENTERPRISE_CITY": "企业",
        "REGION": "全区",
    },
    statuses={
        "OK": "达标",
        "AT_RISK": "有风险",
        "BREACH": "不达标",
        "INSUFFICIENT": "件数少",
        "UNKNOWN": "静默",
    },
    reasons={
        "recovered": "已恢复",
        "period_ended": "活动期结束",
        "withdrawn": "规则撤销",
        "superseded": "已并入更高级别告警",
    },
    phases={"PRE": "前期", "CORE": "会期", "POST": "后期"},
    faults={
        "county_stops": "某县区停止登记：{scope}",
        "brand_silent": "某企业通道静默：{scope}",
        "low_outlet": "某网点登记过少：{scope}",
        "duplicate_outlet": "某网点重复登记：{scope}",
        "late_makeup": "某网点数小时后补录：{scope}",
        "backdating_outlet": "某网点迟传并谎称及时：{scope}",
        "host_missing": "某网点不登记寄往会议城市的邮件：{scope}",
        "garbage": "各类垃圾记录",
    },
)

_LANGUAGES: Final = {"en": EN, "zh": ZH}


def words(language: str) -> Words:
    """Return the words of a language of the settings."""
    return _LANGUAGES[language]
