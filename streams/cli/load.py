"""`realname load`: JSON lines into `shipments`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from streams.domain.policy import Policy
    from streams.kafka.loading import Loader

app = typer.Typer()

_REFUSED_SHOWN: Final = 20
_LINES_PER_UPDATE: Final = 10_000


@command(
    app,
    "load",
    examples=[
        "realname load parcels.jsonl",
        "realname load parcels.jsonl --until 2017-09-09T12:00:00+08:00",
        "zcat parcels.jsonl.gz | realname load - --json",
    ],
)
def load(
    run: Run,
    file: Annotated[str, typer.Argument(metavar="FILE|-", show_default=False)],
    *,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="End with heartbeats in every partition, so that all up to this data time is judged.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Send a file of JSON lines to shipments, one record per line, the waybill as key.

    Lines that are no JSON object, or have no waybill_no, cannot be given a place and are refused:
    counted, listed with their number, and nothing else happens. All other lines are sent as they
    stand; a worker puts what it cannot use into the dead letters. A heartbeat in the file goes to
    every partition.

    With --until, a worker whose clock is data judges everything up to that time. Loading a file
    twice changes no figure: records are recognised by source and id.
    """
    from streams.kafka.loading import Loader
    from streams.records.topics import SHIPMENTS

    heartbeat = None if until is None else _heartbeat(until, run.settings.policy)
    with opened(file) as lines:
        loader = Loader(run.client, run.settings.topics()[SHIPMENTS].name)
        try:
            _send(run, lines, loader)
            if heartbeat is not None:
                loader.beat(heartbeat)
        except KeyboardInterrupt:
            run.say(f"Interrupted after {loader.sent:,} records; loading the file again is safe.")
            raise
        with run.err.status("Waiting for Kafka to acknowledge ..."):
            loader.finish()
    _tell(run, loader, json=json)


def opened(file: str) -> IO[bytes]:
    """Return a file of lines, or standard input for `-`; raises BadInput when it cannot be read."""
    if file == "-":
        return sys.stdin.buffer
    path = Path(file)
    if path.is_dir():
        raise BadInput(f"{file} is a folder; name a file of JSON lines")
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}); name another file") from error


def _heartbeat(until: str, policy: "Policy") -> bytes:
    from streams.domain.window import instant_from_text, instant_text
    from streams.kafka.loading import heartbeat_value

    try:
        return heartbeat_value(instant_text(policy.beat_ms(instant_from_text(until))))
    except ValueError:
        raise BadInput(
            f"--until {until!r} is not a time with an offset; write it like "
            "2017-09-09T12:00:00+08:00"
        ) from None


def _send(run: Run, lines: IO[bytes], loader: "Loader") -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Sending"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[sent]:,} sent, {task.fields[refused]:,} refused"),
    )
    with Progress(*columns, console=run.err, transient=True) as progress:
        task = progress.add_task("", total=size_of(lines), sent=0, refused=0)
        for line in _watched(lines, loader, progress, task):
            loader.send(line)


def _watched(
    lines: IO[bytes], loader: "Loader", progress: "Progress", task: "TaskID"
) -> Iterator[bytes]:
    read = 0
    for number, line in enumerate(lines, start=1):
        read += len(line)
        if number % _LINES_PER_UPDATE == 0:
            progress.update(task, completed=read, sent=loader.sent, refused=len(loader.refused))
        yield line


def size_of(lines: IO[bytes]) -> int | None:
    """Return how many bytes there are to read; None for a pipe. To be called before reading."""
    if not lines.seekable():
        return None
    size = lines.seek(0, 2)
    lines.seek(0)
    return size


def _tell(run: Run, loader: "Loader", *, json: bool) -> None:
    for refused in loader.refused[:_REFUSED_SHOWN]:
        run.say(f"line {refused.line} refused: {refused.why}")
    unseen = len(loader.refused) - _REFUSED_SHOWN
    if unseen > 0:
        run.say(f"... and {unseen:,} more lines")
    row = {
        "sent": loader.sent,
        "refused": len(loader.refused),
        "heartbeats": loader.heartbeats,
    }
    if json:
        show(run, [row], json=True, columns=(), empty="")
    else:
        text = f"{loader.sent:,} sent, {len(loader.refused):,} refused"
        beats = f", {loader.heartbeats} heartbeats" if loader.heartbeats else ""
        run.out.print(text + beats)
    if loader.refused and not loader.sent:
        raise BadInput("nothing could be sent; the file must have one JSON object per line")
