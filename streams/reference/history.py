"""From the records of the `reference` topic to a history, and from a file's listing to records.

Key of a record: `kind|version`. One record is written per apply; a superseded one gets a tombstone
when the apply that superseded it is older than anything a stage could still go back to.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from streams.domain.window import DAY_MS, MINUTE_MS, tick_at_or_after
from streams.reference.codec import Snapshot, decode, encode, kind_data, overlaid
from streams.reference.listing import KIND_OF, AnyListing, Kind
from streams.reference.mistakes import Mistake, ReferenceFileError
from streams.reference.snapshot import apply_listing
from streams.reference.types import Reference, ReferenceHistory

LEAD_MS: Final = 2 * MINUTE_MS
"""How far ahead a new version takes effect by default: every worker has read it by then."""

SUPERSEDED_KEPT_MS: Final = 8 * DAY_MS
"""Topics and states go back 7 days; with a day to spare, nothing asks for an older version."""

Records = Mapping[bytes, bytes | None]
"""The topic's latest value by key; None is a tombstone."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How many items of a kind an apply added, changed and removed."""

    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class Apply:
    """What an apply writes: `key` and `value`, and after it a tombstone for each superseded key.

    `effective_at_ms` is 0 for the first version of a kind: it holds from the beginning of time.
    """

    kind: Kind
    version: int
    effective_at_ms: int
    key: bytes
    value: bytes
    superseded_keys: tuple[bytes, ...]
    changes: Changes


def key_of(kind: Kind, version: int) -> bytes:
    """Return the key of a record."""
    return f"{kind.value}|{version}".encode()


def latest_values(records: Iterable[tuple[bytes, bytes | None]]) -> Records:
    """Return the topic's latest value by key, of records in the order of their offsets."""
    return dict(records)


def assemble(records: Iterable[tuple[bytes, bytes | None]]) -> ReferenceHistory:
    """Return the history that the records of the `reference` topic tell, in whatever order.

    A key with a tombstone is ignored. The oldest known version of a kind holds from the beginning
    of time: there is nothing else to go by.

    Raises:
        SnapshotError: A record cannot be read.
    """
    return ReferenceHistory.of_timeline(_timeline(_living(records)))


def newest_snapshots(
    records: Iterable[tuple[bytes, bytes | None]],
) -> Mapping[Kind, Snapshot]:
    """Return the newest apply of each kind that has one, in effect yet or not.

    Raises:
        SnapshotError: A record cannot be read.
    """
    return {snapshot.kind: snapshot for snapshot in _living(records)}


def plan_apply(
    records: Records, listing: AnyListing, *, now_ms: int, effective_at_ms: int | None = None
) -> Apply | None:
    """Return what applying a listing writes; None when it changes nothing.

    Args:
        records: All records of the topic; a version that follows them all is made.
        listing: What to apply.
        now_ms: The wall time.
        effective_at_ms: From when it is used, rounded up to a tick; by default `LEAD_MS` from now.
            The first version of a kind holds from the beginning, whatever is said here.

    Raises:
        ReferenceFileError: The listing contradicts what is known.
        SnapshotError: A record cannot be read.

    """
    kind = KIND_OF[type(listing)]
    snapshots = _living(records.items())
    points = _timeline(snapshots)
    current = points[-1] if points else Reference()
    newest = [snapshot for snapshot in snapshots if snapshot.kind is kind][-1:]
    if newest and _changes_nothing(newest[0], listing):
        return None
    if not newest:
        effective_at_ms = 0
    elif effective_at_ms is None:
        effective_at_ms = now_ms + LEAD_MS
    effective_at_ms = tick_at_or_after(effective_at_ms)
    # A withdrawn record's number is not given again, or its tombstone would hide the new record.
    version = 1 + max((_version_of(key) for key in records), default=0)
    reference = apply_listing(current, listing, version=version, effective_at_ms=effective_at_ms)
    data = kind_data(kind, reference)
    snapshot = Snapshot(kind, version, effective_at_ms, now_ms, data)
    return Apply(
        kind=kind,
        version=version,
        effective_at_ms=effective_at_ms,
        key=key_of(kind, version),
        value=encode(snapshot),
        superseded_keys=_superseded(kind, snapshots, now_ms),
        changes=_changes(kind, current, reference),
    )


