"""What an alert says to the person it wakes: annotations, in English and in Chinese.

Annotations may change with every record. Shares are shown in per cent, cut and not rounded, so that a
rate below its target never looks as if it had reached it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from streams.notify.names import Bilingual, Names
from streams.notify.notices import ENDED, WATCHDOG, alert_name, runbook_name
from streams.records.acks import AlertAck
from streams.records.published import AlertRecord

UNKNOWN: Final = "–"

_END_REASONS: Final[Mapping[str, Bilingual]] = {
    "recovered": Bilingual("recovered", "已恢复"),
    "period_ended": Bilingual("the event period is over", "活动期已结束"),
    "withdrawn": Bilingual("its period or outlet was removed", "活动期或网点已撤销"),
    "superseded": Bilingual("a greater alert stands for it", "已并入更高级告警"),
}
_TITLES: Final[Mapping[str, Bilingual]] = {
    "RATE_BELOW_TARGET": Bilingual("Real-name rate below target", "实名率低于目标"),
    "RATE_AT_RISK": Bilingual("Real-name rate at risk", "实名率有风险"),
    "CHANNEL_SILENT": Bilingual("Registration channel silent", "实名数据通道中断"),
}
_MILLIONTHS: Final = 1_000_000  # Published shares are rounded to this.
_HUNDREDTH_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Links:
    """Where annotations lead.

    Attributes:
        runbooks: Folder or address that the runbooks are under.
        dashboard: Address with `{granularity}`, `{scope_id}`, `{city}`, `{enterprise}` or
            `{alert_id}` in it; empty for none.

    """

    runbooks: str
    dashboard: str

    def runbook(self, alertname: str) -> str:
        """Return where an alert's runbook is."""
        return f"{self.runbooks.rstrip('/')}/{runbook_name(alertname)}.md"

    def of(self, record: AlertRecord) -> str:
        """Return where a record's figures are shown."""
        values = {
            "granularity": record.granularity,
            "scope_id": record.scope_id,
            "city": record.city_code or "",
            "enterprise": record.enterprise_id or "",
            "alert_id": record.alert_id,
        }
        return self.dashboard.format_map({k: quote(v, safe="") for k, v in values.items()})


def share(value: float | None) -> str:
    """Return a share in per cent with two digits, cut: 0.949999 is 94.99%."""
    if value is None:
        return UNKNOWN
    hundredths = round(value * _MILLIONTHS) // _HUNDREDTH_PERCENT
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def duration(seconds: int) -> str:
    """Return a duration for people: `2d 3h`, `1h 05min`, `12min`."""
    minutes = seconds // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes:02d}min" if hours else f"{minutes}min"


def annotations_of(
    record: AlertRecord, names: Names, links: Links, ack: AlertAck | None = None
) -> dict[str, str]:
    """Return all annotations of a record; `ack` says who has taken it on."""
    evidence = record.evidence
    period = _period(record, names)
    summary, description = _summary(record, names), _description(record, period, ack)
    found = {
        "summary": summary.en,
        "summary_zh": summary.zh,
        "description": description.en,
        "description_zh": description.zh,
        "rate": share(record.observed),
        "target": share(record.target),
        "parcels": str(record.n),
        "covered": _count(evidence.covered),
        "missing": _count(evidence.missing),
        "pending": _count(evidence.pending),
        "upper_bound": share(evidence.wilson_upper),
        "window": _window(record),
        "period": period.en,
        "period_zh": period.zh,
        "grade": record.severity,
        "duty_group": record.duty_group or UNKNOWN,
        "raised_at": record.first_at,
        "runbook_url": links.runbook(alert_name(record.alert_kind)),
        "dashboard_url": links.of(record),
    }
    if record.state == ENDED:
        reason = _END_REASONS.get(record.reason, Bilingual(record.reason, record.reason))
        found |= {
            "ended_at": record.last_at,
            "end_reason": reason.en,
            "end_reason_zh": reason.zh,
            "duration": duration(record.duration_s or 0),
        }
    if ack is not None:
        found |= {"acked_by": ack.by, "acked_at": ack.acked_at, "ack_note": ack.note}
    return found


def watchdog_annotations(links: Links) -> dict[str, str]:
    """Return the annotations of the alert that always fires."""
    return {
        "summary": "Alerts are read and posted",
        "summary_zh": "告警链路正常",
        "description": (
            "This alert always fires while `realname notify` reads alerts and posts them. "
            "Whoever receives it must raise the alarm when it stays away."
        ),
        "description_zh": "只要告警投递程序正常，本告警始终触发；若不再收到，说明告警链路已中断。",
        "runbook_url": links.runbook(WATCHDOG),
    }


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _window(record: AlertRecord) -> str:
    evidence = record.evidence
    return f"{evidence.window} {evidence.date}" if evidence.date else evidence.window


