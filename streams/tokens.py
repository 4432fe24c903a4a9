"""Bearer tokens: what each is for, in a TOML file that holds only their hashes.

    [[tokens]]
    name = "Ordos duty desk"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    city_code = "150600"          # or enterprise_id = "...", or both, or region = true
    expires = 2027-01-01T00:00:00+08:00

    [[tokens]]
    name = "ZTO, its own records"
    sha256 = "..."
    enterprise_id = "911500000000010041"
    brands = ["ZTO"]              # otherwise all of the enterprise's
    may = ["write"]               # through the gateway; otherwise only read, from serve
    certificate_sha256 = "..."    # only with this client certificate

A token is 256 random bits, so its plain SHA-256 tells nobody anything; a password would need more.
"""

import hashlib
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

TOKEN_PREFIX: Final = "rns_"  # noqa: S105 (by which leaked ones are recognised; no secret)
_TOKEN_BYTES: Final = 32
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TEXTS: Final = ("city_code", "enterprise_id")
_FIELDS: Final = frozenset(
    {"name", "sha256", "region", *_TEXTS, "brands", "may", "expires", "certificate_sha256"}
)

Right = Literal["read", "write"]
_RIGHTS: Final[tuple[Right, ...]] = get_args(Right)


class TokensFileError(Exception):
    """The file of tokens is wrong. `mistakes` names every one, and what to do."""

    def __init__(self, *mistakes: str) -> None:
        """Take all mistakes that were found."""
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token is for.

    Attributes:
        name: Whose it is, for the log.
        sha256: Its hash in hexadecimal digits.
        city_code: The one city that it is for; None for all.
        enterprise_id: The one enterprise that it is for; None for all.
        brands: The enterprise's brands that it is for; empty for all of them.
        may: What may be done with it.
        expires_ms: From when on it is worth nothing; None for never.
        certificate_sha256: Hash of the client certificate without which it is worth nothing.

    """

    name: str
    sha256: str
    city_code: str | None = None
    enterprise_id: str | None = None
    brands: frozenset[str] = frozenset()
    may: frozenset[Right] = frozenset({"read"})
    expires_ms: int | None = None
    certificate_sha256: str | None = None


def hash_of(token: str) -> str:
    """Return a token as it stands in the file."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Return a token that nobody has had."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def has_expired(expires_ms: int | None, now_ms: int) -> bool:
    """Return whether a token's time is over."""
    return expires_ms is not None and now_ms >= expires_ms


def read_grants(path: Path) -> Sequence[Grant]:
    """Read the file; no two grants have one hash.

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
    grants: dict[str, Grant] = {}
    mistakes: list[str] = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}: token {number}"
        if not isinstance(table, dict):
            mistakes.append(f"{where}: is no table; write [[tokens]] above it")
            continue
        found = list(_mistakes(table))
        mistakes += [f"{where}: {mistake}" for mistake in found]
        if not found:
            if table["sha256"] in grants:
                mistakes.append(f"{where}: has the hash of an earlier one; give it its own")
            grants[table["sha256"]] = _grant(table)
    if mistakes:
        raise TokensFileError(*mistakes)
    return list(grants.values())


def _grant(table: Mapping[str, object]) -> Grant:
    expires = table.get("expires")
    texts = {name: str(table[name]) for name in (*_TEXTS, "certificate_sha256") if name in table}
    rights = _listed(table, "may") or ("read",)
    return Grant(
        str(table["name"]),
        str(table["sha256"]),
        brands=frozenset(_listed(table, "brands")),
        may=frozenset(right for right in _RIGHTS if right in rights),
        expires_ms=int(expires.timestamp() * 1000) if isinstance(expires, datetime) else None,
        **texts,
    )


def _mistakes(table: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{name} is not known; remove it" for name in sorted(table.keys() - _FIELDS))
    if not isinstance(table.get("name"), str) or not table["name"]:
        yield "has no name; say whose it is"
    if not _SHA256.fullmatch(str(table.get("sha256", ""))):
        yield "sha256 is not 64 hexadecimal digits; `realname serve --new-token` makes one"
    for name in _TEXTS:
        if name in table and (not isinstance(table[name], str) or not table[name]):
            yield f'{name} is no text; write {name} = "..."'
    yield from _mistakes_of_scope(table)
    yield from _mistakes_of_rights(table)


def _mistakes_of_scope(table: Mapping[str, object]) -> Iterator[str]:
    limited = "city_code" in table or "enterprise_id" in table
    # What is left out must not open everything: the widest scope is the one to be spelt out.
    if not limited and table.get("region") is not True:
        yield "has no scope; write region = true, city_code or enterprise_id"
    if limited and "region" in table:
        yield "has region beside a narrower scope; remove one"


def _mistakes_of_rights(table: Mapping[str, object]) -> Iterator[str]:
    for name in ("brands", "may"):
        if name in table and not _listed(table, name):
            yield f'{name} is no list of texts; write {name} = ["...", "..."], or leave it out'
    rights = _listed(table, "may")
    unknown = sorted(set(rights) - set(_RIGHTS))
    if unknown:
        yield f"may has {', '.join(unknown)}; there are {' and '.join(_RIGHTS)}"
    if "write" in rights and ("enterprise_id" not in table or "city_code" in table):
        yield "may write, so it needs enterprise_id, and no city_code; correct that"
    if "brands" in table and "write" not in rights:
        yield 'has brands, which limit only what may be written; add may = ["write"]'
    expires = table.get("expires")
    if "expires" in table and (not isinstance(expires, datetime) or expires.tzinfo is None):
        yield "expires is no time with an offset; write it like 2027-01-01T00:00:00+08:00"
    if "certificate_sha256" in table and not _SHA256.fullmatch(str(table["certificate_sha256"])):
        yield "certificate_sha256 is not 64 hexadecimal digits; correct it"


def _listed(table: Mapping[str, object], name: str) -> Sequence[str]:
    found = table.get(name)
    whole = isinstance(found, list) and all(isinstance(one, str) and one for one in found)
    return [str(one) for one in found] if whole and isinstance(found, list) else []
