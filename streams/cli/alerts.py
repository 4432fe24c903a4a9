"""`realname alerts`: which alerts are open, or were."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from streams.cli.run import Json, Run, command
from streams.cli.show import Row, show

app = typer.Typer()

_SEVERITIES: Final = ("CRITICAL", "MAJOR", "MINOR", "INFO")


@command(
    app,
    "alerts",
    examples=["realname alerts", "realname alerts --all --json"],
)
def alerts(
    run: Run,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    json: Json = False,
) -> None:
    """Show open alerts, the most severe first: what, where, since when, and why in this state.

    One row per episode: an alert that is raised again after its end has a new one.
    """
    with run.err.status("Reading alerts ..."):
        rows = sorted((row for row in _rows(run) if all_ or row["state"] != "ended"), key=_place)
    columns = (
        *("severity", "state", "alert_kind", "granularity", "scope_id", "observed", "target", "n"),
        *("first_at", "last_at", "reason"),
    )
    empty = "No alert yet." if all_ else "No alert is open; --all shows those that have ended."
    show(run, rows, json=json, columns=columns, empty=empty)


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    import orjson

    from streams.kafka.reading import latest_values
    from streams.records.topics import ALERTS

    for value in latest_values(run.client, run.settings.topics()[ALERTS].name).values():
        yield orjson.loads(value)


def _place(row: Row) -> tuple[bool, int, str, str]:
    severity = str(row["severity"])
    rank = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
    return row["state"] == "ended", rank, str(row["first_at"]), str(row["alert_id"])
