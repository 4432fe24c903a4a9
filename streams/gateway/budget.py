"""How much of requests may be in memory at once, in all and of one enterprise."""

from collections import Counter
from types import TracebackType
from typing import Final, Self

SHARE_MAX: Final = 0.5
"""Of the whole, what one enterprise may hold: the others must still find room."""


class NoRoom(Exception):  # noqa: N818 (what was found)
    """There is no room now. What has been taken is given back in a moment."""


class Budget:
    """Bytes that are held, against a limit. For one thread."""

    def __init__(self, limit: int) -> None:
        """Hold at most `limit` bytes."""
        self._limit = limit
        self._by: Counter[str] = Counter()
        self.held = 0
        """Bytes held now."""

    def lease(self, by: str) -> "Lease":
        """Return what one request of an enterprise takes from."""
        return Lease(self, by)

    def take(self, by: str, size: int) -> None:
        """Take bytes, for `give` to give back; raises NoRoom and takes none where there is no room."""
        if self.held + size > self._limit or self._by[by] + size > self._limit * SHARE_MAX:
            raise NoRoom
        self.held += size
        self._by[by] += size

    def give(self, by: str, size: int) -> None:
        """Give bytes back."""
        self.held -= size
        self._by[by] -= size
        if not self._by[by]:
            del self._by[by]


class Lease:
    """What one request has taken; given back at the end of the `with` block, whatever happens."""

    def __init__(self, budget: Budget, by: str) -> None:
        """Begin with nothing."""
        self._budget = budget
        self._by = by
        self._taken = 0

    def grow_to(self, size: int) -> None:
        """Take what is missing to `size` bytes; raises NoRoom."""
        if size > self._taken:
            self._budget.take(self._by, size - self._taken)
            self._taken = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.give(self._by, self._taken)
