"""How data are shown: a table for a person, one JSON object per line for a program."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import orjson
from rich.table import Table
from rich.text import Text

from streams.cli.run import Run
from streams.cli.text import heading

Row = Mapping[str, object]

STYLES: Final = {
    "OK": "green",
    "AT_RISK": "yellow",
    "BREACH": "bold red",
    "INSUFFICIENT": "dim",
    "UNKNOWN": "dim",
    "CRITICAL": "bold red",
    "MAJOR": "red",
    "MINOR": "yellow",
}
_SHARES: Final = frozenset({"rate", "rate_24h", "rate_7d", "on_time_rate", "target", "observed"})


def show(
    run: Run,
    rows: Iterable[Row],
    *,
    json: bool,
    columns: Sequence[str],
    empty: str,
    cells: Callable[[Row], Row] = lambda row: row,
) -> int:
    """Write rows to standard output and return how many there were.

    With `json` each row goes out whole, as it comes; else `columns` of all of them as one table,
    from what `cells` makes of a row. To a person who gets no row, `empty` says why that may be.
    """
    if json:
        return _lines(run, rows)
    table = Table(box=None)
    for column in columns:
        table.add_column(heading(column, run.settings.language), overflow="fold")
    for row in rows:
        shown = cells(row)
        table.add_row(*(_cell(column, shown.get(column)) for column in columns))
    if table.row_count:
        run.out.print(table)
    else:
        run.say(empty)
    return table.row_count


def _lines(run: Run, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        # Not through rich, which would wrap and colour: this is for programs.
        run.out.file.write(orjson.dumps(row).decode() + "\n")
        count += 1
    return count


def _cell(column: str, value: object) -> Text:
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.2%}" if column in _SHARES else f"{value:g}")
    if isinstance(value, list | tuple):
        return Text(", ".join(str(item) for item in value))
    text = str(value)
    return Text(text, style=STYLES.get(text, ""))
