"""`realname compliance`: what an enterprise gets, as a person reads it."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, ShowWaybills, command

if TYPE_CHECKING:
    from confluent_kafka import Message

app = typer.Typer(no_args_is_help=True, help="What an enterprise gets: tail.")

LAST_DEFAULT = 20


@command(
    app,
    "tail",
    examples=[
        "realname compliance tail --enterprise 911500000000010025",
        "realname compliance tail --enterprise 911500000000010025 --follow --type alert",
        "realname compliance tail --enterprise 911500000000010025 --last 0 --follow --json",
    ],
)
def tail(
    run: Run,
    *,
    enterprise: Annotated[str, typer.Option(metavar="ID", help="Whose.", show_default=False)],
    last: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the newest to show first.")
    ] = LAST_DEFAULT,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then show what comes, until Ctrl-C.")
    ] = False,
    type_: Annotated[
        str,
        typer.Option(
            "--type", metavar="TEXT", help="Only types that begin so.", show_default=False
        ),
    ] = "",
    show_waybills: ShowWaybills = False,
    json: Json = False,
) -> None:
    """Show the newest events of an enterprise's topic, one line each, in the order of their writing.

    With --json an event is an object in the JSON form of CloudEvents, with the key among its
    attributes. Of a waybill only the first three and the last four characters are shown.
    """
    from streams.cli.compliance_text import line
    from streams.domain.personal import masked
    from streams.kafka.reading import follow_from, read_to_end
    from streams.records.topics import compliance_topic

    if not enterprise:
        raise BadInput("--enterprise names nobody; `realname outlets list` shows the ids")
    topic = run.settings.prefix + compliance_topic(enterprise)

    def tell(event: Mapping[str, Any]) -> None:
        # Not through rich, which would wrap and colour: a line is a line.
        told = event if show_waybills else _masked(event, masked)
        run.out.file.write((_json(told) if json else line(told, run.settings.language)) + "\n")
        run.out.file.flush()

    newest: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=last)
    reached: dict[int, int] = {}
    with run.err.status(f"Reading {topic} ..."):
        for message in read_to_end(run.client, topic):
            reached[message.partition() or 0] = (message.offset() or 0) + 1
            for event in _events(message, type_):
                newest.append((message.timestamp()[1], event))
    for _, event in sorted(newest, key=lambda item: item[0]):
        tell(event)
    if not newest and last and not follow:
        run.say("Nothing has been told yet.")
    if follow:
        for message in follow_from(run.client, topic, reached):
            for event in _events(message, type_):
                tell(event)


def _events(message: "Message", begins_with: str) -> Iterator[Mapping[str, Any]]:
    """Return a record as an event in the JSON form of CloudEvents, if its type is wanted."""
    import orjson

    from streams.kafka.dead_letters import headers_of

    headers = {
        name: value.decode() if isinstance(value, bytes) else value or ""
        for name, value in headers_of(message)
    }
    event: dict[str, Any] = {
        name.removeprefix("ce_"): value for name, value in headers.items() if name[:3] == "ce_"
    }
    if str(event.get("type", "")).startswith(begins_with):
        value = message.value()
        if value is not None:
            event |= {"datacontenttype": headers.get("content-type"), "data": orjson.loads(value)}
        yield event


def _masked(event: Mapping[str, Any], mask: Any) -> Mapping[str, Any]:  # noqa: ANN401 (a function of texts)
    """Hide the waybill of an event that names one: it stands in subject, key and data."""
    kind, _, waybill = str(event.get("subject", "")).partition("|")
    if kind != "PARCEL":
        return event
    hidden = mask(waybill)
    found = {
        name: value.replace(waybill, hidden) if isinstance(value, str) else value
        for name, value in event.items()
    }
    if "data" in event:
        found["data"] = {**event["data"], "waybill_no": hidden}
    return found


def _json(event: Mapping[str, Any]) -> str:
    import orjson

    return orjson.dumps(event).decode()
