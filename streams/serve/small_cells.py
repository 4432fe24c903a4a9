"""What an enterprise is not told of its figures: those of so few parcels that they point at people.

The regulator's own offices see every figure. Records keep their shape: what is withheld is null.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from streams.domain.small_cell import is_small, withheld
from streams.serve.access import Access
from streams.serve.rows import AlertRow, Row

_FIGURES: Final = (
    *("eligible", "covered_on_time", "covered_late", "missing", "covered_young", "pending"),
    *("mature", "rate", "on_time_rate", "rate_low", "rate_high"),
)
_GROUPS: Final = ("today", "trailing_24h", "trailing_7d", "first_issue", "loose", "batch")
_VERDICT: Final = ("n", "covered", "rate", "wilson_upper")
_EVIDENCE: Final = ("covered", "missing", "pending", "wilson_upper")
_OF_PARCELS: Final = "RATE_"
"""Begins the kinds of alerts whose `n` counts parcels; of others it counts outlets."""


def record_for(row: Row, access: Access) -> bytes:
    """Return a row's record as somebody may see it."""
    if access.sees_small_cells:
        return row.record
    record = orjson.loads(row.record)
    if isinstance(row, AlertRow):
        hidden = is_small_alert(row) and _hide(record, ("n", "observed"))
        hidden = hidden and _hide(record.get("evidence"), _EVIDENCE)
    else:
        hidden = _hide_in_figures(record)
    return orjson.dumps(record) if hidden else row.record


def is_small_alert(row: AlertRow) -> bool:
    """Return whether an alert rests on so few parcels that it may not say on how many."""
    return row.alert_kind.startswith(_OF_PARCELS) and is_small(row.n)


def _hide_in_figures(record: dict[str, Any]) -> bool:
    """Take small cells out of a record of `rates` or `days`; return whether there were any."""
    found = [_hide_group(record)]
    found += [
        _hide(record, (name,)) for name in ("exempt", "voided") if is_small(record.get(name, 0))
    ]
    verdict = record.get("verdict")
    if verdict and is_small(verdict["n"]):
        found.append(_hide(verdict, _VERDICT))
    categories: Mapping[str, dict[str, Any]] = record.get("by_category") or {}
    hidden = withheld({name: _size(part) for name, part in categories.items()})
    found += [_hide(categories[name], _FIGURES) for name in hidden]
    if hidden:
        # What is withheld could be worked out from the sums of loose and of batch parcels.
        found += [_hide(record.get(name), _FIGURES) for name in ("loose", "batch")]
    found += [_hide_group(record[name]) for name in _GROUPS if record.get(name)]
    found += [_hide_group(period) for period in record.get("event_periods") or ()]
    return any(found)


def _hide_group(group: dict[str, Any]) -> bool:
    return is_small(_size(group)) and _hide(group, _FIGURES)


def _size(group: Mapping[str, Any]) -> int:
    """Return the size of the smallest group that figures tell of: the mature parcels, or all.

    0 where there are no figures, or none any more.
    """
    counts = [group.get(name) or 0 for name in ("covered_on_time", "covered_late", "missing")]
    mature = sum(counts)
    return mature if is_small(mature) else int(group.get("eligible") or group.get("mature") or 0)


def _hide(group: dict[str, Any] | None, names: tuple[str, ...]) -> bool:
    for name in names:
        if group is not None and name in group:
            group[name] = None
    return True
