"""The topic catalogue: every topic's name, key, partitions, settings, writers and readers.

Pure data. `streams/kafka/topics.py` makes a cluster agree with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

# What code calls a topic by; the prefix comes in front only in the catalogue.
SHIPMENTS: Final = "shipments"
SHIPMENTS_DLQ: Final = "shipments.dlq"
COUNTS: Final = "counts"
TOTALS: Final = "totals"
RATES: Final = "rates"
DAYS: Final = "days"
ALERTS: Final = "alerts"
ALERTS_ACKS: Final = "alerts.acks"
PARCELS_MISSING: Final = "parcels.missing"
REFERENCE: Final = "reference"
AUDIT: Final = "audit"
MATCH_STATE: Final = "match.state"
RATE_STATE: Final = "rate.state"
ROLLUP_STATE: Final = "rollup.state"
COMPLIANCE_STATE: Final = "compliance.state"
COMPLIANCE: Final = "compliance"
"""Begins the name of each enterprise's topic; see `compliance_topics`."""

PREFIX_DEFAULT: Final = "realname."

# The largest record: a snapshot of the outlets, or one transaction's changes of a partition. The
# embedded broker and every topic that we write to allow it.
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
# Others write shipments, some 500 bytes each. Kafka's own default, fixed here so that what is
# accepted always fits into the dead-letter topic with the reason added.
SHIPMENT_BYTES_MAX: Final = 1024 * 1024
assert SHIPMENT_BYTES_MAX < MESSAGE_BYTES_MAX

# What was done to personal data can be told for three years (Personal Information Protection Law, 56).
AUDIT_RETENTION_DAYS: Final = 3 * 365 + 1

DAY_MS: Final = 86_400_000
FOREVER: Final = "-1"

# Kafka deletes and compacts whole closed segments only. A segment of at most a day keeps personal
# data one day beyond its time, not a week (the default); small ones give the space of records
# deleted below an offset back soon.
SEGMENT_MS: Final = DAY_MS
SEGMENT_BYTES: Final = 128 * 1024 * 1024
# A scope's rates are replaced every minute: without this, each reader begins with a day of them.
RATES_SEGMENT_MS: Final = DAY_MS // 24

# A replay over all retained shipments needs the reference data of its time, so a day more.
SHIPMENTS_RETENTION_DAYS: Final = 7
REFERENCE_LAG_DAYS: Final = 8
assert REFERENCE_LAG_DAYS > SHIPMENTS_RETENTION_DAYS

PARTITIONS_DEFAULT: Final[Mapping[str, int]] = MappingProxyType(
    {
        SHIPMENTS: 24,
        SHIPMENTS_DLQ: 6,
        # Each goes through every tick by itself: more of them cost a catch-up time, and are of use
        # only where as many workers are to share the stage.
        COUNTS: 2,
        TOTALS: 1,
        RATES: 12,
        DAYS: 12,
        ALERTS: 6,
        ALERTS_ACKS: 1,
        AUDIT: 1,
        REFERENCE: 1,
        COMPLIANCE: 3,
    },
)
# Partition p of the one is written by whoever reads partition p of the other.
PARTITIONS_AS: Final[Mapping[str, str]] = MappingProxyType(
    {
        PARCELS_MISSING: SHIPMENTS,
        MATCH_STATE: SHIPMENTS,
        RATE_STATE: COUNTS,
        ROLLUP_STATE: TOTALS,
    },
)
# What the compliance stage reads. Their partitions are numbered through in this order.
COMPLIANCE_INPUTS: Final = (RATES, DAYS, ALERTS, PARCELS_MISSING, SHIPMENTS_DLQ)
# One worker sees all totals, because an enterprise's outlets are everywhere; a table that every
# worker holds whole has one partition; and what was done has one order.
PARTITIONS_FIXED: Final = frozenset({TOTALS, REFERENCE, AUDIT})


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be.

    `name` includes the prefix. `key` says what a record's key is made of. `config` holds the topic
    settings that must be so, in Kafka's spelling; what it does not name is the cluster's business.
    `producers` and `consumers` name our stages and commands, or `outside`.
    """

    name: str
    key: str
    partitions: int
    description: str
    personal_data: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    producers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()


def catalogue(
    prefix: str = PREFIX_DEFAULT,
    partitions: Mapping[str, int] | None = None,
) -> Mapping[str, Topic]:
    """Every topic by its short name (`SHIPMENTS`, ...), in the order in which data flows.

    `partitions` overrides the default counts by short name. Topics that follow another's count
    follow its override. Raises ValueError, with all that is wrong, for a name that is not known,
    that follows another or is fixed, and for a count below 1.
    """
    counts = _partition_counts(partitions or {})
    topics = (*_inputs(counts), *_internal(counts), *_outputs(counts))
    return MappingProxyType(
        {
            topic.name: replace(
                topic,
                name=prefix + topic.name,
                config=MappingProxyType({"compression.type": "producer", **topic.config}),
            )
            for topic in topics
        },
    )


def compliance_topic(enterprise_id: str) -> str:
    """Return the name of an enterprise's topic, without prefix."""
    return f"{COMPLIANCE}.{enterprise_id}"


