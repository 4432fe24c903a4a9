"""Files with secrets: readable by their owner alone from the moment that they exist."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

# 192 random bits. Letters, digits, - and _ need no quoting in TOML, JAAS, properties or a shell.
PASSWORD_BYTES: Final = 24


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, in place of what was there; only its owner may read it.

    The folder must exist. Raises OSError.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Not opened and then restricted: between the two it could be read.
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as writer:
            writer.write(text)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may look into, or restrict one that exists; return it."""
    path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    path.chmod(FOLDER_MODE)
    return path


def new_password() -> str:
    """Return a password that nobody can guess."""
    return secrets.token_urlsafe(PASSWORD_BYTES)
