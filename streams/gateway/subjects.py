"""Subjects as keyed tokens: what a producer calls a sender is replaced before it reaches Kafka.

A token is `key_id:` and HMAC-SHA-256 of the producer's pseudonym under a secret key that no topic
holds, so nobody who has the topics, and no enterprise, can tell from a token whose it is. One pseudonym
has one token for as long as a key is in use, whoever sends it. Keys are in a file of their own:

    [[keys]]
    key_id = "k1"
    secret = "..."                       # 32 random bytes in base64
    from = 2026-11-24T00:00:00+08:00     # in use from then on, until the next one's time

A key that is no longer in use is kept for as long as topics hold its tokens: with it, what is known of
somebody who asks can be found. Taken out, its tokens are of nobody any more.
"""

import base64
import binascii
import hmac
import os
import re
import secrets
import stat
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from streams.domain.window import instant_text

SECRET_BYTES: Final = 32
_TOKEN_BYTES: Final = 16  # Half of the hash: no two of the country's billion people share one.
_KEY_ID: Final = re.compile(r"[a-z0-9]{1,16}")
_NO_KEY_ID: Final = "key_id is not 1 to 16 small letters and digits; correct it"
_FIELDS: Final = frozenset({"key_id", "secret", "from"})


class SubjectKeysError(Exception):
    """The file of keys is wrong. `mistakes` names every one, quotes no key, and says what to do."""

    def __init__(self, *mistakes: str) -> None:
        """Take all mistakes that were found."""
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """One key, in use from `from_ms` on."""

    key_id: str
    from_ms: int
    secret: bytes = field(repr=False)

    def token(self, pseudonym: str) -> str:
        """Return the token of what a producer calls a sender."""
        digest = hmac.digest(self.secret, pseudonym.encode(), "sha256")[:_TOKEN_BYTES]
        return f"{self.key_id}:{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


class SubjectKeys:
    """The keys of one file, in the order in which they come into use."""

    def __init__(self, keys: Sequence[SubjectKey]) -> None:
        """Take at least one key."""
        assert keys
        assert all(a.from_ms < b.from_ms for a, b in pairwise(keys))
        self.keys = tuple(keys)

    def at(self, now_ms: int) -> SubjectKey:
        """Return the key in use: before the first one's time, that one."""
        index = bisect_right(self.keys, now_ms, key=lambda key: key.from_ms)
        return self.keys[max(index - 1, 0)]

    def tokens(self, pseudonym: str) -> Sequence[str]:
        """Return the tokens that a pseudonym has under all keys: all that topics may hold of it."""
        return [key.token(pseudonym) for key in self.keys]

    def rotated(self, key_id: str, from_ms: int) -> "SubjectKeys":
        """Return the keys with a new one; raises SubjectKeysError where it does not fit."""
        return SubjectKeys(_checked([*self.keys, new_key(key_id, from_ms)]))

    def without(self, key_id: str, now_ms: int) -> "SubjectKeys":
        """Return the keys without one that is out of use; raises SubjectKeysError for any other."""
        if key_id not in {key.key_id for key in self.keys}:
            raise SubjectKeysError(f"there is no key {key_id}; `realname keys list` shows all")
        if self.at(now_ms).key_id == key_id or len(self.keys) == 1:
            raise SubjectKeysError(f"key {key_id} is in use; rotate first: `realname keys rotate`")
        return SubjectKeys([key for key in self.keys if key.key_id != key_id])

    def text(self) -> str:
        """Return the file's text: secret, so for `write_private` only."""
        return "\n".join(
            f'[[keys]]\nkey_id = "{key.key_id}"\nsecret = "{base64.b64encode(key.secret).decode()}"\n'
            f"from = {instant_text(key.from_ms)}\n"
            for key in self.keys
        )


def new_key(key_id: str, from_ms: int) -> SubjectKey:
    """Return a key that nobody has had; raises SubjectKeysError for a name that is none."""
    if not _KEY_ID.fullmatch(key_id):
        raise SubjectKeysError(_NO_KEY_ID)
    return SubjectKey(key_id, from_ms, secrets.token_bytes(SECRET_BYTES))


def others_may_read(mode: int, *, owner: int, reader: int) -> bool:
    """Tell whether a file's mode opens it to others than its owner and `reader`.

    A file of root's that its group may read, and only read, is how a container is given a secret.
    """
    given = owner == 0 and reader != 0
    return bool(mode & (stat.S_IRWXO | (stat.S_IWGRP | stat.S_IXGRP if given else stat.S_IRWXG)))


def read_keys(path: Path) -> SubjectKeys:
    """Read the file.

    Raises:
        SubjectKeysError: It cannot be read, is wrong, or can be read by others than its owner.
    """
    try:
        status = path.stat()
        text = path.read_text("utf8")
    except OSError as error:
        raise SubjectKeysError(
            f"{path}: cannot be read ({error.strerror}); `realname keys rotate` makes one"
        ) from error
    except UnicodeDecodeError as error:
        raise SubjectKeysError(f"{path}: is not UTF-8; save it as UTF-8") from error
    if others_may_read(status.st_mode, owner=status.st_uid, reader=os.geteuid()):
        raise SubjectKeysError(f"{path}: others than its owner may read it; chmod 600 {path}")
    try:
        tables = tomllib.loads(text).get("keys", [])
    except tomllib.TOMLDecodeError as error:
        # The reason names line and column only; a quoted line would be a key.
        raise SubjectKeysError(f"{path}: is not TOML: {error}; correct that line") from error
    if not isinstance(tables, list) or not tables:
        raise SubjectKeysError(f"{path}: has no [[keys]]; `realname keys rotate` makes one")
    mistakes: list[str] = []
    keys: list[SubjectKey] = []
    for number, table in enumerate(tables, start=1):
        found = list(_mistakes(table))
        mistakes += [f"{path}: key {number}: {mistake}" for mistake in found]
        if not found:
            from_ms = int(table["from"].timestamp() * 1000)
            keys.append(SubjectKey(table["key_id"], from_ms, _secret(table) or b""))
    if mistakes:
        raise SubjectKeysError(*mistakes)
    return SubjectKeys(_checked(keys))


def _checked(keys: Sequence[SubjectKey]) -> Sequence[SubjectKey]:
    if len({key.key_id for key in keys}) < len(keys):
        raise SubjectKeysError("two keys have one key_id; give each its own, never used before")
    if not all(a.from_ms < b.from_ms for a, b in pairwise(keys)):
        raise SubjectKeysError("keys are not in the order of their times; put the newest last")
    return keys


def _mistakes(table: object) -> Iterator[str]:
    if not isinstance(table, Mapping):
        yield "is no table; write [[keys]] above it"
        return
    yield from (f"{name} is not known; remove it" for name in sorted(table.keys() - _FIELDS))
    if not isinstance(table.get("key_id"), str) or not _KEY_ID.fullmatch(table["key_id"]):
        yield _NO_KEY_ID
    secret = _secret(table)
    if secret is None or len(secret) != SECRET_BYTES:
        yield f"secret is not {SECRET_BYTES} bytes in base64; `realname keys rotate` makes one"
    begins = table.get("from")
    if not isinstance(begins, datetime) or begins.tzinfo is None:
        yield "from is no time with an offset; write it like 2026-11-24T00:00:00+08:00"


def _secret(table: Mapping[str, object]) -> bytes | None:
    try:
        return base64.b64decode(str(table.get("secret", "")), validate=True)
    except binascii.Error:
        return None
