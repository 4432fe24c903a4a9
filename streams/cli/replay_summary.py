"""What `realname replay` tells a person: the days, the scopes of one of them, alerts, refused lines."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.text import Text

from streams.cli.region import Names
from streams.cli.replay_lines import Found
from streams.cli.run import Run
from streams.cli.show import Row, show
from streams.domain.period import Granularity
from streams.domain.verdict import RateStatus

WORST_SHOWN: Final = 10
ALERTS_SHOWN: Final = 40
LINES_SHOWN: Final = 3
_KEPT: Final = 4 * WORST_SHOWN

_DAY: Final = (
    *("eligible", "covered_on_time", "covered_late", "missing", "pending", "rate", "target"),
    *("rate_status", "day_status"),
)
_BAD: Final = (RateStatus.BREACH.name, RateStatus.AT_RISK.name)


@dataclass(slots=True)
class _Refused:
    count: int = 0
    lines: list[int] = field(default_factory=list)


class Summary:
    """Collects what is told at the end. Holds a few rows of each day, and one of each alert."""

    def __init__(self, granularities: Iterable[str]) -> None:
        """Tell about scopes of these."""
        self._granularities = frozenset(granularities)
        self._region: list[Row] = []
        self._scopes: dict[str, list[Row]] = {}
        self._worst: dict[str, list[Row]] = {}
        self._raised: dict[tuple[str, int], Row] = {}
        self._alerts: dict[tuple[str, int], Row] = {}
        self._missing: Counter[str] = Counter()
        self._refused: dict[tuple[str, str], _Refused] = {}

    def add(self, found: Found) -> None:
        """Take note of one finding."""
        row: Mapping[str, Any] = found.row
        match found.kind:
            case "day":
                self._add_day(row)
            case "alert":
                episode = row["alert_id"], row["episode"]
                self._raised.setdefault(episode, row)
                self._alerts[episode] = row
            case "missing":
                self._missing[row["outlet_id"]] += 1
            case _:
                refused = self._refused.setdefault((row["code"], row["path"]), _Refused())
                refused.count += 1
                if refused.count <= LINES_SHOWN:
                    refused.lines.append(row["line"])

    def _add_day(self, row: Mapping[str, Any]) -> None:
        if row["granularity"] == Granularity.REGION.value:
            self._region.append(row)
        if row["granularity"] in self._granularities:
            self._scopes.setdefault(row["date"], []).append(row)
        if row["granularity"] == Granularity.OUTLET.value and row["rate_status"] in _BAD:
            worst = self._worst.setdefault(row["date"], [])
            worst.append(row)
            if len(worst) > _KEPT:
                worst.sort(key=_badness)
                del worst[WORST_SHOWN:]

    def show(self, run: Run, names: Names, *, lines: int) -> None:
        """Write it to standard output."""
        self._heading(run, f"{lines:,} lines")
        self._table(run, self._region, ("date", *_DAY), "No figures: nothing could be used.")
        date = self._date()
        if date is not None:
            self._scopes_of(run, names, date)
        self._alerts_of(run, names)
        if self._missing:
            count, outlets = self._missing.total(), len(self._missing)
            self._heading(
                run, f"{count:,} parcels are missing at {outlets:,} outlets (--json lists them)"
            )
        self._refused_of(run)

    def _date(self) -> str | None:
        """Return the last day that was judged, or else the last of all."""
        dates = sorted(self._scopes)
        judged = [
            date
            for date in dates
            if any(row["rate_status"] != RateStatus.INSUFFICIENT.name for row in self._scopes[date])
        ]
        return max(judged or dates, default=None)

    def _scopes_of(self, run: Run, names: Names, date: str) -> None:
        rows = [_named(row, names) for row in self._scopes[date]]
        self._heading(run, f"{', '.join(sorted(self._granularities))} on {date}")
        self._table(run, sorted(rows, key=_size), ("scope", *_DAY), "")
        worst = sorted(self._worst.get(date, ()), key=_badness)[:WORST_SHOWN]
        if worst:
            self._heading(run, f"worst outlets on {date}")
            self._table(
                run, [_named(row, names) for row in worst], ("scope", "scope_id", *_DAY), ""
            )

    def _alerts_of(self, run: Run, names: Names) -> None:
        ended = sum(row["state"] == "ended" for row in self._alerts.values())
        self._heading(run, f"{len(self._alerts):,} alerts, {ended:,} of them ended")
        # What it was raised for, and what has become of it.
        rows = [
            {**_named(raised, names), **{name: last[name] for name in ("state", "reason")}}
            | {"last_at": _named(last, names)["last_at"]}
            for raised, last in zip(self._raised.values(), self._alerts.values(), strict=True)
        ]
        columns = (
            *("first_at", "alert_kind", "severity", "scope", "granularity"),
            *("observed", "target", "n", "state", "reason", "last_at"),
        )
        rows.sort(key=lambda row: (str(row["first_at"]), str(row["alert_id"])))
        self._table(run, rows[:ALERTS_SHOWN], columns, "")
        if len(rows) > ALERTS_SHOWN:
            run.out.print(f"... and {len(rows) - ALERTS_SHOWN:,} more; --json has them all")

    def _refused_of(self, run: Run) -> None:
        if not self._refused:
            return
        total = sum(refused.count for refused in self._refused.values())
        self._heading(run, f"{total:,} lines could not be used")
        found = sorted(self._refused.items(), key=lambda item: (-item[1].count, item[0]))
        rows = [
            {"code": code, "path": path, "count": refused.count, "lines": refused.lines}
            for (code, path), refused in found
        ]
        self._table(run, rows, ("code", "path", "count", "lines"), "")

    @staticmethod
    def _heading(run: Run, text: str) -> None:
        run.out.print()
        run.out.print(Text(text, style="bold"))

    @staticmethod
    def _table(run: Run, rows: Sequence[Row], columns: Sequence[str], empty: str) -> None:
        if rows or empty:
            show(run, rows, json=False, columns=columns, empty=empty)


def _named(row: Row, names: Names) -> Row:
    shown = {
        name: str(value)[5:16].replace("T", " ")
        for name, value in row.items()
        if name in ("first_at", "last_at")
    }
    return {**row, **shown, "scope": names.scope(str(row["granularity"]), str(row["scope_id"]))}


def _badness(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    return row["rate_status"] != RateStatus.BREACH.name, -row["missing"], row["scope_id"]


def _size(row: Mapping[str, Any]) -> tuple[int, str]:
    return -row["eligible"], row["scope_id"]
