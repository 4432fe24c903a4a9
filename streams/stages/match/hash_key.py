"""The key of the hash by which closed parcels are remembered."""

import hmac
from dataclasses import dataclass, field
from typing import Final

_PURPOSE: Final = b"realname-streams: hash of closed parcels"


@dataclass(frozen=True, slots=True)
class HashKey:
    """What a worker knows of the operator's secret.

    Attributes:
        seed: Of the hash; secret.
        check: Tells two keys apart and nothing of their seeds, so it may stand in the state log.

    """

    seed: int = field(repr=False)
    check: int

    def check_is(self, check: int) -> None:
        """Raise ValueError for the check of another key: parcels closed under it would count as new."""
        if check == self.check:
            return
        if not check:
            why = "without a waybill_hash_key, and this worker has one: unset it"
        elif self == UNKEYED:
            why = "with a waybill_hash_key, and this worker has none: set the same"
        else:
            why = "with another waybill_hash_key than this worker's: set the same"
        message = f"it was written {why}"
        raise ValueError(message)


UNKEYED: Final = HashKey(seed=0, check=0)
"""Where no secret is set: anybody who reads the state log can try waybills out."""


def hash_key(secret: str) -> HashKey:
    """Return the key that a secret gives, always the same; UNKEYED for an empty one.

    A secret must be random: of one that can be guessed, `check` would confirm the guess.
    """
    if not secret:
        return UNKEYED
    digest = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    return HashKey(int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big"))
