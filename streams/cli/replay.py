"""`realname replay`: the stages over a file, without Kafka."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Json, Run, ShowWaybills, command
from streams.domain.period import Granularity

if TYPE_CHECKING:
    from streams.cli.replay_lines import Found, Replay

app = typer.Typer()

_LINES_PER_UPDATE: Final = 10_000
_File = typer.Option(metavar="FILE", show_default=False)


@command(
    app,
    "replay",
    examples=[
        "realname replay parcels.jsonl --outlets outlets.csv --periods periods.toml",
        "realname replay parcels.jsonl --date 2017-09-08 --json > figures.jsonl",
        "realname simulate day --to - | realname replay - --until 2017-09-12T12:00:00+08:00",
    ],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE),
)
def replay(
    run: Run,
    file: Annotated[str, typer.Argument(metavar="FILE|-", show_default=False)],
    *,
    outlets: Annotated[Path | None, _File] = None,
    periods: Annotated[Path | None, _File] = None,
    agreements: Annotated[Path | None, _File] = None,
    sources: Annotated[Path | None, _File] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End with a heartbeat of this time, as `load` does."),
    ] = None,
    granularity: Annotated[
        list[Granularity] | None,
        typer.Option(case_sensitive=False, help="Only days and alerts of these; repeatable."),
    ] = None,
    date: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Only this business day's figures.")
    ] = None,
    show_waybills: ShowWaybills = False,
    json: Json = False,
) -> Exit:
    """Work off a file of JSON lines as a worker would, without Kafka: what would the figures be?

    The same stages with the same policy; the clock is the records' received_at. For trying targets
    on last month's data: routine alerts are on with REALNAME_POLICY__ROUTINE_ALERTS=true. Lines
    must be in the order in which they were received, give or take a minute, as `simulate` and a dump
    of shipments have them.

    With --json each line has its kind: alert (each change, as it happens), day (a scope's business
    day as it was left), missing (a parcel that stayed unregistered) and reject (a line that could
    not be used, by number). Otherwise a summary. Without --until, time ends with the last line; with
    it, what was received a minute before then is judged last.

    Without --outlets the region is the demonstration's, and its files stand in for those that are
    not named; with --outlets only named ones count.
    """
    from streams.cli.load import opened
    from streams.cli.region import Names, history_from
    from streams.cli.replay_lines import Replay
    from streams.cli.replay_summary import Summary
    from streams.records.rejects import TooManyRejects
    from streams.reference.listing import Kind
    from streams.stages.match.hash_key import hash_key

    until_ms = None if until is None else _instant(until)
    names = {g.value for g in granularity or ()}
    # A summary puts a scope beside the region's days and the worst outlets.
    wanted = _wanted(names if json else set(), None if date is None else _day(date))
    given = {
        Kind.OUTLETS: outlets,
        Kind.PERIODS: periods,
        Kind.AGREEMENTS: agreements,
        Kind.SOURCES: sources,
    }
    with opened(file) as lines:
        with run.err.status("Reading reference data ..."):
            history = history_from(given)
        key = hash_key(run.settings.waybill_hash_key.get_secret_value())
        play = Replay(run.settings.policy, history, wanted=wanted, key=key)
        summary = Summary(names or {Granularity.CITY.value})
        try:
            for found in _followed(run, lines, play, until_ms):
                if found.kind == "alert" and names and found.row["granularity"] not in names:
                    continue
                if json:
                    _write(run, found, show_waybills=show_waybills)
                else:
                    summary.add(found)
        except TooManyRejects as error:
            run.say(f"Stopped near line {play.lines:,}: {error}")
            return Exit.UNMET
    if not json:
        summary.show(run, Names(history.latest, run.settings.language), lines=play.lines)
    return Exit.OK


def _instant(until: str) -> int:
    from streams.domain.window import instant_from_text

    try:
        return instant_from_text(until)
    except ValueError:
        raise BadInput(
            f"--until {until!r} is not a time with an offset; write it like "
            "2017-09-09T12:00:00+08:00"
        ) from None


def _day(date: str) -> str:
    from streams.domain.window import day_from_text, day_text

    try:
        return day_text(day_from_text(date))
    except ValueError:
        raise BadInput(f"--date {date!r} is not a day; write it like 2017-09-08") from None


def _wanted(names: set[str], date: str | None) -> Callable[[bytes], bool]:
    """Return what tells the wanted keys of day records: `granularity|scope|date`."""

    def wanted(key: bytes) -> bool:
        granularity, _, rest = key.decode(errors="replace").partition("|")
        return (not names or granularity in names) and (
            date is None or rest.rpartition("|")[2] == date
        )

    return wanted


def _followed(
    run: Run, lines: IO[bytes], play: "Replay", until_ms: int | None
) -> "Iterator[Found]":
    """Yield everything that is found, and show how far the file has been read."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from streams.cli.load import size_of

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
    )
    with Progress(*columns, console=run.err, transient=True) as progress:
        task = progress.add_task("Replaying", total=size_of(lines), lines=0)

        def watched() -> Iterator[bytes]:
            read = 0
            for number, line in enumerate(lines, start=1):
                read += len(line)
                if number % _LINES_PER_UPDATE == 0:
                    progress.update(task, completed=read, lines=number)
                yield line

        yield from play.play(watched())
        progress.update(task, description="Settling")
        yield from play.end(until_ms)


def _write(run: Run, found: "Found", *, show_waybills: bool) -> None:
    import orjson

    from streams.domain.personal import masked

    row = found.row
    if found.kind == "missing" and not show_waybills:
        row = {**row, "waybill_no": masked(str(row["waybill_no"]))}
    # Not through rich, which would wrap and colour: this is for programs.
    run.out.file.write(orjson.dumps({"kind": found.kind, **row}).decode() + "\n")
