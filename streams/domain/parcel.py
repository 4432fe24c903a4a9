"""One parcel: everything that is known of a waybill, and what it adds to which cell.

The facts of a waybill come in any order, repeatedly and late. A `Parcel` keeps just as much of them as
is needed for the same counts to come out whatever the order was: `counts` is a function of the *set* of
facts. A stage takes the counts before a fact and after it, and passes on the difference; so undoing
takes back exactly what was counted.
"""

from dataclasses import dataclass, field
from typing import Final

from streams.domain.category import EXEMPT_CATEGORIES, Category
from streams.domain.cell import COUNTERS, Counter, cell_of, group_of
from streams.domain.window import pane_of


@dataclass(slots=True)
class Collection:
    """The collection that owns the parcel: of all that were recorded, the least (time, source, id).

    Attributes:
        outlet: The outlet's number.
        category: The category's number.
        scope: Bits of the destination-scoped periods that it falls under, frozen at collection.
        agreement_id: The agreement that the parcel waits for, or "" for none.
        cover_ms: Upload time of its cover by an agreement, or None.

    """

    time_ms: int
    source: str
    id: str
    outlet: int
    category: int
    scope: int
    agreement_id: str
    cover_ms: int | None

    @property
    def rank(self) -> tuple[int, str, str]:
        """What decides between two collections of one waybill; the least owns the parcel."""
        return self.time_ms, self.source, self.id

    @property
    def cell(self) -> int:
        """The cell that the parcel counts in."""
        return cell_of(group_of(self.outlet, self.category, self.scope), pane_of(self.time_ms))


@dataclass(slots=True)
class Registration:
    """One registration, told apart by `registration_id` from its retries and repeats.

    Attributes:
        time_ms: When it happened, by its earliest record.
        outlet: Number of the outlet that it claims, from that record.
        decided_ms: `recorded_at` of the record that decides its result.
        matched: Whether the identity was verified, by the record with the greatest (recorded_at,
            not matched): at one instant the unfavourable result wins.
        upload_ms: Least upload time of its matched records; None while there is none.
        backdated: Whether that upload time replaced a `recorded_at` that nobody could confirm.

    """

    registration_id: str
    time_ms: int
    outlet: int
    decided_ms: int
    matched: bool
    upload_ms: int | None
    backdated: bool


@dataclass(slots=True)
class Parcel:
    """All facts of one waybill.

    Attributes:
        owner: The owning collection; None while none has arrived.
        rescans: (source, id) of every other collection.
        registrations: In order of arrival.
        revoked: Registration ids that were revoked, whether they are known yet or not.
        void_ms: Time of the earliest void; None for none.
        hub_ms: Time of the earliest hub scan; None for none.
        first_ms: Least time of any fact; decides when a parcel without a collection is given up.

    """

    first_ms: int
    owner: Collection | None = None
    rescans: list[tuple[str, str]] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    void_ms: int | None = None
    hub_ms: int | None = None

    def collect(self, collection: Collection) -> None:
        """Take in a collection. A repeat of a known (source, id) changes nothing."""
        self.first_ms = min(self.first_ms, collection.time_ms)
        record = (collection.source, collection.id)
        owner = self.owner
        if record in self.rescans or (owner and record == (owner.source, owner.id)):
            return
        if owner is None:
            self.owner = collection
        elif collection.rank < owner.rank:
            self.rescans.append((owner.source, owner.id))
            self.owner = collection
        else:
            self.rescans.append(record)

    def register(self, new: Registration) -> None:
        """Take in a registration, a retry or a repeat of one; the order does not matter."""
        self.first_ms = min(self.first_ms, new.time_ms)
        for known in self.registrations:
            if known.registration_id == new.registration_id:
                _merge(known, new)
                return
        self.registrations.append(new)

    def revoke(self, registration_id: str, time_ms: int) -> None:
        """Take in a revocation, of a registration that is known or is yet to come."""
        self.first_ms = min(self.first_ms, time_ms)
        if registration_id not in self.revoked:
            self.revoked.append(registration_id)

    def void(self, time_ms: int) -> None:
        """Take in that the waybill was voided."""
        self.first_ms = min(self.first_ms, time_ms)
        self.void_ms = time_ms if self.void_ms is None else min(self.void_ms, time_ms)

    def scan(self, time_ms: int) -> None:
        """Take in a hub's outbound scan."""
        self.first_ms = min(self.first_ms, time_ms)
        self.hub_ms = time_ms if self.hub_ms is None else min(self.hub_ms, time_ms)

    @property
    def valid(self) -> list[Registration]:
        """The registrations that cover: matched and not revoked."""
        return [
            r for r in self.registrations if r.matched and r.registration_id not in self.revoked
        ]

    @property
    def voided(self) -> bool:
        """Whether the waybill was voided before it left a hub."""
        return self.void_ms is not None and (self.hub_ms is None or self.void_ms <= self.hub_ms)

    @property
    def eligible(self) -> bool:
        """Whether the parcel is in the base of the rate."""
        owner = self.owner
        return owner is not None and owner.category not in EXEMPT_CATEGORIES and not self.voided

    @property
    def cover_ms(self) -> int | None:
        """Upload time of the earliest cover, by a registration or an agreement; None while uncovered."""
        uploads = [r.upload_ms for r in self.valid if r.upload_ms is not None]
        if self.owner is not None and self.owner.cover_ms is not None:
            uploads.append(self.owner.cover_ms)
        return min(uploads, default=None)

    @property
    def missing(self) -> bool:
        """Whether the parcel is in the base and not covered; it counts as missing once mature."""
        return self.eligible and self.cover_ms is None


