"""How many of each source's latest records were refused: better stopped than a topic in the dead letters.

Counted in blocks of a thousand records or, where a batch brings more, of the whole batch; ten blocks are
looked at. So "the last 10,000" is ten thousand at least, and a flag may come a batch earlier or later.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streams.records.rejects import Reject, RejectCode, TooManyRejects

BLOCK_RECORDS: Final = 1_000
BLOCKS: Final = 10
SHARE_MAX: Final = 0.5
SOURCES_MAX: Final = 1_000
"""Sources watched; records of further ones count together under ""."""

_Blocks = deque[tuple[int, int]]


class RejectRatio:
    """Records and rejects of each source, of its last 10,000 records.

    A reject whose source cannot be read counts under the source "".
    """

    def __init__(self) -> None:
        """Start with no record seen."""
        self._blocks: dict[str, _Blocks] = {}
        self._latest: dict[str, RejectCode] = {}

    def add(self, records: Mapping[str, int], rejects: Sequence[Reject]) -> None:
        """Take in a batch: records that could be decoded, by source, and all rejects."""
        refused: dict[str, int] = {}
        undecoded: dict[str, int] = {}
        for reject in rejects:
            refused[reject.source] = refused.get(reject.source, 0) + 1
            self._latest[self._watched_as(reject.source)] = reject.code
            if reject.code in _BEFORE_DECODE:
                undecoded[reject.source] = undecoded.get(reject.source, 0) + 1
        for source in records.keys() | refused.keys():
            seen = records.get(source, 0) + undecoded.get(source, 0)
            self._add_to(source, seen, refused.get(source, 0))

    def _add_to(self, source: str, seen: int, refused: int) -> None:
        source = self._watched_as(source)
        blocks = self._blocks.setdefault(source, deque([(0, 0)], BLOCKS))
        records, rejects = blocks[-1]
        if records >= BLOCK_RECORDS:
            blocks.append((seen, refused))
        else:
            blocks[-1] = (records + seen, rejects + refused)

    def _watched_as(self, source: str) -> str:
        return source if source in self._blocks or len(self._blocks) < SOURCES_MAX else ""

    @property
    def flagged(self) -> list[str]:
        """Sources of whose last 10,000 records more than half were refused, once they have sent 1,000."""
        return sorted(
            source
            for source, (records, rejects) in self._watched().items()
            if rejects > SHARE_MAX * records
        )

    def stop_if_most_are_refused(self, share_max: float) -> None:
        """Raise TooManyRejects when more than `share_max` of the watched sources are flagged.

        What cannot be ascribed to a source counts as one more source.
        """
        watched, flagged = self._watched(), self.flagged
        if len(flagged) <= share_max * len(watched):
            return
        worst = max(flagged, key=lambda source: watched[source][1])
        # After a restart nothing of the worst source may have been refused yet.
        latest = self._latest.get(worst)
        code = f", lately as {latest.value!r}" if latest else ""
        raise TooManyRejects(
            f"{len(flagged)} of {len(watched)} sources send what is refused, most of it from "
            f"{worst or 'unreadable'!r}{code}; nothing of this batch was "
            "committed. See `realname dlq list`, mend the producer, or set "
            "policy.reject_share_max to 1 to let everything refused go to the dead letters"
        )

    def _watched(self) -> dict[str, tuple[int, int]]:
        """Return records and rejects of the sources that have sent enough to be judged."""
        sums = {
            source: (sum(n for n, _ in blocks), sum(r for _, r in blocks))
            for source, blocks in self._blocks.items()
        }
        return {source: (n, r) for source, (n, r) in sums.items() if n >= BLOCK_RECORDS}

    def dump(self) -> bytes:
        """Return the counts for the state log."""
        return msgspec.msgpack.encode({s: list(b) for s, b in self._blocks.items()})

    def load(self, data: bytes) -> None:
        """Replace the counts with what `dump` gave."""
        loaded = msgspec.msgpack.decode(data, type=dict[str, list[tuple[int, int]]])
        self._blocks = {source: deque(blocks, BLOCKS) for source, blocks in loaded.items()}


_BEFORE_DECODE: Final = frozenset(
    {
        RejectCode.EMPTY,
        RejectCode.OVERSIZED,
        RejectCode.NOT_JSON,
        RejectCode.UNKNOWN_TYPE,
        RejectCode.SCHEMA,
    }
)
