"""`realname alerts`: which alerts are open, or were."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from streams.cli.run import Json, Run, command
from streams.cli.show import Row, show

LIST: Final = "list"


class _ListsByDefault(TyperGroup):
    """Takes `realname alerts --all` for `realname alerts list --all`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (click's context)
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [LIST, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListsByDefault, help="Show alerts (by default), acknowledge one, or send a test page."
)

_SEVERITIES: Final = ("CRITICAL", "MAJOR", "MINOR", "INFO")


@command(
    app,
    LIST,
    examples=["realname alerts list", "realname alerts --all --json"],
)
def alerts(
    run: Run,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    json: Json = False,
) -> None:
    """Show open alerts, the most severe first: what, where, since when, why, and who has taken it on.

    One row per episode: an alert that is raised again after its end has a new one.
    """
    with run.err.status("Reading alerts ..."):
        rows = sorted((row for row in _rows(run) if all_ or row["state"] != "ended"), key=_place)
    columns = (
        *("severity", "state", "alert_kind", "granularity", "scope_id", "observed", "target", "n"),
        *("first_at", "last_at", "reason", "acked_by", "ack_note"),
    )
    empty = "No alert yet." if all_ else "No alert is open; --all shows those that have ended."
    show(run, rows, json=json, columns=columns, empty=empty)


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    import orjson

    from streams.kafka.reading import latest_values
    from streams.records.topics import ALERTS

    acks = _acks(run)
    for key, value in latest_values(run.client, run.settings.topics()[ALERTS].name).items():
        yield orjson.loads(value) | acks.get(key, _NO_ACK)


_NO_ACK: Final = {"acked_by": None, "acked_at": None, "ack_note": None}


def _acks(run: Run) -> dict[bytes, dict[str, str]]:
    from streams.kafka.errors import TopicMissing
    from streams.kafka.reading import latest_values
    from streams.records.acks import decode
    from streams.records.topics import ALERTS_ACKS

    try:
        values = latest_values(run.client, run.settings.topics()[ALERTS_ACKS].name)
    except TopicMissing:  # A cluster from before there were any.
        return {}
    acks = ((key, decode(value)) for key, value in values.items())
    return {
        key: {"acked_by": ack.by, "acked_at": ack.acked_at, "ack_note": ack.note}
        for key, ack in acks
    }


def _place(row: Row) -> tuple[bool, int, str, str]:
    severity = str(row["severity"])
    rank = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
    return row["state"] == "ended", rank, str(row["first_at"]), str(row["alert_id"])
