"""`realname keys`: the keys of subjects' tokens, in a file that only its owner may read."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from streams.gateway.subjects import SubjectKeys

app = typer.Typer(no_args_is_help=True, help="Keys of subjects' tokens: list, rotate, retire.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of keys.")]


@command(app, "list", examples=["realname keys list keys.toml"])
def list_(run: Run, *, file: File, json: Json = False) -> None:
    """List the keys of a file, without their secrets: which is in use, and from when on."""
    from streams.domain.window import instant_text
    from streams.kafka.clock import now_ms

    keys, now = _read(file), now_ms()
    rows = [
        {
            "key_id": key.key_id,
            "from": instant_text(key.from_ms),
            "state": "in use"
            if key is keys.at(now)
            else ("to come" if key.from_ms > now else "kept"),
        }
        for key in keys.keys
    ]
    show(run, rows, json=json, columns=("key_id", "from", "state"), empty="There is no key.")


@command(
    app,
    "rotate",
    examples=[
        "realname keys rotate keys.toml",
        "realname keys rotate keys.toml --key-id 2027a --from 2027-01-01T00:00:00+08:00",
    ],
)
def rotate(
    run: Run,
    *,
    file: File,
    key_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of the key; otherwise k1, k2, ...")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="When it comes into use; otherwise now. Not in the past."
        ),
    ] = None,
) -> None:
    """Add a key to the file, which is made if there is none; tokens are made with it from then on.

    Give every gateway the new file before that time and start it again: they read it at their start.
    The earlier keys stay, so that what topics still hold under them can be found; once the topics'
    retention is over, `realname keys retire` removes one.
    """
    from streams.domain.window import instant_from_text, instant_text
    from streams.gateway.subjects import SubjectKeys, SubjectKeysError, new_key
    from streams.kafka.clock import now_ms

    now = now_ms() // 1000 * 1000
    try:
        from_ms = now if from_ is None else instant_from_text(from_)
    except ValueError:
        raise BadInput(
            f"--from {from_!r} is not a time with an offset; write it like "
            "2027-01-01T00:00:00+08:00"
        ) from None
    if from_ms < now:
        raise BadInput("--from lies in the past, and tokens made since then have another key")
    try:
        if file.exists():
            keys = _read(file)
            name = key_id or f"k{len(keys.keys) + 1}"
            keys = keys.rotated(name, from_ms)
        else:
            name = key_id or "k1"
            keys = SubjectKeys([new_key(name, from_ms)])
        _write(file, keys)
        _read(file)
    except SubjectKeysError as error:
        raise BadInput(*error.mistakes) from error
    run.say(f"Key {name} is in use from {instant_text(from_ms)}; {file} has {len(keys.keys)} keys.")


@command(app, "retire", examples=["realname keys retire keys.toml k1 --yes"])
def retire(
    run: Run,
    *,
    file: File,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be made again.")] = False,
) -> None:
    """Destroy a key that is out of use: nobody can tell whose its tokens are any more.

    For when the topics that hold them have passed their retention (`shipments.dlq`: 30 days).
    """
    from streams.gateway.subjects import SubjectKeysError
    from streams.kafka.clock import now_ms

    try:
        keys = _read(file).without(key_id, now_ms())
    except SubjectKeysError as error:
        raise BadInput(*error.mistakes) from error
    if not yes:
        raise BadInput(
            f"this destroys key {key_id}, which cannot be made again; to do it, add --yes"
        )
    _write(file, keys)
    run.say(f"Key {key_id} is gone. Destroy its copies, too.")


@command(
    app,
    "tokens",
    examples=["realname keys tokens keys.toml < pseudonyms.txt"],
)
def tokens(run: Run, *, file: File, json: Json = False) -> None:
    """Show which tokens topics may hold of somebody, to find what is known of who asks.

    Reads producers' pseudonyms from standard input, one a line, so that none stands in a list of
    processes or a shell's history. Each gives its number and its token under every key.
    """
    keys = _read(file)
    rows = [
        {"line": number, "token": token}
        for number, line in enumerate(sys.stdin, start=1)
        if (pseudonym := line.rstrip("\r\n"))
        for token in keys.tokens(pseudonym)
    ]
    show(run, rows, json=json, columns=("line", "token"), empty="Nothing was given.")


def _read(file: Path) -> "SubjectKeys":
    from streams.gateway.subjects import SubjectKeysError, read_keys

    try:
        return read_keys(file)
    except SubjectKeysError as error:
        raise BadInput(*error.mistakes) from error


def _write(file: Path, keys: "SubjectKeys") -> None:
    from streams.kafka.private_files import write_private

    try:
        write_private(file, keys.text())
    except OSError as error:
        raise BadInput(
            f"{file}: cannot be written ({error.strerror}); name another file"
        ) from error
