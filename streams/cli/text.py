"""Words that commands show above columns, by language; a missing one is shown in English."""

from collections.abc import Mapping
from typing import Final

_HEADINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "scope_id": "scope",
        "covered_on_time": "on time",
        "covered_late": "late",
        "n": "n",
        "rate_status": "status",
        "target_rate": "target",
    },
    "zh": {
        "alert_id": "告警",
        "alert_kind": "类型",
        "as_of": "截至",
        "attempt": "次数",
        "code": "原因",
        "collected_at": "收寄时间",
        "count": "数量",
        "county_code": "县区",
        "covered_late": "补录",
        "covered_on_time": "及时",
        "date": "日期",
        "day_status": "日状态",
        "dropped": "已弃",
        "duplicates": "重复录",
        "eligible": "应实名",
        "granularity": "级别",
        "missing": "漏录",
        "missing_since": "漏录起",
        "newest": "最近",
        "open": "未处理",
        "outlet_id": "网点",
        "parcel_category": "邮件类别",
        "path": "字段",
        "rate": "实名率",
        "rate_status": "状态",
        "reason": "原因",
        "refused_too_often": "超次数",
        "replayed": "已重放",
        "samples": "样本",
        "scope_id": "对象",
        "settled_before": "此前已处理",
        "severity": "级别",
        "source": "来源",
        "state": "状态",
        "target": "目标",
        "waybill_no": "运单号",
    },
}


def heading(column: str, language: str) -> str:
    """Return what stands above a column."""
    for words in (_HEADINGS[language], _HEADINGS["en"]):
        if column in words:
            return words[column]
    return column.replace("_", " ")
