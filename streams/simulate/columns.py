"""Tables as columns: what the simulator draws with numpy, one chunk of collection time at once."""

from collections.abc import Sequence
from dataclasses import Field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Columns:
    """Columns of one length; what is derived from it is a dataclass of arrays."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def take(self, index: Ints | Bools) -> Self:
        """Return the rows at an index or a mask."""
        return type(self)(**{name: getattr(self, name)[index] for name in self._names()})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts, in their order."""
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in cls._names()
        }
        return cls(**columns)

    def but(self, **columns: Ints) -> Self:
        """Return the same rows with other columns in place of some."""
        return type(self)(
            **{name: columns.get(name, getattr(self, name)) for name in self._names()}
        )

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(cls.__dataclass_fields__)

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(getattr(self, self._names()[0]))


def some(rows: Columns, share: float, rng: np.random.Generator) -> Bools:
    """Draw a mask of rows, each with the same chance."""
    return rng.random(rows.count) < share


def pick(cumulated: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Draw indexes by cumulated weights."""
    index: Ints = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right")
    return np.minimum(index, len(cumulated) - 1)
