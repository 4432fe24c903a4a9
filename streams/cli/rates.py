"""`realname rates`: rates now, or the figures of one business day."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import Row, show
from streams.domain.period import Granularity

app = typer.Typer()

# From the whole to its parts, as one looks for where a rate comes from.
_ORDER: Final = ("REGION", "CITY", "COUNTY", "ENTERPRISE", "ENTERPRISE_CITY", "OUTLET")

_NOW: Final = (
    *("granularity", "scope_id", "date", "eligible", "missing", "pending"),
    *("rate", "rate_24h", "rate_7d", "target", "rate_status"),
)
_OF_DAY: Final = (
    *("granularity", "scope_id", "eligible", "covered_on_time", "covered_late", "missing"),
    *("pending", "rate", "on_time_rate", "target", "rate_status", "day_status", "revision"),
)


@command(
    app,
    "rates",
    examples=[
        "realname rates --granularity CITY",
        "realname rates --granularity OUTLET --date 2017-09-08 --json",
        "realname rates --id 150105-ZT-0031",
    ],
)
def rates(
    run: Run,
    *,
    granularity: Annotated[
        list[Granularity] | None,
        typer.Option(case_sensitive=False, help="Only these scopes; repeatable."),
    ] = None,
    id_: Annotated[
        str, typer.Option("--id", metavar="ID", help="Only this scope.", show_default=False)
    ] = "",
    date: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="A business day's figures, instead of those now."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the real-name rate of every scope, its target and its verdict.

    Without --date: today's and the trailing rates, and the verdict on the day that is being judged.
    With it: that day's figures, revised until 72 hours after the last collection.

    A rate counts parcels collected more than two hours ago only; missing of them are not registered.
    """
    day = None if date is None else _day(date)
    names = {g.value for g in granularity or ()}
    with run.err.status("Reading rates ..."):
        rows = sorted(_rows(run, _wanted(names, id_, day), of_day=day is not None), key=_place)
    empty = "No figures here yet. `realname doctor` says whether a worker runs."
    if day is None:
        show(run, rows, json=json, columns=_NOW, empty=empty, cells=_cells)
    else:
        show(run, rows, json=json, columns=_OF_DAY, empty=empty)


def _day(date: str) -> str:
    from streams.domain.window import day_from_text, day_text

    try:
        return day_text(day_from_text(date))
    except ValueError:
        raise BadInput(f"--date {date!r} is not a day; write it like 2017-09-08") from None


def _wanted(names: set[str], scope_id: str, day: str | None) -> Callable[[bytes], bool]:
    """Return what tells the wanted keys: `granularity|scope`, or with a day `granularity|scope|date`.

    A scope's own id may have a bar in it.
    """

    def wanted(key: bytes) -> bool:
        granularity, _, scope = key.decode(errors="replace").partition("|")
        if day is not None:
            scope, _, date = scope.rpartition("|")
            if date != day:
                return False
        return (not names or granularity in names) and scope_id in ("", scope)

    return wanted


def _rows(run: Run, wanted: Callable[[bytes], bool], *, of_day: bool) -> Iterator[dict[str, Any]]:
    import orjson

    from streams.kafka.reading import latest_values
    from streams.records.topics import DAYS, RATES

    topic = run.settings.topics()[DAYS if of_day else RATES].name
    for value in latest_values(run.client, topic, wanted=wanted).values():
        yield orjson.loads(value)


def _place(row: Row) -> tuple[int, str]:
    granularity = str(row["granularity"])
    index = _ORDER.index(granularity) if granularity in _ORDER else len(_ORDER)
    return index, str(row["scope_id"])


def _cells(row: Row) -> Row:
    windows: Any = row
    today, verdict = windows["today"], windows["verdict"]
    return {
        **row,
        **{name: today[name] for name in ("eligible", "missing", "pending", "rate")},
        "rate_24h": windows["trailing_24h"]["rate"],
        "rate_7d": windows["trailing_7d"]["rate"],
        "target": verdict["target"],
        "rate_status": verdict["rate_status"],
    }
