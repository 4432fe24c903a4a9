"""The demo's summary: what was planted and what was found of it, and what to try next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from rich.table import Table
from rich.text import Text

from streams.cli.demo_screen import Teller, percent
from streams.cli.demo_watch import Alert, refusal_code
from streams.cli.run import Run
from streams.cli.show import STYLES
from streams.domain.period import Granularity
from streams.kafka.reading import latest_values, read_to_end
from streams.records.topics import ALERTS, DAYS, SHIPMENTS_DLQ
from streams.simulate.faults import Evidence
from streams.simulate.feed import Feed

_HEALTHY_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there was, and how long it took."""

    sent: int
    heartbeats: int
    took_s: float


def gather(run: Run) -> Evidence:
    """Return what the run has led to, from the topics; raises ClusterError."""
    topics = run.settings.topics()
    alerts: list[dict[str, Any]] = [
        orjson.loads(value)
        for message in read_to_end(run.client, topics[ALERTS].name)
        if (value := message.value()) is not None
    ]
    days = [orjson.loads(v) for v in latest_values(run.client, topics[DAYS].name).values()]
    letters = read_to_end(run.client, topics[SHIPMENTS_DLQ].name)
    return Evidence(alerts, days, Counter(refusal_code(message) for message in letters))


class Report:
    """Tells on standard output what came of the demo."""

    def __init__(self, run: Run, teller: Teller, feed: Feed, evidence: Evidence) -> None:
        """Take what was played, and what was found."""
        self._out = run.out
        self._teller = teller
        self._words = teller.words
        self._feed = feed
        self._evidence = evidence

    @property
    def all_found(self) -> bool:
        """Whether every planted fault was found."""
        return all(fault.found(self._evidence) for fault in self._feed.planted)

    def show(self, totals: Totals, board_url: str) -> None:
        """Write everything; `board_url` is where the board was."""
        self._faults()
        self._alerts()
        self._rates()
        self._totals(totals)
        self._out.print(Text(self._words.board_ends.format(url=board_url)), soft_wrap=True)

    def _heading(self, text: str) -> None:
        self._out.print()
        self._out.print(Text(text, style="bold"))

    def _faults(self) -> None:
        planted = self._feed.planted
        found = sum(fault.found(self._evidence) for fault in planted)
        self._heading(self._words.found.format(found=found, planted=len(planted)))
        for fault in planted:
            unmet = fault.unmet(self._evidence)
            mark = Text("  ✗ ", style="bold red") if unmet else Text("  ✓ ", style="green")
            self._out.print(mark + Text(self._teller.fault(fault)), soft_wrap=True)
            for text in unmet:
                self._out.print(Text(f"      {self._words.unmet}: {text}"), soft_wrap=True)

    def _alerts(self) -> None:
        words = self._words
        raised = Counter(a["alert_kind"] for a in self._of_reason("raised"))
        ended = Counter(a["alert_kind"] for a in self._evidence.alerts if a["state"] == "ended")
        self._heading(words.alerts_by_kind)
        for kind, count in raised.most_common():
            name = words.kinds[str(kind)]
            told = words.raised_and_ended.format(kind=name, raised=count, ended=ended[kind])
            self._out.print(Text(f"  {told}"))
        healthy = self._healthy_outlets()
        self._out.print(Text(f"  {words.healthy.format(count=len(healthy))}"))
        for outlet_id in healthy[:_HEALTHY_SHOWN]:
            name = self._teller.names.outlet(outlet_id)
            self._out.print(Text(f"    {name} {outlet_id}"))

    def _of_reason(self, reason: str) -> list[Alert]:
        return [dict(a) for a in self._evidence.alerts if a["reason"] == reason]

    def _healthy_outlets(self) -> list[str]:
        """Return outlets with an alert below target that no planted fault concerns."""
        outlets = self._feed.region.outlets
        concerned = {
            outlets[index].outlet_id
            for fault in self._feed.planted
            for index in fault.members.nonzero()[0].tolist()
        }
        raised = {
            str(a["scope_id"])
            for a in self._of_reason("raised")
            if a["granularity"] == Granularity.OUTLET.value
            and a["alert_kind"] == "RATE_BELOW_TARGET"
        }
        return sorted(raised - concerned)

    def _rates(self) -> None:
        days = self._evidence.days
        region = [d for d in days if d["granularity"] == Granularity.REGION.value]
        if not region:
            return
        date = max(region, key=lambda d: _count(d, "eligible"))["date"]
        self._heading(self._words.rates_on.format(date=date))
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for index, column in enumerate(self._words.rate_columns):
            table.add_column(
                column, justify="left" if index in (0, 2, 6) else "right", no_wrap=True
            )
        cities = [d for d in days if d["granularity"] == Granularity.CITY.value]
        cities.sort(key=lambda d: str(d["scope_id"]))
        for day in [*region, *cities]:
            if day["date"] == date:
                table.add_row(*self._row(day))
        self._out.print(table)

    def _row(self, day: Mapping[str, Any]) -> Sequence[str | Text]:
        status = day["rate_status"]
        return (
            self._teller.names.scope(day["granularity"], day["scope_id"]),
            "–" if day["rate"] is None else f"{day['rate']:.2%}",
            self._target(day),
            f"{day['eligible']:,}",
            f"{day['covered_late']:,}",
            f"{day['missing']:,}",
            Text(self._words.statuses.get(status, status), style=STYLES.get(status, "")),
        )

    def _target(self, day: Mapping[str, Any]) -> str:
        """Return the target that decided, and of what, if it was not of all parcels."""
        if day["target"] is None:
            return "–"
        towards = self._teller.towards_of(day["event_period_id"])
        return f"{percent(day['target'])} {towards}".rstrip()

    def _totals(self, totals: Totals) -> None:
        refused = sum(self._evidence.dead_letters.values())
        self._out.print()
        told = self._words.totals.format(
            sent=totals.sent,
            beats=totals.heartbeats,
            refused=refused,
            took=totals.took_s,
        )
        self._out.print(Text(told), soft_wrap=True)


def _count(day: Mapping[str, object], name: str) -> int:
    value = day[name]
    return value if isinstance(value, int) else 0
