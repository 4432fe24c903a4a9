"""The demo's screen: made anew from what is known, as large as the terminal is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.cli.demo_text import Words
from streams.cli.demo_watch import Alert, Board, Flow, Judged, Rate
from streams.cli.pace import speed_at
from streams.cli.region import Names
from streams.cli.show import STYLES
from streams.domain.category import Category
from streams.domain.period import EventPeriod, Granularity
from streams.domain.verdict import RateStatus
from streams.domain.window import MINUTE_MS, instant_from_text, instant_text
from streams.reference.types import Reference
from streams.simulate.faults import PlantedFault
from streams.simulate.feed import Feed

ALL_CATEGORIES: Final = "*"

TWO_COLUMNS_FROM: Final = 130
_WORST_WIDTH: Final = 62
_FRAME_LINES: Final = 3  # A panel's borders, and a table's head.
_HEADER_LINES: Final = 4
_FOOTER_LINES: Final = 4
_ALERTS_MIN: Final = 4
_TREND_SHOWN: Final = 8
_NUMBERS: Final = (6, 7)  # Widths of columns of numbers, which stand on the right.
_BARS: Final = "▁▂▃▄▅▆▇█"
_BARS_FROM: Final = 0.85  # Rates of interest lie above; what is lower is as bad as it gets.
_MINUTES_PER_HOUR: Final = 60
_BAD: Final = (RateStatus.BREACH.name, RateStatus.AT_RISK.name)
_JUDGED: Final = (RateStatus.OK.name, *_BAD)
_RANKS: Final = {name: rank for rank, name in enumerate(_BAD)}


_FAULT_SCOPES: Final[Mapping[str, Granularity]] = {
    "county_stops": Granularity.COUNTY,
    "brand_silent": Granularity.ENTERPRISE,
}
"""What a planted fault's scope is; all others are outlets."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Puts findings into words: of one language, with the names of one region."""

    words: Words
    names: Names
    reference: Reference
    chinese: bool

    def judged(self, verdict: Judged) -> str:
        """Return what decided a verdict: `87.4% < 92% loose parcels`."""
        if verdict.rate is None or verdict.target is None or verdict.rate_status not in _JUDGED:
            return "–"
        sign = "<" if verdict.rate < verdict.target else "≥"
        loose = self.words.loose_only
        what = self._what(verdict.parcel_category, verdict.event_period_id, loose=loose)
        return f"{share_text(verdict.rate)} {sign} {percent(verdict.target)} {what}".rstrip()

    def _what(self, category: str, event_period_id: str | None, *, loose: str) -> str:
        parts = []
        if category == Category.LOOSE.name:
            parts.append(loose)
        elif category != ALL_CATEGORIES:
            parts.append(category)
        parts.append(self.towards_of(event_period_id))
        return " ".join(part for part in parts if part)

    def towards_of(self, event_period_id: str | None) -> str:
        """Return where a period's parcels go to: `to Ordos`; "" for anywhere."""
        for period in self.reference.periods:
            if period.event_period_id == event_period_id and period.destination_codes:
                return self._towards(period)
        return ""

    def _towards(self, period: EventPeriod) -> str:
        places = "、" if self.chinese else ", "
        named = places.join(self.names.place(code) for code in period.destination_codes)
        return self.words.towards.format(place=named)

    def scope(self, alert: Alert) -> str:
        """Return what an alert is about: `county 松山区, Chifeng`."""
        granularity = str(alert["granularity"])
        kind = self.words.granularities[granularity]
        return f"{kind} {self.names.scope(granularity, str(alert['scope_id']))}"

    def why(self, alert: Alert) -> str:
        """Return the evidence that an alert rests on."""
        evidence = alert["evidence"]
        if evidence.get("collections") is not None:
            return self.words.silent.format(n=evidence["collections"])
        if evidence.get("judged") is not None:
            return self.words.collapsed.format(n=evidence["breaching"], of=evidence["judged"])
        if alert["observed"] is None or alert["target"] is None:
            return ""
        category, period_id = alert["parcel_category"], alert["event_period_id"]
        what = self._what(category, period_id, loose=self.words.loose)
        return self.words.evidence.format(
            rate=share_text(alert["observed"]),
            n=alert["n"],
            what=what or self.words.whole,
            target=percent(alert["target"]),
        )

    def ending(self, alert: Alert) -> str:
        """Return after how long an alert ended, and why."""
        lasted_ms = instant_from_text(alert["last_at"]) - instant_from_text(alert["first_at"])
        hours, minutes = divmod(lasted_ms // MINUTE_MS, _MINUTES_PER_HOUR)
        if self.chinese:
            duration = f"{hours}小时{minutes}分" if hours else f"{minutes}分钟"
        else:
            duration = f"{hours} h {minutes} min" if hours else f"{minutes} min"
        reason = self.words.reasons.get(alert["reason"], alert["reason"])
        return self.words.ended.format(duration=duration, reason=reason)

    def event(self, alert: Alert) -> str:
        """Return a raise or an end in one line, for where there is no screen."""
        time = clock_text(alert["last_at"])
        kind = self.words.kinds[alert["alert_kind"]]
        if alert["state"] == "ended":
            return f"{time} ▼ {self.scope(alert)}: {kind}: {self.ending(alert)}"
        severity = self.words.severities[alert["severity"]]
        return f"{time} ▲ {severity} {self.scope(alert)}: {kind}: {self.why(alert)}"

    def fault(self, fault: PlantedFault) -> str:
        """Return what was planted, and where."""
        granularity = _FAULT_SCOPES.get(fault.kind, Granularity.OUTLET)
        scope = self.names.scope(granularity.value, fault.scope_id)
        return self.words.faults[fault.kind].format(scope=scope)

    def planted(self, feed: Feed) -> list[str]:
        """Return what was planted in a play, a line each, in the order of time."""
        head = self.words.planted.format(
            outlets=len(feed.region.outlets), parcels=feed.region.parcels_per_day
        )
        faults = sorted(feed.planted, key=lambda fault: fault.start_ms)
        return [
            head,
            *(
                self.words.planted_from.format(
                    time=clock_text(instant_text(fault.start_ms)), fault=self.fault(fault)
                )
                for fault in faults
            ),
        ]

    def event_period(self, now_ms: int) -> str:
        """Return the event periods of an instant, and their targets."""
        general, towards = [], []
        for period in self.reference.periods:
            phase = period.phase_at(now_ms)
            if phase is None:
                continue
            if period.destination_codes:
                towards.append(f"{self._towards(period)} {self._targets(period)}")
            else:
                name = period.name_zh if self.chinese else period.name_en
                told = self.words.period.format(name=name, phase=self.words.phases[phase.value])
                general.append(f"{told}: {self._targets(period)}")
        return "; ".join([*general, *towards]) or self.words.no_period

    def _targets(self, period: EventPeriod) -> str:
        by_rate: dict[str, list[str]] = {}
        for target in period.targets:
            if target.category is None:
                word = self.words.granularities[target.granularity.value]
                words = by_rate.setdefault(percent(target.rate), [])
                if word not in words:
                    words.append(word)
        return ", ".join(f"{'/'.join(words)} {rate}" for rate, words in by_rate.items())


@dataclass(frozen=True, slots=True)
class Moment:
    """What the screen shows: everything that is known at one moment of the demo.

    Attributes:
        board: What was read.
        flow: What has gone through.
        sent: Records and heartbeats sent.
        now_ms: Data time of the play.
        share: How much of the play is over, 0 to 1.
        speed: Of the play by day.
        board_url: Where the board is; "" for nowhere.
        note: What is being done beside, "" for nothing.
        waiting: Lines to show until the first alert.

    """

    board: Board
    flow: Flow
    sent: int
    now_ms: int
    share: float
    speed: float
    board_url: str = ""
    note: str = ""
    waiting: Sequence[str] = ()


def screen(moment: Moment, teller: Teller, *, width: int, height: int) -> RenderableType:
    """Return what fits into so many columns and lines."""
    cities = _cities(moment.board, teller)
    city_lines = cities.row_count + _FRAME_LINES
    beside = width >= TWO_COLUMNS_FROM
    fixed = _HEADER_LINES + city_lines + _FOOTER_LINES + 1
    alerts = max(_ALERTS_MIN, height - fixed - 2)
    parts: list[RenderableType] = [_header(moment, teller)]
    city_panel = Panel(cities, title=teller.words.cities, title_align="left", padding=(0, 1))
    if beside:
        worst = _worst(moment.board, teller, cities.row_count)
        grid = Table.grid(expand=True)
        grid.add_column(ratio=1)
        grid.add_column(width=_WORST_WIDTH)
        worst_panel = Panel(worst, title=teller.words.worst, title_align="left", height=city_lines)
        grid.add_row(city_panel, worst_panel)
        parts.append(grid)
    else:
        parts.append(city_panel)
    return Group(*parts, _alerts(moment, teller, alerts), _footer(moment, teller))


def _header(moment: Moment, teller: Teller) -> RenderableType:
    words = teller.words
    speed = speed_at(moment.now_ms, moment.speed)
    time = clock_text(instant_text(moment.now_ms // MINUTE_MS * MINUTE_MS), day=True)
    told = words.play.format(time=time, speed=speed)
    line = Text(told, style="bold")
    if speed > moment.speed:
        line.append(words.quick_night, style="dim")
    bar = Table.grid(expand=True, padding=(0, 2))
    bar.add_column()
    bar.add_column(ratio=1)
    bar.add_row(line, ProgressBar(total=1.0, completed=moment.share))
    period = Text(teller.event_period(moment.now_ms), overflow="ellipsis")
    board = (
        Text(words.board.format(url=moment.board_url), style="bold") if moment.board_url else None
    )
    return Panel(
        Group(bar, period),
        title=words.title,
        title_align="left",
        subtitle=board,
        subtitle_align="left",
        height=_HEADER_LINES,
    )


def _cities(board: Board, teller: Teller) -> Table:
    table = _table(teller.words.city_columns, widths=(0, 6, 8, 7, 7, 7, 20, 7))
    cities = sorted(board.of(Granularity.CITY), key=lambda rate: rate.scope_id)
    for rate in [*board.of(Granularity.REGION), *cities]:
        trend = [share for _, share in board.trends.get(rate.scope_id, ())]
        style = "bold" if rate.granularity == Granularity.REGION.value else ""
        today = rate.today
        table.add_row(
            teller.names.scope(rate.granularity, rate.scope_id),
            "–" if today.rate is None else share_text(today.rate),
            sparkline(trend[-_TREND_SHOWN:]),
            f"{today.eligible:,}",
            f"{today.missing:,}",
            f"{today.pending:,}",
            teller.judged(rate.verdict),
            _status(rate.verdict, teller),
            style=style,
        )
    return table


def _worst(board: Board, teller: Teller, rows: int) -> RenderableType:
    worst = worst_outlets(board)[:rows]
    if not worst:
        return Text(teller.words.none_worse, style="dim")
    table = _table(teller.words.worst_columns, widths=(0, 7, 19, 7))
    for rate in worst:
        table.add_row(
            teller.names.scope(rate.granularity, rate.scope_id),
            f"{rate.today.missing:,}",
            teller.judged(rate.verdict),
            _status(rate.verdict, teller),
        )
    return table


def worst_outlets(board: Board) -> list[Rate]:
    """Return the outlets that breach or are at risk, the worst first."""
    bad = [r for r in board.of(Granularity.OUTLET) if r.verdict.rate_status in _BAD]
    return sorted(
        bad,
        key=lambda r: (_RANKS[r.verdict.rate_status], r.verdict.rate or 0.0, r.scope_id),
    )


def _alerts(moment: Moment, teller: Teller, rows: int) -> RenderableType:
    board, words = moment.board, teller.words
    raised = sum(alert["reason"] == "raised" for alert in board.alerts)
    counts = words.open_alerts.format(open=len(board.open_alerts()), raised=raised)
    table = Table.grid(padding=(0, 1), expand=True)
    for width in (5, 1, 8, 0, 0):
        table.add_column(
            width=width or None, ratio=None if width else 1, no_wrap=True, overflow="ellipsis"
        )
    for alert in list(events(board.alerts))[: -rows - 1 : -1]:
        ended = alert["state"] == "ended"
        severity = alert["severity"]
        table.add_row(
            clock_text(alert["last_at"]),
            Text("▼", style="green") if ended else Text("▲", style="red"),
            Text("" if ended else words.severities[severity], style=STYLES.get(severity, "")),
            Text(f"{teller.scope(alert)}: {words.kinds[alert['alert_kind']]}"),
            Text(teller.ending(alert), style="green") if ended else teller.why(alert),
        )
    lines = [words.no_alerts, "", *moment.waiting][:rows]
    waiting = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    body: RenderableType = table if table.row_count else waiting
    title = f"{words.alerts}: {counts}" if table.row_count else words.alerts
    return Panel(body, title=title, title_align="left", height=rows + 2, padding=(0, 1))


def events(alerts: Sequence[Alert]) -> Iterator[Alert]:
    """Yield what is news to a person: raises and ends; not that a ticket became an alert."""
    for alert in alerts:
        ended = alert["state"] == "ended"
        ticket_became_alert = (
            alert["alert_kind"] == "RATE_AT_RISK" and alert["reason"] == "superseded"
        )
        if (ended or alert["reason"] == "raised") and not ticket_became_alert:
            yield alert


def flow_text(moment: Moment, words: Words) -> str:
    """Return how much has gone through."""
    flow = moment.flow
    return words.flow.format(
        sent=moment.sent, processed=flow.processed, speed=flow.processed_s, lag=flow.lag
    )


def refused_text(board: Board, words: Words) -> str:
    """Return what was refused, by code."""
    refused = board.refused
    codes = ", ".join(f"{code} {count}" for code, count in refused.most_common())
    count = refused.total()
    return words.refused.format(count=count, codes=codes) if count else words.no_refused


def _footer(moment: Moment, teller: Teller) -> RenderableType:
    words = teller.words
    lines = [Text(flow_text(moment, words)), Text(refused_text(moment.board, words))]
    if moment.note:
        lines[1] = Text(moment.note, style="bold")
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Panel(Group(*lines), height=_FOOTER_LINES, padding=(0, 1))


def _table(columns: Sequence[str], *, widths: Sequence[int]) -> Table:
    """Return an empty table; a width of 0 takes what there is, the last column holds a status."""
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim")
    last = len(columns) - 1
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(
            column,
            justify="right" if index < last and width in _NUMBERS else "left",
            width=width or None,
            ratio=None if width else 1,
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _status(verdict: Judged, teller: Teller) -> Text:
    status = verdict.rate_status
    return Text(teller.words.statuses.get(status, status), style=STYLES.get(status, ""))


def sparkline(rates: Sequence[float]) -> str:
    """Return bars from 85 % (or less) to 100 %."""
    steps = len(_BARS) - 1
    shares = ((rate - _BARS_FROM) / (1 - _BARS_FROM) for rate in rates)
    return "".join(_BARS[round(min(1.0, max(0.0, share)) * steps)] for share in shares)


def share_text(share: float) -> str:
    """Return a rate with as many digits as it takes to see it move."""
    return "100%" if share == 1 else f"{share:.1%}"


def percent(share: float) -> str:
    """Return a target without digits that say nothing."""
    return f"{round(share * 100, 4):g}%"


def clock_text(instant: str, *, day: bool = False) -> str:
    """Return the clock of an RFC 3339 text, with `day` after its date."""
    return f"{instant[:10]} {instant[11:16]}" if day else instant[11:16]
