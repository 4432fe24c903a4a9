"""One line for each event that an enterprise gets, in English or Chinese."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Event = Mapping[str, Any]
Words = Mapping[str, str]

_ZH: Final[Words] = {
    "rate.updated": "实名率更新",
    "day.closed": "日数据发布",
    "day.revised": "日数据修订",
    "alert.raised": "告警触发",
    "alert.changed": "告警变化",
    "alert.ended": "告警结束",
    "period.declared": "活动期公布",
    "period.ended": "活动期结束",
    "parcel.missing": "漏录邮件",
    "parcel.retracted": "漏录撤销",
    "parcel.expired": "漏录到期",
    "records.rejected": "记录被拒",
    "OUTLET": "网点",
    "ENTERPRISE": "企业",
    "ENTERPRISE_CITY": "企业·盟市",
    "PARCEL": "邮件",
    "PERIOD": "活动期",
    "SOURCE": "数据源",
    "OK": "达标",
    "AT_RISK": "有风险",
    "BREACH": "未达标",
    "INSUFFICIENT": "样本不足",
    "UNKNOWN": "未知",
    "OPEN": "未结",
    "PROVISIONAL": "初步",
    "FINAL": "终结",
    "CRITICAL": "特急",
    "MAJOR": "严重",
    "MINOR": "一般",
    "INFO": "提示",
    "RATE_BELOW_TARGET": "实名率低于目标",
    "RATE_AT_RISK": "实名率有风险",
    "CHANNEL_SILENT": "数据通道中断",
    "raised": "触发",
    "reemitted": "仍未结束",
    "recovered": "已恢复",
    "period_ended": "活动期已结束",
    "superseded": "并入更高级告警",
    "declared": "新公布",
    "changed": "有变化",
    "over": "到期",
    "withdrawn": "已撤销",
}
_LANGUAGES: Final[Mapping[str, Words]] = {"en": {}, "zh": _ZH}

_PHRASES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "withheld": "withheld, too few parcels",
        "rate": "{rate} of {n}, target {target}: {status}",
        "day": "{rate} of {n}, {missing} missing, issue {revision}, {status}",
        "alert": "{kind}, {severity}, {observed} of {n}, target {target}: {reason}",
        "period": "{name}, {start} to {end}: {reason}",
        "parcel": "outlet {outlet}, collected {collected}",
        "rejected": "{count} records on {date}: {code}",
    },
    "zh": {
        "withheld": "件数过少，不予显示",
        "rate": "{rate}（{n} 件），目标 {target}：{status}",
        "day": "{rate}（{n} 件），漏录 {missing} 件，第 {revision} 版，{status}",
        "alert": "{kind}，{severity}，{observed}（{n}），目标 {target}：{reason}",
        "period": "{name}，{start} 至 {end}：{reason}",
        "parcel": "网点 {outlet}，收寄 {collected}",
        "rejected": "{date} 共 {count} 条：{code}",
    },
}
_NONE: Final = "–"
_MINUTES: Final = len("2017-09-08T14:20")


def line(event: Event, language: str) -> str:
    """Return an event as one line: when, what, of which scope, and the figures that matter."""
    words = _LANGUAGES[language]
    kind = str(event.get("type", ""))
    granularity, _, scope_id = str(event.get("subject", "")).partition("|")
    parts = [
        _minute(str(event.get("time", ""))),
        f"{_word(kind, words):<16}",
        f"{_word(granularity, words)} {scope_id}",
    ]
    tell = _TELLERS.get(kind.partition(".")[0])
    data = event.get("data")
    if tell is not None and data is not None:
        parts.append(tell(data, words, _PHRASES[language]))
    return "  ".join(parts)


def _rate(data: Event, words: Words, phrases: Words) -> str:
    verdict = data["verdict"]
    if verdict["withheld"]:
        return phrases["withheld"]
    return phrases["rate"].format(
        rate=_share(verdict["rate"]),
        n=verdict["n"],
        target=_share(verdict["target"]),
        status=_word(verdict["rate_status"], words),
    )


def _day(data: Event, words: Words, phrases: Words) -> str:
    figures = data["figures"]
    if figures["withheld"]:
        return f"{data['date']}  {phrases['withheld']}"
    told = phrases["day"].format(
        rate=_share(figures["rate"]),
        n=figures["eligible"],
        missing=figures["missing"],
        revision=data["revision"],
        status=_word(data["day_status"], words),
    )
    return f"{data['date']}  {told}"


def _alert(data: Event, words: Words, phrases: Words) -> str:
    return phrases["alert"].format(
        kind=_word(data["alert_kind"], words),
        severity=_word(data["severity"], words),
        observed=_share(data["observed"]),
        n=_NONE if data["n"] is None else data["n"],
        target=_share(data["target"]),
        reason=_word(data["reason"], words),
    )


def _period(data: Event, words: Words, phrases: Words) -> str:
    return phrases["period"].format(
        name=data["name_zh"] if words else data["name_en"],
        start=_minute(data["start"]),
        end=_minute(data["end"]),
        reason=_word(data["reason"], words),
    )


def _parcel(data: Event, _words: Words, phrases: Words) -> str:
    return phrases["parcel"].format(
        outlet=data["outlet_id"], collected=_minute(data["collected_at"])
    )


def _rejected(data: Event, _words: Words, phrases: Words) -> str:
    return phrases["rejected"].format(count=data["count"], date=data["date"], code=data["code"])


_TELLERS: Final[Mapping[str, Callable[[Event, Words, Words], str]]] = {
    "rate": _rate,
    "day": _day,
    "alert": _alert,
    "period": _period,
    "parcel": _parcel,
    "records": _rejected,
}


def _word(text: str, words: Words) -> str:
    return words.get(text, text)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2%}"


def _minute(time: str) -> str:
    return time[:_MINUTES].replace("T", " ")
