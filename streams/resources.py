"""Finds the data that come with the program: in a wheel, or in the source tree."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def schema_dir() -> Path:
    """Return the folder of JSON Schemas, topic files and examples.

    Raises:
        FileNotFoundError: The installation is broken; the message says what to do.
    """
    return _find(installed="_schemas", source="schemas")


def config_dir() -> Path:
    """Return the folder of configuration that ships with the program.

    Raises:
        FileNotFoundError: The installation is broken; the message says what to do.
    """
    return _find(installed="_config", source="deploy/config")


def access_file() -> Path:
    """Return the declared principals that ship with the program: those of the demonstration.

    Raises:
        FileNotFoundError: The installation is broken; the message says what to do.
    """
    return _find(installed="_access.toml", source="deploy/access.toml")


def _find(*, installed: str, source: str) -> Path:
    for found in (_PACKAGE / installed, _PACKAGE.parent / source):
        if found.exists():
            return found
    raise FileNotFoundError(
        f"Neither {_PACKAGE / installed} nor {_PACKAGE.parent / source} is there: "
        "install realname-streams again, or run it from a complete source tree."
    )
