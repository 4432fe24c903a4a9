"""`realname simulate`: plays a scenario, to a file or to Kafka."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from streams.cli.pace import Beat, Item
    from streams.kafka.loading import Loader
    from streams.reference.types import Reference
    from streams.simulate.feed import Feed, SimulatedRecord

app = typer.Typer()

SEED_DEFAULT: Final = 1


@command(
    app,
    "simulate",
    examples=[
        "realname simulate --list",
        "realname simulate day --to day.jsonl --parcels-per-day 1000000",
        "realname simulate demo --speed 600",
    ],
)
def simulate(
    run: Run,
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO", help="Its name, or a TOML file.", show_default=False),
    ] = "",
    *,
    to: Annotated[
        str, typer.Option(metavar="FILE|-", help="Write JSON lines there, instead of to Kafka.")
    ] = "",
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="The same seed gives the same records.")
    ] = SEED_DEFAULT,
    speed: Annotated[
        float,
        typer.Option(
            min=0, metavar="X", help="Times faster than they are received; 0 is without a pause."
        ),
    ] = 0.0,
    parcels_per_day: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Volume; otherwise the scenario's.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
    json: Json = False,
) -> None:
    """Play a scenario: what couriers of a region would send, with planted faults.

    With --to, as JSON lines in the order in which they are received; lines can hold neither records
    without a value nor keys that are not the waybill, so a few of the garbage differ from Kafka's.
    Without it, to shipments, with heartbeats in data time each minute: run the worker with --clock
    data. The region is that of the reference data in Kafka; to a file, the demonstration's.

    A scenario without an end plays until Ctrl-C, which ends it cleanly.
    """
    if list_:
        _list(run, json=json)
        return
    if not scenario:
        raise BadInput("name a SCENARIO; `realname simulate --list` shows those there are")
    if to:
        feed = _feed(scenario, seed, parcels_per_day, _shipped())
        with _file(to) as file:
            _to_file(run, feed, file, speed)
        return
    from streams.kafka.loading import Loader
    from streams.kafka.reference import ReferenceTopic
    from streams.records.topics import REFERENCE, SHIPMENTS

    topics = run.settings.topics()
    with run.err.status("Reading reference data ..."):
        reference = ReferenceTopic(run.client, topics[REFERENCE].name).history().latest
    if not reference.outlets:
        raise BadInput("there are no outlets in the reference data; run `realname setup` first")
    feed = _feed(scenario, seed, parcels_per_day, reference)
    loader = Loader(run.client, topics[SHIPMENTS].name)
    _to_kafka(run, feed, loader, speed)


def _list(run: Run, *, json: bool) -> None:
    from streams.domain.window import instant_text
    from streams.simulate.scenario import load_scenario, scenario_names

    rows = [
        {
            "scenario": name,
            "text": scenario.text,
            "start": instant_text(scenario.start_ms),
            "end": None if scenario.end_ms is None else instant_text(scenario.end_ms),
            "parcels_per_day": scenario.parcels_per_day,
            "faults": len(scenario.faults),
        }
        for name, scenario in ((name, load_scenario(name)) for name in scenario_names())
    ]
    show(run, rows, json=json, columns=list(rows[0]), empty="")


def _shipped() -> "Reference":
    from streams.cli.region import history_from

    return history_from({}).latest


def _feed(name: str, seed: int, parcels_per_day: int | None, reference: "Reference") -> "Feed":
    from streams.simulate.feed import open_scenario
    from streams.simulate.scenario import ScenarioError

    try:
        return open_scenario(name, seed=seed, reference=reference, parcels_per_day=parcels_per_day)
    except ScenarioError as error:
        raise BadInput(str(error)) from None


@contextmanager
def _file(to: str) -> Iterator[IO[bytes]]:
    if to == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = Path(to).open("wb")  # noqa: SIM115 - closed below; here only its opening may fail
    except OSError as error:
        raise BadInput(f"{to} cannot be written ({error.strerror}); name another file") from error
    with file:
        yield file


def _to_file(run: Run, feed: "Feed", file: IO[bytes], speed: float) -> None:
    written = left_out = 0
    try:
        for record in _played(run, feed, feed.records(), speed):
            if not record.value or b"\n" in record.value:
                left_out += 1
                continue
            file.write(record.value + b"\n")
            written += 1
    except KeyboardInterrupt:
        run.say(f"Interrupted after {written:,} lines; they are whole.")
        raise
    beside = f"; {left_out:,} records cannot be lines and were left out" if left_out else ""
    run.say(f"{written:,} lines{beside}")


def _to_kafka(run: Run, feed: "Feed", loader: "Loader", speed: float) -> None:
    from streams.cli.pace import with_beats

    items = with_beats(feed.records(), start_ms=feed.start_ms, end_ms=feed.end_ms)
    try:
        for item in _played(run, feed, items, speed):
            put(loader, item)
    except KeyboardInterrupt:
        with run.err.status("Waiting for Kafka to acknowledge ..."):
            loader.finish()
        run.say(f"Interrupted after {loader.sent:,} records; they are all in Kafka.")
        raise
    with run.err.status("Waiting for Kafka to acknowledge ..."):
        loader.finish()
    run.say(f"{loader.sent:,} records sent, {loader.heartbeats:,} heartbeats")


def put(loader: "Loader", item: "SimulatedRecord | Beat") -> None:
    """Send a record, or a heartbeat to every partition; raises ClusterError."""
    from streams.cli.pace import Beat
    from streams.domain.window import instant_text
    from streams.kafka.loading import heartbeat_value

    if isinstance(item, Beat):
        loader.beat(heartbeat_value(instant_text(item.received_at_ms)))
    else:
        loader.put(item.key, item.value)


def _played(run: Run, feed: "Feed", items: "Iterable[Item]", speed: float) -> "Iterator[Item]":
    """Yield the items at their pace, and show how far the play is."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from streams.cli.pace import paced, uniform
    from streams.domain.window import MINUTE_MS, instant_text

    columns = (
        TextColumn(f"Playing {feed.scenario.name}"),
        BarColumn(),
        TextColumn("{task.fields[now]}"),
        TimeRemainingColumn(),
    )
    length = None if feed.end_ms is None else feed.end_ms - feed.start_ms
    with Progress(*columns, console=run.err, transient=True) as progress:
        task = progress.add_task("", total=length, now="")
        next_ms = feed.start_ms
        for item in paced(items, uniform(feed.start_ms, speed) if speed else None):
            if item.received_at_ms >= next_ms:
                next_ms = (item.received_at_ms // MINUTE_MS + 1) * MINUTE_MS
                now = instant_text(next_ms)[:16].replace("T", " ")
                progress.update(task, completed=next_ms - feed.start_ms, now=now)
            yield item
