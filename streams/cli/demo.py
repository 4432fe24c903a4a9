"""`realname demo`: a region at work, on a Kafka of its own, with planted faults that must be found."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Run, command

if TYPE_CHECKING:
    from types import FrameType

    from streams.cli.demo_show import Crew, Show
    from streams.cli.demo_system import DemoSystem
    from streams.reference.types import Reference
    from streams.simulate.feed import Feed

app = typer.Typer()

SCENARIO: Final = "demo"
SCENARIO_SHORT: Final = "demo-short"
SEED_DEFAULT: Final = 1
SPEED_DEFAULT: Final = 1_200.0
"""A working day in less than a minute."""
SPEED_SHORT: Final = 6_000.0
SETTLE_TIMEOUT_S: Final = 120.0


@command(
    app,
    "demo",
    examples=["realname demo", "realname demo --language zh --keep", "realname demo --short"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def demo(
    run: Run,
    *,
    short: Annotated[
        bool, typer.Option("--short", help="A morning with fewer outlets, in seconds.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=1, metavar="X", help="Times faster than real; nights go by faster still."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="The same seed gives the same records.")
    ] = SEED_DEFAULT,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the broker running at the end, with its data.")
    ] = False,
    language: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Language of the screen.")
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            help="Open the board in a browser; otherwise only from a terminal on a desktop.",
            show_default=False,
        ),
    ] = None,
    alertmanager: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Page through this Alertmanager, too; repeatable."),
    ] = None,
) -> Exit:
    """Watch a region work, in two minutes: broker, worker, board, simulated parcels, rates and alerts.

    Starts a real Kafka on a free port, in a folder of its own, a worker and the board, which it opens in
    a browser; plays 6 September 2017, when a conference in Ordos raised the targets, at 1,200 times real
    speed; shows rates by city, the worst outlets, and alerts as they are raised and end, and why. Faults
    are planted, and the summary says which of them were found. It ends by itself and leaves nothing
    behind; so does Ctrl-C.

    Exit code 1 when a planted fault was not found.
    """
    from streams.cli.demo_child import ChildEnded
    from streams.cli.demo_show import Steps
    from streams.cli.demo_system import DemoSystem

    begun_s = time.monotonic()
    paging = {"alertmanagers": alertmanager} if alertmanager else None
    run.override(language=language, notify=paging)
    system = DemoSystem(run, paging=paging is not None)
    speed = speed or (SPEED_SHORT if short else SPEED_DEFAULT)
    scenario = SCENARIO_SHORT if short else SCENARIO
    with system.alone(), _terminated_as_interrupted():
        try:
            with Steps(run) as say:
                system.start(say)
                feed = _feed(scenario, seed, system.reference)
                system.start_worker(say)
            _open_board(run, system, browser=browser)
            found = _play(run, system, feed, speed=speed, begun_s=begun_s)
        except KeyboardInterrupt:
            keep = False
            run.say("Interrupted.")
            raise
        except ChildEnded as error:
            run.say(str(error))
            return Exit.UNMET
        except BaseException:
            keep = False
            raise
        finally:
            with _uninterrupted():
                _end(run, system, keep=keep)
    _next_commands(run, system, keep=keep)
    return Exit.OK if found else Exit.UNMET


def _open_board(run: Run, system: "DemoSystem", *, browser: bool | None) -> None:
    """Say where the board is, and show it where that can be done."""
    from streams.cli.browser import open_page
    from streams.cli.demo_text import words
    from streams.settings import has_desktop

    run.say(words(run.settings.language).board.format(url=system.board_url))
    if browser if browser is not None else run.out.is_terminal and has_desktop():
        open_page(system.board_url)


def _play(run: Run, system: "DemoSystem", feed: "Feed", *, speed: float, begun_s: float) -> bool:
    """Run the demo from the first record to the summary; return whether every fault was found."""
    from streams.cli.demo_play import Player
    from streams.cli.demo_report import Report, Totals, gather
    from streams.cli.demo_screen import Teller
    from streams.cli.demo_show import Crew, Show
    from streams.cli.demo_text import words
    from streams.cli.demo_watch import Gauge, Watcher
    from streams.cli.pace import quick_nights
    from streams.cli.region import Names
    from streams.kafka.loading import Loader
    from streams.records.topics import SHIPMENTS

    language = run.settings.language
    names = Names(system.reference, language)
    teller = Teller(words(language), names, system.reference, chinese=language == "zh")
    topics, client = system.run.settings.topics(), system.run.client
    assert feed.end_ms is not None, "the demo ends by itself"
    due_s = quick_nights(feed.start_ms, feed.end_ms, speed)
    shipments = topics[SHIPMENTS]
    gauge = Gauge(client, system.run.settings.group("match"), shipments)
    loader = Loader(client, shipments.name)
    player = Player(loader, feed, due_s, lag=lambda: gauge.flow.lag)
    crew = Crew(player, Watcher(client, topics), gauge)
    try:
        crew.start()
        with Show(run, teller, feed, speed, board_url=system.board_url) as show:
            _follow(system, show, crew)
            _settle(system, show, crew, teller.words.settling)
    finally:
        crew.stop()
    with run.err.status("Reading what was found ..."):
        evidence = gather(system.run)
    report = Report(run, teller, feed, evidence)
    took_s = time.monotonic() - begun_s
    report.show(Totals(crew.player.sent, crew.player.heartbeats, took_s), system.board_url)
    return report.all_found


def _feed(scenario: str, seed: int, reference: "Reference") -> "Feed":
    from streams.simulate.feed import open_scenario
    from streams.simulate.scenario import ScenarioError

    try:
        return open_scenario(scenario, seed=seed, reference=reference)
    except ScenarioError as error:
        raise BadInput(f"seed {seed}: {error}") from None


def _follow(system: "DemoSystem", show: "Show", crew: "Crew") -> None:
    """Show the play until its end; raises what has gone wrong meanwhile."""
    from streams.cli.demo_show import FRAME_S

    while not crew.player.done:
        system.check()
        crew.check()
        show.update(crew)
        time.sleep(FRAME_S)


def _settle(system: "DemoSystem", show: "Show", crew: "Crew", note: str) -> None:
    """Show how the rest is worked off, until all stages have passed the end of the play."""
    from streams.cli.demo_child import ChildEnded
    from streams.cli.demo_show import FRAME_S
    from streams.cli.wait import stages_passing

    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    for _ in stages_passing(system.run):
        system.check()
        crew.check()
        if time.monotonic() > deadline:
            raise ChildEnded(
                f"The worker is still behind after {SETTLE_TIMEOUT_S:.0f} s: this machine is too "
                "slow for the speed. Try a lower --speed."
            )
        show.update(crew, note)
        time.sleep(FRAME_S)
    # A last look, once the screen has read what was published in the end.
    time.sleep(FRAME_S)
    show.update(crew, note)


def _end(run: Run, system: "DemoSystem", *, keep: bool) -> None:
    what = "board and worker" if keep else "board, worker and broker"
    if not run.err.is_terminal:
        run.say(f"Stopping {what} ...")
    with run.err.status(f"Stopping {what} ..."):
        if keep:
            system.stop_processes()
        else:
            system.stop()
    run.say(f"{what.capitalize()} stopped{'' if keep else ', their data deleted'}.")


def _next_commands(run: Run, system: "DemoSystem", *, keep: bool) -> None:
    """Say what to try next, with what it takes to find the demo's broker if that still runs."""
    run.out.print()
    if not keep:
        run.out.print("Next, try:")
        run.out.print("  realname demo --keep      the same, and look around afterwards")
        run.out.print("  realname broker start     a broker to stay, then: realname setup")
        run.out.print("  realname --help           everything else")
        return
    option = f"--config {system.config}"
    run.out.print("The broker goes on running, with everything that was found. Look around:")
    for line in (
        f"realname serve {option}",
        f"realname rates --granularity CITY {option}",
        f"realname alerts --all {option}",
        f"realname missing {option}",
        f"realname dlq list {option}",
        f"realname worker {option}",
        f"realname broker stop {option}",
    ):
        run.out.print(f"  {line}", soft_wrap=True, highlight=False)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, and a terminal that closes, end everything as Ctrl-C does."""

    def interrupt(_number: int, _frame: "FrameType | None") -> None:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let nothing interrupt the end: it takes seconds, and half of it would leave processes."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