def compliance_topics(
    enterprises: Iterable[str],
    prefix: str = PREFIX_DEFAULT,
    partitions: Mapping[str, int] | None = None,
) -> Mapping[str, Topic]:
    """Return the topic of each enterprise by its short name.

    Compacted, so that whoever reads it from its beginning has the present state; `max.compaction.lag.ms`
    bounds how long a waybill stays after `parcel.expired` or `parcel.retracted` has taken it out, and
    records older than half a year go in any case. `partitions` as for `catalogue`.
    """
    count = _partition_counts(partitions or {})[COMPLIANCE]
    config = {
        "compression.type": "producer",
        **_compacted(180),
        "max.compaction.lag.ms": str(DAY_MS),
        "delete.retention.ms": str(DAY_MS),
    }
    return MappingProxyType(
        {
            compliance_topic(enterprise): Topic(
                name=prefix + compliance_topic(enterprise),
                key="family|subject|date or episode",
                partitions=count,
                description="CloudEvents for one enterprise: its rates, days, alerts and parcels",
                personal_data=True,
                config=MappingProxyType(config),
                producers=(COMPLIANCE,),
                consumers=("outside",),
            )
            for enterprise in sorted(set(enterprises))
        },
    )


def _partition_counts(overrides: Mapping[str, int]) -> Mapping[str, int]:
    wrong = []
    for name, count in overrides.items():
        if name in PARTITIONS_AS:
            wrong.append(f"{name} has as many partitions as {PARTITIONS_AS[name]}; set that one's")
        elif name == COMPLIANCE_STATE:
            wrong.append(f"{name} has as many partitions as all that the stage reads; leave it out")
        elif name in PARTITIONS_FIXED:
            wrong.append(f"{name} always has one partition; leave it out")
        elif name not in PARTITIONS_DEFAULT:
            wrong.append(f"there is no topic {name}; take one of {', '.join(PARTITIONS_DEFAULT)}")
        elif count < 1:
            wrong.append(f"{name} cannot have {count} partitions; give it at least one")
    if wrong:
        raise ValueError("\n".join(wrong))
    counts = {**PARTITIONS_DEFAULT, **overrides}
    counts |= {name: counts[followed] for name, followed in PARTITIONS_AS.items()}
    return {**counts, COMPLIANCE_STATE: sum(counts[name] for name in COMPLIANCE_INPUTS)}


def _deleted_after(days: int) -> Mapping[str, str]:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * DAY_MS),
        "segment.ms": str(SEGMENT_MS),
    }


def _compacted(delete_after_days: int | None = None) -> Mapping[str, str]:
    config = {"cleanup.policy": "compact", "max.message.bytes": str(MESSAGE_BYTES_MAX)}
    if delete_after_days is None:
        return config
    return {**config, **_deleted_after(delete_after_days), "cleanup.policy": "compact,delete"}


# Deleted by us, below the offset that a snapshot or a reader's commit made needless, and by nobody
# else: a log that lost its beginning to a timer restores to wrong figures.
_NEVER_BY_TIME: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cleanup.policy": "delete",
        "retention.ms": FOREVER,
        "retention.bytes": FOREVER,
        "max.message.bytes": str(MESSAGE_BYTES_MAX),
        "segment.bytes": str(SEGMENT_BYTES),
        "segment.ms": str(SEGMENT_MS),
    },
)