Counts = list[int]
"""One figure per `Counter`, in its order."""

_NOTHING: Final = (0,) * COUNTERS


def counts(parcel: Parcel, *, grace_ms: int) -> Counts:
    """Return what a collected parcel adds to its owner's cell; all zero while it has no collection.

    `grace_ms` is how long after its collection a registration is still on time. Source: DOMAIN 4.2.
    """
    figures = list(_NOTHING)
    owner = parcel.owner
    if owner is None:
        return figures
    valid = parcel.valid
    if parcel.voided:
        figures[Counter.VOIDED] = 1
    elif owner.category in EXEMPT_CATEGORIES:
        figures[Counter.EXEMPT] = 1
    else:
        figures[Counter.ELIGIBLE] = 1
        cover_ms = parcel.cover_ms
        if cover_ms is not None:
            late = cover_ms > owner.time_ms + grace_ms
            figures[Counter.COVERED_LATE if late else Counter.COVERED_ON_TIME] = 1
    figures[Counter.RESCANS] = len(parcel.rescans)
    figures[Counter.DUPLICATES] = max(0, len(valid) - 1)
    figures[Counter.ATTEMPTS_FAILED] = sum(
        not r.matched and r.registration_id not in parcel.revoked for r in parcel.registrations
    )
    figures[Counter.BACKDATED] = sum(r.backdated for r in valid)
    return figures


def orphan_cell(parcel: Parcel) -> int | None:
    """Return the cell in which an uncollected parcel counts as an orphan, or None when it is none.

    It is one if any registration is valid: of the outlet that the earliest of those claims, in the
    pane of that registration, unclassified.
    """
    first = min(parcel.valid, key=lambda r: (r.time_ms, r.registration_id), default=None)
    if first is None:
        return None
    return cell_of(group_of(first.outlet, Category.UNCLASSIFIED, 0), pane_of(first.time_ms))


def closing_ms(parcel: Parcel) -> int:
    """Return the collection time from which the final close of the parcel is reckoned.

    Without a collection that is its earliest registration, or else its earliest fact.
    """
    if parcel.owner is not None:
        return parcel.owner.time_ms
    return min((r.time_ms for r in parcel.registrations), default=parcel.first_ms)


def _merge(known: Registration, new: Registration) -> None:
    """Fold another record of the same registration into what is known of it."""
    known.time_ms, known.outlet = min((known.time_ms, known.outlet), (new.time_ms, new.outlet))
    if (new.decided_ms, not new.matched) > (known.decided_ms, not known.matched):
        known.decided_ms, known.matched = new.decided_ms, new.matched
    if new.upload_ms is not None and (
        known.upload_ms is None
        or (new.upload_ms, new.backdated) < (known.upload_ms, known.backdated)
    ):
        known.upload_ms, known.backdated = new.upload_ms, new.backdated
