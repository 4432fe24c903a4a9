"""Reads one reference file whole: bytes, syntax, rows. All its mistakes are told at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.reference.areas import Areas
from streams.reference.csv_files import agreements_from_csv, outlets_from_csv
from streams.reference.listing import AnyListing, Kind
from streams.reference.mistakes import Mistake, Mistakes, ReferenceFileError
from streams.reference.toml_files import periods_from_toml, sources_from_toml

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Ten times what the largest allowed number of outlets takes; more is another kind of file."""

FILE_NAMES: Final = {
    Kind.OUTLETS: "outlets.csv",
    Kind.AGREEMENTS: "agreements.csv",
    Kind.SOURCES: "sources.toml",
    Kind.PERIODS: "periods.toml",
}
"""What the files of a set are called."""


def read_file(kind: Kind, path: Path, areas: Areas) -> AnyListing:
    """Return what a file lists.

    Raises:
        ReferenceFileError: It cannot be read, or something in it is wrong; with every mistake.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            message = f"larger than {FILE_BYTES_MAX // 2**20} MiB; is this the right file?"
            raise ReferenceFileError([Mistake(str(path), 0, message)])
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot be read ({error.strerror}); check the path and its permissions"
        raise ReferenceFileError([Mistake(str(path), 0, message)]) from None
    return parse(kind, data, file=str(path), areas=areas)


def read_files(paths: Mapping[Kind, Path], areas: Areas) -> Mapping[Kind, AnyListing]:
    """Return what several files list.

    Raises:
        ReferenceFileError: With the mistakes of all files.
    """
    listings: dict[Kind, AnyListing] = {}
    mistakes: list[Mistake] = []
    for kind, path in paths.items():
        try:
            listings[kind] = read_file(kind, path, areas)
        except ReferenceFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ReferenceFileError(mistakes)
    return listings


def parse(kind: Kind, data: bytes, *, file: str, areas: Areas) -> AnyListing:
    """Return what a file of these bytes lists. `file` is its name for messages.

    Raises:
        ReferenceFileError: Something in it is wrong; with every mistake.
    """
    mistakes = Mistakes(file)
    text = _decoded(data, mistakes)
    listing: AnyListing
    match kind:
        case Kind.OUTLETS:
            listing = outlets_from_csv(text, mistakes, areas)
        case Kind.AGREEMENTS:
            listing = agreements_from_csv(text, mistakes)
        case Kind.SOURCES:
            listing = sources_from_toml(text, mistakes)
        case Kind.PERIODS:
            listing = periods_from_toml(text, mistakes, areas)
    mistakes.raise_if_any()
    return listing


def _decoded(data: bytes, mistakes: Mistakes) -> str:
    """Return the text. Without one nothing else can be said, so these mistakes are raised here."""
    text = ""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        mistakes.add(1, "the file is UTF-16; save it as UTF-8")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            mistakes.add(line, "not UTF-8 (GBK, as old spreadsheets write?); save it as UTF-8")
        else:
            if "\x00" in text:
                line = text.count("\n", 0, text.index("\x00")) + 1
                mistakes.add(line, "a NUL character; is this a text file?")
            elif not text.strip():
                mistakes.add(0, "the file is empty; check that it was written completely")
    mistakes.raise_if_any()
    return text
