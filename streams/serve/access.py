"""Who may see what, by bearer token; `streams.tokens` has the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.kafka.clock import now_ms
from streams.serve.rows import Row
from streams.tokens import has_expired, hash_of, read_grants

_CITY_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody may see: everything, or what lies in one city, or is one enterprise's, or both.

    `name` is for the log. A city sees its counties, outlets and the enterprises' shares in it, not the
    region and not an enterprise as a whole. From `expires_ms` on, if there is one, it is nobody's.
    """

    name: str
    city_code: str | None = None
    enterprise_id: str | None = None
    expires_ms: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is hidden."""
        return self.city_code is None and self.enterprise_id is None

    @property
    def head(self) -> str:
        """Granularity of the scope that is all that may be seen."""
        if self.enterprise_id is not None:
            return "ENTERPRISE" if self.city_code is None else "ENTERPRISE_CITY"
        return "REGION" if self.city_code is None else "CITY"

    @property
    def head_id(self) -> str | None:
        """Id of that scope; None for the region, of which there is one."""
        return "|".join(filter(None, (self.enterprise_id, self.city_code))) or None

    @property
    def sees_officers(self) -> bool:
        """Whether the names of duty officers may be seen: an enterprise has no use for them."""
        return self.enterprise_id is None

    @property
    def sees_small_cells(self) -> bool:
        """Whether figures of a few parcels may be seen: by the regulator's offices, by nobody else."""
        return self.enterprise_id is None

    def sees(self, row: Row) -> bool:
        """Return whether a row may be seen."""
        return self.sees_place(row.city_code, row.enterprise_id)

    def sees_place(self, city_code: str | None, enterprise_id: str | None) -> bool:
        """Return whether what belongs there may be seen; None is what spans several."""
        return (self.city_code is None or self.city_code == city_code) and (
            self.enterprise_id is None or self.enterprise_id == enterprise_id
        )

    def forbids(
        self, *, city_code: str | None, county_code: str | None, enterprise_id: str | None
    ) -> bool:
        """Return whether these filters, None where there is none, ask for what may not be seen."""
        others_city = self.city_code is not None and (
            city_code not in (None, self.city_code)
            or (county_code or self.city_code)[:_CITY_DIGITS] != self.city_code[:_CITY_DIGITS]
        )
        return others_city or (
            self.enterprise_id is not None and enterprise_id not in (None, self.enterprise_id)
        )


OPEN: Final = Access("everybody on this machine")
"""Without a file of tokens."""


class Tokens:
    """The tokens of one file."""

    def __init__(
        self, accesses: Mapping[str, Access], *, clock: Callable[[], int] = now_ms
    ) -> None:
        """Take what each token may see, by the token's SHA-256 in hexadecimal digits."""
        self._accesses = accesses
        self._clock = clock

    def access(self, token: str) -> Access | None:
        """Return what a token may see; None for one that is not known, or no longer."""
        # A look-up by hash tells by its time nothing that would help to guess a token.
        access = self._accesses.get(hash_of(token))
        if access is None or has_expired(access.expires_ms, self._clock()):
            return None
        return access


def read_tokens(path: Path) -> Tokens:
    """Read the tokens of a file with which something may be read.

    Raises:
        TokensFileError: It cannot be read or is wrong; nothing of it is used.
    """
    return Tokens(
        {
            grant.sha256: Access(grant.name, grant.city_code, grant.enterprise_id, grant.expires_ms)
            for grant in read_grants(path)
            if "read" in grant.may
        }
    )