def _period(record: AlertRecord, names: Names) -> Bilingual:
    if record.event_period_id is None:
        return Bilingual("no event period (routine target)", "非活动期（日常目标）")
    return names.period(record.event_period_id)


def _title(record: AlertRecord) -> Bilingual:
    kind = record.alert_kind
    plain = kind.replace("_", " ").capitalize()
    return _TITLES.get(kind, Bilingual(plain, plain))


def _summary(record: AlertRecord, names: Names) -> Bilingual:
    title, scope = _title(record), names.scope(record)
    ended = record.state == ENDED
    before = Bilingual("Ended: ", "【结束】") if ended else Bilingual("", "")
    if record.target is None:
        return Bilingual(f"{before.en}{title.en}: {scope.en}", f"{before.zh}{title.zh}：{scope.zh}")
    rate, target = share(record.observed), share(record.target)
    return Bilingual(
        f"{before.en}{title.en}: {scope.en}, {rate} of {target}",
        f"{before.zh}{title.zh}：{scope.zh} {rate}（目标 {target}）",
    )


def _description(record: AlertRecord, period: Bilingual, ack: AlertAck | None) -> Bilingual:
    facts = _silence_facts(record) if record.target is None else _rate_facts(record)
    taken_on = _taken_on(ack)
    context = Bilingual(
        f"{facts.en} {period.en}. Raised {record.first_at}.{taken_on.en}",
        f"{facts.zh}{period.zh}。{record.first_at} 触发。{taken_on.zh}",
    )
    if record.state != ENDED:
        return context
    reason = _END_REASONS.get(record.reason, Bilingual(record.reason, record.reason))
    lasted = duration(record.duration_s or 0)
    return Bilingual(
        f"{context.en} Ended {record.last_at} after {lasted}: {reason.en}.",
        f"{context.zh}{record.last_at} 结束，持续 {lasted}，原因：{reason.zh}。",
    )


def _taken_on(ack: AlertAck | None) -> Bilingual:
    if ack is None:
        return Bilingual("", "")
    note, note_zh = (f": {ack.note}", f"：{ack.note}") if ack.note else ("", "")
    return Bilingual(
        f" Taken on by {ack.by}, {ack.acked_at}{note}.",
        f"{ack.by} 已于 {ack.acked_at} 接手{note_zh}。",
    )


def _rate_facts(record: AlertRecord) -> Bilingual:
    evidence = record.evidence
    covered, missing = _count(evidence.covered), _count(evidence.missing)
    rate, target = share(record.observed), share(record.target)
    bound = share(evidence.wilson_upper)
    of = "" if record.parcel_category == "*" else f" {record.parcel_category}"
    return Bilingual(
        f"{covered} of {record.n}{of} parcels of {evidence.date or UNKNOWN} are registered, {missing} "
        f"are missing: {rate}, upper bound {bound}, target {target}.",
        f"{evidence.date or UNKNOWN} 应实名{of} {record.n} 件，已实名 {covered} 件，漏录 {missing} 件，"
        f"实名率 {rate}（上界 {bound}），目标 {target}。",
    )


def _silence_facts(record: AlertRecord) -> Bilingual:
    evidence = record.evidence
    if evidence.judged:
        return Bilingual(
            f"{evidence.breaching} of {evidence.judged} outlets fall below target at once: the "
            "channel is more likely broken than the outlets.",
            f"{evidence.judged} 个网点中 {evidence.breaching} 个同时低于目标，应为通道故障。",
        )
    return Bilingual(
        f"{_count(evidence.collections)} parcels collected and no registration received.",
        f"已收寄 {_count(evidence.collections)} 件，未收到任何实名记录。",
    )


def rehearsed(annotations: Mapping[str, str], at: str) -> dict[str, str]:
    """Return the annotations of a test page, which say before all else that it is one."""
    before = Bilingual(f"TEST of {at}, nothing is wrong: ", f"【演练 {at}，并无异常】")
    return {
        **annotations,
        "summary": before.en + annotations["summary"],
        "summary_zh": before.zh + annotations["summary_zh"],
        "description": before.en + annotations["description"],
        "description_zh": before.zh + annotations["description_zh"],
    }
