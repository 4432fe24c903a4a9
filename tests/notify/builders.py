"""Alert records as the roll-ups write them."""

from dataclasses import replace
from typing import Any

from streams.domain.window import instant_from_text, instant_text
from streams.records.published import AlertRecord, Evidence, Raised, alert_key, encode

MINUTE_MS = 60_000
RAISED_MS = 1_504_851_600_000  # 2017-09-08T14:20:00+08:00


def raised_as(**changes: object) -> Raised:
    facts: dict[str, Any] = {
        "severity": "MAJOR",
        "event_period_id": "EP2017-COP13",
        "event_level": "L2",
        "city_code": "150100",
        "county_code": "150105",
        "enterprise_id": "911500000000010092",
        "duty_group": None,
    }
    return Raised(**facts | changes)


def record(
    scope_id: str = "150105-DB-0001",
    *,
    kind: str = "RATE_BELOW_TARGET",
    granularity: str = "OUTLET",
    raised_ms: int = RAISED_MS,
    last_ms: int | None = None,
    raised: Raised | None = None,
    **changes: object,
) -> AlertRecord:
    """Return a firing breach of an outlet, but for the changes."""
    alert_id = f"{kind}:{granularity}:{scope_id}"
    raised = raised or raised_as()
    last_ms = raised_ms if last_ms is None else last_ms
    ended = changes.get("state") == "ended"
    facts: dict[str, Any] = {
        "id": alert_id,
        "alert_id": alert_id,
        "episode": 1,
        "alert_kind": kind,
        "severity": raised.severity,
        "state": "firing",
        "reason": "recovered" if ended else "raised",
        "granularity": granularity,
        "scope_id": scope_id,
        "city_code": raised.city_code,
        "county_code": raised.county_code,
        "enterprise_id": raised.enterprise_id,
        "duty_group": None,
        "observed": 0.849999,
        "target": 0.95,
        "parcel_category": "*",
        "n": 60,
        "evidence": Evidence(
            window="TODAY",
            date="2017-09-08",
            covered=51,
            missing=9,
            pending=7,
            wilson_upper=0.93,
            z=3.09,
        ),
        "event_period_id": raised.event_period_id,
        "first_at": instant_text(raised_ms),
        "last_at": instant_text(last_ms),
        "duration_s": (last_ms - raised_ms) // 1000 if ended else None,
        "caliber_id": "c1",
        "raised": raised,
        "severity_highest": changes.get("severity", raised.severity),
    }
    return AlertRecord(**facts | changes)


def ended(
    of: AlertRecord, last_ms: int, reason: str = "recovered", observed: float = 0.97
) -> AlertRecord:
    """Return the last record of an alert's episode."""
    first_ms = instant_from_text(of.first_at)
    return replace(
        of,
        state="ended",
        reason=reason,
        observed=observed,
        last_at=instant_text(last_ms),
        duration_s=(last_ms - first_ms) // 1000,
    )


def key_value(of: AlertRecord) -> tuple[bytes, bytes]:
    return alert_key(of.alert_id, of.episode), encode(of)
