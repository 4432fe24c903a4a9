"""Who may see what: bearer tokens, each with its scope, in a TOML file that holds only their hashes.

    [[tokens]]
    name = "Ordos duty desk"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    city_code = "150600"          # or enterprise_id = "...", or both, or region = true

A token is 256 random bits, so its plain SHA-256 tells nobody anything; a password would need more.
"""

import hashlib
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.serve.rows import Row

TOKEN_PREFIX: Final = "rns_"  # noqa: S105 (by which leaked ones are recognised; no secret)
_TOKEN_BYTES: Final = 32
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = frozenset({"name", "sha256", "region", "city_code", "enterprise_id"})
_CITY_DIGITS: Final = 4


class TokensFileError(Exception):
    """The file of tokens is wrong. `mistakes` names every one, and what to do."""

    def __init__(self, *mistakes: str) -> None:
        """Take all mistakes that were found."""
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody may see: everything, or what lies in one city, or is one enterprise's, or both.

    `name` is for the log. A city sees its counties, outlets and the enterprises' shares in it, not the
    region and not an enterprise as a whole.
    """

    name: str
    city_code: str | None = None
    enterprise_id: str | None = None

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

    def __init__(self, accesses: Mapping[str, Access]) -> None:
        """Take what each token may see, by the token's SHA-256 in hexadecimal digits."""
        self._accesses = accesses

    def access(self, token: str) -> Access | None:
        """Return what a token may see; None for one that is not known."""
        # A look-up by hash tells by its time nothing that would help to guess a token.
        return self._accesses.get(hash_of(token))


def hash_of(token: str) -> str:
    """Return a token as it stands in the file."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Return a token that nobody has had."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def read_tokens(path: Path) -> Tokens:
    """Read the file.

    Raises:
        TokensFileError: It cannot be read or is wrong; nothing of it is used.
    """
    try:
        tables = tomllib.loads(path.read_text("utf8")).get("tokens", [])
    except OSError as error:
        raise TokensFileError(
            f"{path}: cannot be read ({error.strerror}); check --tokens"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TokensFileError(f"{path}: is not TOML: {error}; correct that line") from error
    if not isinstance(tables, list) or not tables:
        raise TokensFileError(
            f"{path}: has no [[tokens]]; make one with `realname serve --new-token NAME`"
        )
    accesses: dict[str, Access] = {}
    mistakes: list[str] = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}: token {number}"
        if not isinstance(table, dict):
            mistakes.append(f"{where}: is no table; write [[tokens]] above it")
            continue
        found = list(_mistakes(table))
        mistakes += [f"{where}: {mistake}" for mistake in found]
        if not found:
            if table["sha256"] in accesses:
                mistakes.append(f"{where}: has the hash of an earlier one; give it its own")
            accesses[table["sha256"]] = Access(
                table["name"], table.get("city_code"), table.get("enterprise_id")
            )
    if mistakes:
        raise TokensFileError(*mistakes)
    return Tokens(accesses)


def _mistakes(table: Mapping[str, object]) -> list[str]:
    found = [f"{name} is not known; remove it" for name in sorted(table.keys() - _FIELDS)]
    if not isinstance(table.get("name"), str) or not table["name"]:
        found.append("has no name; say whose it is")
    if not _SHA256.fullmatch(str(table.get("sha256", ""))):
        found.append("sha256 is not 64 hexadecimal digits; `realname serve --new-token` makes one")
    found += [
        f'{name} is no text; write {name} = "..."'
        for name in ("city_code", "enterprise_id")
        if name in table and (not isinstance(table[name], str) or not table[name])
    ]
    limited = "city_code" in table or "enterprise_id" in table
    # What is left out must not open everything: the widest scope is the one to be spelt out.
    if not limited and table.get("region") is not True:
        found.append("has no scope; write region = true, city_code or enterprise_id")
    if limited and "region" in table:
        found.append("has region beside a narrower scope; remove one")
    return found