def plan_all(
    records: Records,
    listings: Iterable[AnyListing],
    *,
    now_ms: int,
    effective_at_ms: int | None = None,
) -> Sequence[Apply]:
    """Return what applying several listings in turn writes, without those that change nothing.

    Raises:
        ReferenceFileError: With the mistakes of all listings.
        SnapshotError: A record cannot be read.

    """
    planned: list[Apply] = []
    mistakes: list[Mistake] = []
    records = dict(records)
    for listing in listings:
        try:
            made = plan_apply(records, listing, now_ms=now_ms, effective_at_ms=effective_at_ms)
        except ReferenceFileError as error:
            mistakes += error.mistakes
            continue
        if made is not None:
            planned.append(made)
            records[made.key] = made.value
    if mistakes:
        raise ReferenceFileError(mistakes)
    return planned


def history_of(listings: Iterable[AnyListing]) -> ReferenceHistory:
    """Return a history of what some files list, all of it from the beginning of time.

    Exactly what applying them to an empty topic gives, numbers too.

    Raises:
        ReferenceFileError: With the mistakes of all listings.
    """
    return assemble((made.key, made.value) for made in plan_all({}, listings, now_ms=0))


def _living(records: Iterable[tuple[bytes, bytes | None]]) -> Sequence[Snapshot]:
    values: dict[bytes, bytes] = {}
    buried: set[bytes] = set()
    for key, value in records:
        if value is None:
            buried.add(key)
        else:
            values[key] = value
    snapshots = [decode(value) for key, value in values.items() if key not in buried]
    return sorted(snapshots, key=lambda snapshot: snapshot.version)


def _changes_nothing(latest: Snapshot, listing: AnyListing) -> bool:
    """Return whether a listing is the one that made the latest version of its kind.

    Asked as of that version's own effect, so that what has been kept long enough since, and would
    be forgotten now, does not count as a change.
    """
    try:
        again = apply_listing(
            latest.reference,
            listing,
            version=latest.version,
            effective_at_ms=latest.effective_at_ms,
        )
    except ReferenceFileError:
        return False
    return kind_data(latest.kind, again) == latest.reference


def _version_of(key: bytes) -> int:
    return int(key.rpartition(b"|")[2])


def _in_effect(kind: Kind, snapshots: Sequence[Snapshot]) -> Sequence[Snapshot]:
    """Return a kind's versions in order of effect, without those that a newer one forestalled."""
    chain: list[Snapshot] = []
    for snapshot in snapshots:
        if snapshot.kind is kind:
            while chain and chain[-1].effective_at_ms >= snapshot.effective_at_ms:
                chain.pop()
            chain.append(snapshot)
    return [replace(chain[0], effective_at_ms=0), *chain[1:]] if chain else []


def _timeline(snapshots: Sequence[Snapshot]) -> Sequence[Reference]:
    """Return what holds from each tick at which a version of any kind takes effect."""
    at: dict[int, list[Snapshot]] = defaultdict(list)
    for kind in Kind:
        for snapshot in _in_effect(kind, snapshots):
            at[snapshot.effective_at_ms].append(snapshot)
    points: list[Reference] = []
    reference = Reference()
    for effective_at_ms, taking_effect in sorted(at.items()):
        for snapshot in taking_effect:
            reference = overlaid(reference, snapshot.kind, snapshot.reference)
        version = max([reference.version, *(snapshot.version for snapshot in taking_effect)])
        reference = replace(reference, version=version, effective_at_ms=effective_at_ms)
        points.append(reference)
    return points


def _superseded(kind: Kind, snapshots: Sequence[Snapshot], now_ms: int) -> tuple[bytes, ...]:
    """Return the keys of a kind that were replaced long ago, by effect and by the clock."""
    before_ms = now_ms - SUPERSEDED_KEPT_MS
    in_effect = _in_effect(kind, snapshots)
    living = {in_effect[-1].version} if in_effect else set()
    for earlier, later in pairwise(in_effect):
        if max(later.effective_at_ms, later.applied_at_ms) >= before_ms:
            living.add(earlier.version)
    return tuple(
        key_of(kind, snapshot.version)
        for snapshot in snapshots
        if snapshot.kind is kind and snapshot.version not in living
    )


def _changes(kind: Kind, before: Reference, after: Reference) -> Changes:
    old, new = _items(kind, before), _items(kind, after)
    return Changes(
        added=len(new.keys() - old.keys()),
        changed=sum(old[name] != new[name] for name in old.keys() & new.keys()),
        removed=len(old.keys() - new.keys()),
    )


def _items(kind: Kind, reference: Reference) -> Mapping[str, object]:
    match kind:
        case Kind.OUTLETS:
            return reference.outlets
        case Kind.AGREEMENTS:
            return reference.agreements
        case Kind.SOURCES:
            return reference.sources
        case Kind.PERIODS:
            return {period.event_period_id: period for period in reference.periods}
