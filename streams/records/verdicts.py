"""Changes of outlets' verdicts, as they travel in `totals` beside the changes of cells."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from streams.domain.category import Category
from streams.domain.verdict import RANK_TICKET, Severity, Verdict, status_of_rank

VERDICTS_MAX: Final = 8_000
"""Verdicts of one piece: under 100 bytes each, so that a piece stays under 850 KB."""

NONE: Final = -1


class VerdictChange(msgspec.Struct, array_like=True, frozen=True):
    """An outlet's verdict from one tick on.

    Attributes:
        tick: Minutes since the epoch.
        outlet: The outlet's number.
        day: The business day that was judged.
        pending: Young parcels of that day without a registration, of the worst line's.
        rank: And the rest: see `domain.verdict.Verdict`.

    """

    tick: int
    outlet: int
    day: int
    pending: int
    rank: int
    severity: int
    target: float
    category: int
    event_period_id: str | None
    n: int
    covered: int
    bound: float
    bound_z: float
    clear: bool

    @property
    def verdict(self) -> Verdict:
        """The verdict itself."""
        return Verdict(
            status=status_of_rank(self.rank),
            ticket=self.rank == RANK_TICKET,
            severity=None if self.severity == NONE else Severity(self.severity),
            target=self.target,
            category=None if self.category == NONE else Category(self.category),
            event_period_id=self.event_period_id,
            n=self.n,
            covered=self.covered,
            bound=self.bound,
            bound_z=self.bound_z,
            clear=self.clear,
        )


def encode(changes: Sequence[VerdictChange]) -> Iterator[bytes]:
    """Yield the pieces that carry the changes, each to be decoded alone."""
    for at in range(0, len(changes), VERDICTS_MAX):
        yield msgspec.msgpack.encode(changes[at : at + VERDICTS_MAX])


_decoder: Final = msgspec.msgpack.Decoder(list[VerdictChange])


def decode(pieces: Iterable[bytes]) -> list[VerdictChange]:
    """Return the changes of pieces, in their order; empty pieces carry none."""
    return [change for piece in pieces if piece for change in _decoder.decode(piece)]
