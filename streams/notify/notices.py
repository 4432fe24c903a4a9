"""What an alert is called at an Alertmanager: labels, which are its identity, and nothing that changes.

Alertmanager tells alerts apart by their labels, so one label more or less is another alert and another
page. They come from what the record says the alert was raised as. Every label is on every alert, `all`
where it does not apply: to an inhibition rule two missing labels are equal.

The label `severity` says who is disturbed: `page`, `ticket` or nobody (`none`). An alert that grows from
a ticket to a page in its episode is posted under both, from then on to its end. So nothing is resolved
that still burns, the page goes out once, and an alert that becomes milder stays where it was. An
inhibition rule lets the page hide its ticket.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.domain.window import instant_from_text
from streams.records.published import AlertRecord

ALL: Final = "all"
PAGE: Final = "page"
TICKET: Final = "ticket"
NONE: Final = "none"

ALERTNAME_PREFIX: Final = "RealName"
WATCHDOG: Final = "Watchdog"

SEVERITY_LABELS: Final[Mapping[str, str]] = {
    "CRITICAL": PAGE,
    "MAJOR": PAGE,
    "MINOR": TICKET,
    "INFO": NONE,
}

LABELS: Final = (
    *("alertname", "alert_id", "episode", "severity", "level", "event", "event_level"),
    *("region", "city", "county", "outlet", "enterprise", "duty_group"),
)
"""The labels of every alert."""

LEVELS: Final = ("region", "enterprise", "city", "enterprise_city", "county", "outlet")
"""The values of `level`, the broadest first. In this order alerts are posted, so that what inhibits is
there before what it inhibits."""

ENDED: Final = "ended"


@dataclass(frozen=True, slots=True, order=True)
class NoticeKey:
    """Which alert at an Alertmanager: an episode, as a page or as a ticket."""

    alert_id: str
    episode: str
    severity: str


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """One alert as it is to be posted. Compared by identity: a newer one has newer figures.

    Attributes:
        key: Which alert.
        labels: Its identity at an Alertmanager.
        annotations: What it says now.
        starts_ms: When it was raised.
        ended_ms: When it ended; None while it fires.
        url: Where to look.
        ahead_ms: How long an Alertmanager that hears no more of it keeps it firing.

    """

    key: NoticeKey
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    ended_ms: int | None
    url: str
    ahead_ms: int

    @property
    def rank(self) -> tuple[int, NoticeKey]:
        """Its place among others that are posted at once: the broadest first."""
        level = self.labels["level"]
        return LEVELS.index(level) if level in LEVELS else -1, self.key


def alert_name(kind: str) -> str:
    """Return the `alertname` of a kind: RATE_BELOW_TARGET is RealNameRateBelowTarget."""
    return ALERTNAME_PREFIX + "".join(word.capitalize() for word in kind.split("_"))


def runbook_name(alertname: str) -> str:
    """Return the name of an alert's runbook, without `.md`."""
    return alertname.removeprefix(ALERTNAME_PREFIX)


def severity_label(severity: str) -> str:
    """Return who is disturbed by a severity; a page for one that is not known, to be sure."""
    return SEVERITY_LABELS.get(severity, PAGE)


def severities_of(record: AlertRecord) -> tuple[str, ...]:
    """Return the values of `severity` under which an episode is posted: one, or a ticket and a page."""
    reached = {severity_label(record.raised.severity), severity_label(record.severity_highest)}
    return tuple(sorted(reached))


def keys_of(record: AlertRecord) -> tuple[NoticeKey, ...]:
    """Return the alerts at an Alertmanager that a record is about."""
    episode = str(record.episode)
    return tuple(NoticeKey(record.alert_id, episode, s) for s in severities_of(record))


def labels_of(record: AlertRecord, severity: str) -> dict[str, str]:
    """Return the labels of an episode: the same for each of its records."""
    raised = record.raised
    level = ALL if raised.event_period_id else "ROUTINE"
    return {
        "alertname": alert_name(record.alert_kind),
        "alert_id": record.alert_id,
        "episode": str(record.episode),
        "severity": severity,
        "level": record.granularity.lower(),
        "event": raised.event_period_id or ALL,
        "event_level": raised.event_level or level,
        "region": _region(record),
        "city": raised.city_code or ALL,
        "county": raised.county_code or ALL,
        "outlet": record.scope_id if record.granularity == "OUTLET" else ALL,
        "enterprise": raised.enterprise_id or ALL,
        "duty_group": raised.duty_group or ALL,
    }


def key_of_labels(labels: Mapping[str, str]) -> NoticeKey | None:
    """Return which alert an Alertmanager's labels name, or None for one that is not ours."""
    if set(labels) != set(LABELS):
        return None
    return NoticeKey(labels["alert_id"], labels["episode"], labels["severity"])


def notices_of(
    record: AlertRecord, annotations: Mapping[str, str], *, url: str, ahead_ms: int
) -> tuple[Notice, ...]:
    """Return a record as it is to be posted. Raises ValueError for times that are none."""
    ended = record.state == ENDED
    starts_ms, last_ms = instant_from_text(record.first_at), instant_from_text(record.last_at)
    return tuple(
        Notice(
            key=key,
            labels=labels_of(record, key.severity),
            annotations=annotations,
            starts_ms=starts_ms,
            ended_ms=max(last_ms, starts_ms) if ended else None,
            url=url,
            ahead_ms=ahead_ms,
        )
        for key in keys_of(record)
    )


def watchdog(annotations: Mapping[str, str], *, starts_ms: int, ahead_ms: int, url: str) -> Notice:
    """Return the alert that always fires while alerts are read and posted."""
    labels = dict.fromkeys(LABELS, ALL) | {"alertname": WATCHDOG, "severity": NONE}
    key = NoticeKey(ALL, ALL, NONE)
    return Notice(
        key=key,
        labels=labels,
        annotations=annotations,
        starts_ms=starts_ms,
        ended_ms=None,
        url=url,
        ahead_ms=ahead_ms,
    )


def _region(record: AlertRecord) -> str:
    if record.granularity == "REGION":
        return record.scope_id
    code = record.raised.county_code or record.raised.city_code
    return f"{code[:2]}0000" if code else ALL