def _inputs(counts: Mapping[str, int]) -> tuple[Topic, ...]:
    return (
        Topic(
            name=SHIPMENTS,
            key="waybill_no",
            partitions=counts[SHIPMENTS],
            description="every parcel-level record, and heartbeats",
            personal_data=True,
            config={
                **_deleted_after(SHIPMENTS_RETENTION_DAYS),
                # The broker's clock says when we had a record, whatever its producer claims.
                "message.timestamp.type": "LogAppendTime",
                "max.message.bytes": str(SHIPMENT_BYTES_MAX),
            },
            producers=("outside", "match", "dlq"),
            consumers=("match",),
        ),
        Topic(
            name=SHIPMENTS_DLQ,
            key="as received",
            partitions=counts[SHIPMENTS_DLQ],
            description="what could not be used, byte for byte, with the reason in headers",
            personal_data=True,
            config={**_deleted_after(30), "max.message.bytes": str(MESSAGE_BYTES_MAX)},
            producers=("match",),
            consumers=("dlq", "compliance", "outside"),
        ),
        Topic(
            name=REFERENCE,
            key="kind",
            partitions=counts[REFERENCE],
            description="snapshots of outlets, periods, agreements and sources, with versions",
            config={
                **_compacted(),
                "min.compaction.lag.ms": str(REFERENCE_LAG_DAYS * DAY_MS),
            },
            producers=("reference",),
            consumers=("match", "rate", "rollup", "compliance", "notify", "serve"),
        ),
    )


def _internal(counts: Mapping[str, int]) -> tuple[Topic, ...]:
    return (
        Topic(
            name=COUNTS,
            key="none; the partition is explicit",
            partitions=counts[COUNTS],
            description="changes of cells, packed, one record per source and target partition",
            config=_NEVER_BY_TIME,
            producers=("match",),
            consumers=("rate",),
        ),
        Topic(
            name=TOTALS,
            key="none; the partition is explicit",
            partitions=counts[TOTALS],
            description="outlets' changes and verdicts on their way to the roll-ups",
            config=_NEVER_BY_TIME,
            producers=("rate",),
            consumers=("rollup",),
        ),
        *(
            Topic(
                name=name,
                key="none; the partition is the input's",
                partitions=counts[name],
                description=f"the state of {stage}, from which a worker restores it",
                # Of the stages only these know waybills.
                personal_data=name in (MATCH_STATE, COMPLIANCE_STATE),
                config=_NEVER_BY_TIME,
                producers=(stage,),
                consumers=(stage,),
            )
            for name, stage in (
                (MATCH_STATE, "match"),
                (RATE_STATE, "rate"),
                (ROLLUP_STATE, "rollup"),
                (COMPLIANCE_STATE, COMPLIANCE),
            )
        ),
    )


def _outputs(counts: Mapping[str, int]) -> tuple[Topic, ...]:
    return (
        Topic(
            name=RATES,
            key="granularity|scope",
            partitions=counts[RATES],
            description="a scope's rolling rates now, its target and verdict",
            config={**_compacted(30), "segment.ms": str(RATES_SEGMENT_MS)},
            producers=("rate", "rollup"),
            consumers=("compliance", "serve", "outside"),
        ),
        Topic(
            name=DAYS,
            key="granularity|scope|date",
            partitions=counts[DAYS],
            description="a scope's figures of one business day, revised until its final close",
            config=_compacted(),
            producers=("rate", "rollup"),
            consumers=("compliance", "serve", "outside"),
        ),
        Topic(
            name=ALERTS,
            key="alert_id|episode",
            partitions=counts[ALERTS],
            description="an alert's life; repeated daily while it is open",
            config=_compacted(180),
            producers=("rollup",),
            consumers=("compliance", "notify", "serve", "outside"),
        ),
        Topic(
            name=ALERTS_ACKS,
            key="alert_id|episode",
            partitions=counts[ALERTS_ACKS],
            description="who has taken on an alert; people write it, never the roll-ups",
            # It names the officer.
            personal_data=True,
            config=_compacted(180),
            producers=("alerts ack", "serve"),
            consumers=("alerts", "notify", "serve"),
        ),
        Topic(
            name=PARCELS_MISSING,
            key="waybill_no",
            partitions=counts[PARCELS_MISSING],
            description="a parcel still uncovered at maturity; a tombstone once it is covered",
            personal_data=True,
            config=_compacted(7),
            producers=("match",),
            consumers=("compliance", "serve", "outside"),
        ),
        Topic(
            name=AUDIT,
            key="none; there is one partition",
            partitions=counts[AUDIT],
            description="who did what to personal data, and when; nothing of the data themselves",
            config=_deleted_after(AUDIT_RETENTION_DAYS),
            producers=("dlq",),
            consumers=("dlq", "outside"),
        ),
    )
