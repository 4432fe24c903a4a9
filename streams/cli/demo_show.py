"""Shows the demo while it runs: a live screen on a terminal, plain lines elsewhere."""

from time import monotonic
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.live import Live
from rich.status import Status

from streams.cli.demo_play import Player
from streams.cli.demo_screen import Moment, Teller, events, flow_text, refused_text, screen
from streams.cli.demo_watch import Board, Gauge, Watcher
from streams.cli.run import Run
from streams.domain.period import Granularity
from streams.simulate.feed import Feed

FRAME_S: Final = 0.25
"""Time between two pictures, and between two looks at whether everything is well."""

_LINE_S: Final = 5.0


class Steps:
    """Says what is being done, step by step, with how long each took."""

    def __init__(self, run: Run) -> None:
        """Say it on standard error."""
        self._run: Final = run
        self._status: Status | None = None
        self._doing = ""
        self._since_s = 0.0

    def __call__(self, text: str) -> None:
        """Say that the next step has begun."""
        self._finish()
        self._doing, self._since_s = text, monotonic()
        if not self._run.err.is_terminal:
            self._run.say(f"{text} ...")
        elif self._status is None:
            self._status = self._run.err.status(f"{text} ...")
            self._status.start()
        else:
            self._status.update(f"{text} ...")

    def _finish(self) -> None:
        if self._doing and self._run.err.is_terminal:
            took_s = monotonic() - self._since_s
            self._run.err.print(f"[green]✓[/] {self._doing} [dim]({took_s:.1f} s)[/]")
        self._doing = ""

    def __enter__(self) -> Self:
        """Begin with the first step that is said."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the last step, as done unless an exception says otherwise."""
        if kind is None:
            self._finish()
        if self._status is not None:
            self._status.stop()


class Crew(NamedTuple):
    """The threads of a demo."""

    player: Player
    watcher: Watcher
    gauge: Gauge

    def start(self) -> None:
        """Start all of them."""
        for thread in self:
            thread.start()

    def check(self) -> None:
        """Raise what has ended one of them before its time."""
        for thread in (self.player, self.watcher):
            if thread.error is not None:
                raise thread.error

    def stop(self) -> None:
        """End all of them, and wait for them."""
        for thread in self:
            thread.stop()


class Show:
    """The picture of a demo. `update` it often; it chooses by itself when to paint."""

    def __init__(
        self, run: Run, teller: Teller, feed: Feed, speed: float, *, board_url: str
    ) -> None:
        """Show on standard output if that is a terminal, else tell on standard error."""
        assert feed.end_ms is not None, "the demo ends by itself"
        self._run: Final = run
        self._teller: Final = teller
        self._start_ms: Final = feed.start_ms
        self._length_ms: Final = feed.end_ms - feed.start_ms
        self._speed: Final = speed
        self._board_url: Final = board_url
        live = run.out.is_terminal and not run.out.is_dumb_terminal
        self._live: Final = Live(console=run.out, screen=True, auto_refresh=False) if live else None
        self._waiting: Final = teller.planted(feed)
        self._told = 0
        self._line_s = monotonic()

    def __enter__(self) -> Self:
        """Take over the terminal, or say what is going to happen."""
        if self._live is not None:
            self._live.start()
        for line in () if self._live is not None else self._waiting:
            self._run.say(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the terminal back as it was."""
        if self._live is not None:
            self._live.stop()

    def update(self, crew: Crew, note: str = "") -> None:
        """Show what is known now; `note` is what else is being done."""
        player, watcher, gauge = crew
        board = watcher.board()
        moment = Moment(
            board=board,
            flow=gauge.flow,
            sent=player.sent + player.heartbeats,
            now_ms=player.now_ms,
            share=min(1.0, (player.now_ms - self._start_ms) / self._length_ms),
            speed=self._speed,
            board_url=self._board_url,
            note=note,
            waiting=self._waiting,
        )
        if self._live is None:
            self._tell(moment)
            return
        size = self._run.out.size
        picture = screen(moment, self._teller, width=size.width, height=size.height)
        self._live.update(picture, refresh=True)

    def _tell(self, moment: Moment) -> None:
        news = list(events(moment.board.alerts))
        for alert in news[self._told :]:
            self._run.say(self._teller.event(alert))
        self._told = len(news)
        if monotonic() - self._line_s < _LINE_S:
            return
        self._line_s = monotonic()
        words = self._teller.words
        region = self._region(moment.board)
        parts = (region, flow_text(moment, words), refused_text(moment.board, words), moment.note)
        self._run.say("; ".join(part for part in parts if part))

    def _region(self, board: Board) -> str:
        for rate in board.of(Granularity.REGION):
            if rate.today.rate is not None:
                name = self._teller.names.scope(rate.granularity, rate.scope_id)
                time = rate.as_of[:16].replace("T", " ")
                return f"{time} {name} {rate.today.rate:.1%}"
        return ""
