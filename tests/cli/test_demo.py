"""`realname demo`: its screen, its summary, and the whole of it in a short form."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from rich.console import Console

from streams.cli.demo_play import LAG_MAX, Player
from streams.cli.demo_report import Report, Totals
from streams.cli.demo_screen import Moment, Teller, events, screen, sparkline
from streams.cli.demo_text import Words, words
from streams.cli.demo_watch import Board, Flow, Judged, Rate, Window
from streams.cli.region import Names, history_from
from streams.cli.run import Run
from streams.domain.window import instant_from_text
from streams.reference.types import Reference
from streams.simulate.faults import Evidence
from streams.simulate.feed import open_scenario
from tests.cli.conftest import Realname

if TYPE_CHECKING:
    from streams.kafka.loading import Loader

NOON = "2017-09-06T12:00:00+08:00"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return history_from({}).latest


def teller(reference: Reference, language: str = "en") -> Teller:
    names = Names(reference, language)
    return Teller(words(language), names, reference, chinese=language == "zh")


def rate(granularity: str, scope_id: str, share: float, status: str, **more: str) -> Rate:
    judged = {"parcel_category": "*", "event_period_id": "EP2017-COP13", **more}
    return Rate(
        granularity=granularity,
        scope_id=scope_id,
        date="2017-09-06",
        today=Window(eligible=1234, missing=56, covered_young=7, pending=89, rate=share),
        verdict=Judged(rate_status=status, target=0.95, n=1138, rate=share, **judged),
        as_of=NOON,
    )


def alert(reason: str, **more: object) -> dict[str, Any]:
    return {
        "alert_id": "RATE_BELOW_TARGET:COUNTY:150404",
        "episode": 1,
        "alert_kind": "RATE_BELOW_TARGET",
        "severity": "MAJOR",
        "state": "firing" if reason in ("raised", "changed") else "ended",
        "reason": reason,
        "granularity": "COUNTY",
        "scope_id": "150404",
        "observed": 0.633,
        "target": 0.95,
        "parcel_category": "*",
        "n": 101,
        "event_period_id": "EP2017-COP13",
        "first_at": "2017-09-06T10:30:00+08:00",
        "last_at": NOON if reason != "raised" else "2017-09-06T10:30:00+08:00",
        "evidence": {"window": "TODAY"},
        **more,
    }


SILENT = alert(
    "raised",
    alert_id="CHANNEL_SILENT:ENTERPRISE:911500000000010092",
    alert_kind="CHANNEL_SILENT",
    granularity="ENTERPRISE",
    scope_id="911500000000010092",
    observed=None,
    target=None,
    evidence={"window": "TODAY", "collections": 71},
)


def board() -> Board:
    board = Board(alerts=[alert("raised"), alert("changed"), SILENT, alert("recovered")])
    board.take(rate("REGION", "150000", 0.974, "OK"))
    board.take(rate("CITY", "150400", 0.9, "BREACH"))
    board.take(rate("CITY", "150100", 0.96, "AT_RISK", event_period_id="EP2017-COP13-TO-ORDOS"))
    board.take(rate("CITY", "150300", 1.0, "INSUFFICIENT"))
    board.take(rate("OUTLET", "150102-DB-0001", 0.4, "BREACH", parcel_category="LOOSE"))
    board.take(rate("OUTLET", "150102-DB-0002", 0.99, "OK"))
    board.refused = Counter(schema=3, empty=2)
    return board


def moment(board: Board, note: str = "") -> Moment:
    flow = Flow(processed=12_000, lag=345, processed_s=3_456.7)
    now_ms = instant_from_text(NOON)
    return Moment(board, flow, 12_345, now_ms, 0.5, 1_200, "http://127.0.0.1:40123/", note)


def painted(moment: Moment, teller: Teller, *, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(screen(moment, teller, width=width, height=height), end="")
    return capture.get().splitlines()


class TestScreen:
    def test_it_tells_who_is_how_far_from_which_target_and_why(self, reference: Reference) -> None:
        picture = "\n".join(painted(moment(board()), teller(reference), width=160, height=48))
        for text in (
            "2017-09-06 12:00, 1,200 times real speed",
            "The board: http://127.0.0.1:40123/",
            "UNCCD COP13, Ordos (under way): outlet 92%",
            "to Ordos outlet 95%, county/city 98%",
            "Chifeng 赤峰市",
            "90.0% < 95%",
            "96.0% ≥ 95% to Ordos",
            "BREACH",
            "AT RISK",
            "too few",
            "DB 新城区",
            "40.0% < 95% loose",
            "1 open of 2 raised",
            "MAJOR    county 松山区, Chifeng: below target",
            "63.3% of 101 parcels; target 95%",
            "71 loose parcels collected and none registered for half an hour",
            "ended after 1 h 30 min: recovered",
            "12,345 records sent, 12,000 processed at 3,457 a second, lag 345",
            "5 records refused: schema 3, empty 2",
        ):
            assert text in picture
        assert "DB-0002" not in picture

    def test_it_speaks_chinese(self, reference: Reference) -> None:
        picture = "\n".join(painted(moment(board()), teller(reference, "zh"), width=160, height=48))
        for text in (
            "《联合国防治荒漠化公约》第十三次缔约方大会（会期）",
            "寄往鄂尔多斯市",
            "赤峰市",
            "不达标",
            "县区 赤峰市松山区: 低于目标",
            "1小时30分后结束：已恢复",
        ):
            assert text in picture
        assert "Chifeng" not in picture

    @pytest.mark.parametrize(("width", "height"), [(160, 48), (130, 40), (129, 40), (80, 30)])
    def test_it_is_no_larger_than_the_terminal(
        self, reference: Reference, width: int, height: int
    ) -> None:
        full = board()
        for code in ("150200", "150500", "150600", "150700", "150800", "150900", "152200"):
            full.take(rate("CITY", code, 0.97, "OK"))
        full.alerts *= 20
        lines = painted(moment(full, "Waiting"), teller(reference), width=width, height=height)
        assert len(lines) <= height
        assert "Waiting" in lines[-2]

    def test_before_the_first_record_it_says_what_it_waits_for(self, reference: Reference) -> None:
        empty = Moment(Board(), Flow(), 0, instant_from_text(NOON), 0.0, 1_200)
        picture = "\n".join(painted(empty, teller(reference), width=160, height=48))
        assert "a parcel is judged two hours after its collection" in picture
        assert "no record refused" in picture

    def test_only_raises_and_ends_are_news_and_no_ticket_that_became_an_alert(self) -> None:
        ticket = {"alert_kind": "RATE_AT_RISK"}
        alerts = [
            alert("raised", **ticket),
            alert("raised"),
            alert("superseded", **ticket),
            alert("changed"),
            alert("superseded"),
        ]
        assert list(events(alerts)) == [alerts[0], alerts[1], alerts[4]]

    def test_bars_show_rates_from_85_percent_up(self) -> None:
        assert sparkline([0.2, 0.85, 0.925, 1.0]) == "▁▁▅█"
        assert sparkline([]) == ""


class TestBoard:
    def test_the_latest_record_of_a_scope_and_of_an_hour_counts(self) -> None:
        board = Board()
        for share, clock in ((0.9, "10:05"), (0.8, "10:55"), (0.95, "11:01")):
            as_of = f"2017-09-06T{clock}:00+08:00"
            board.take(msgspec.structs.replace(rate("CITY", "150400", share, "OK"), as_of=as_of))
        assert [share for _, share in board.trends["150400"]] == [0.8, 0.95]
        assert board.as_of == "2017-09-06T11:01:00+08:00"

    def test_an_alert_is_open_until_its_episode_ends(self) -> None:
        board = Board(alerts=[alert("raised"), alert("changed")])
        assert [a["reason"] for a in board.open_alerts()] == ["changed"]
        board.alerts += [alert("recovered")]
        assert board.open_alerts() == []


def test_both_languages_have_a_word_for_everything() -> None:
    for name in Words.__slots__:
        english, chinese = getattr(words("en"), name), getattr(words("zh"), name)
        assert english, name
        assert chinese, name
        if isinstance(english, dict):
            assert english.keys() == chinese.keys(), name
        if isinstance(english, tuple):
            assert len(english) == len(chinese), name


class TestReport:
    def test_a_missed_fault_is_told_with_what_is_wanting(
        self, reference: Reference, capsys: pytest.CaptureFixture[str]
    ) -> None:
        feed = open_scenario("demo-short", seed=1, reference=reference)
        refused = {code.value: 99 for code in feed.planted[-1].expects[0].fed}  # type: ignore[union-attr]  # garbage
        healthy = next(
            outlet
            for index, outlet in enumerate(feed.region.outlets)
            if not any(fault.members[index] for fault in feed.planted)
        )
        raised = alert("raised", granularity="OUTLET", scope_id=healthy.outlet_id)
        evidence = Evidence(alerts=[raised], dead_letters=refused)
        report = Report(Run(), teller(reference), feed, evidence)
        report.show(Totals(sent=1_000, heartbeats=10, took_s=12.3), "http://127.0.0.1:40123/")
        told = capsys.readouterr().out
        assert not report.all_found
        assert "1 of 4 planted faults found" in told
        assert "✗ a county stops registering" in told
        assert "not found: alert RATE_BELOW_TARGET of 150402" in told
        assert "✓ garbage" in told
        assert "1 outlets without a planted fault were alerted" in told
        assert healthy.outlet_id in told
        assert "1,000 records and 10 heartbeats sent" in told
        assert "The board was at http://127.0.0.1:40123/" in told


class FakeLoader:
    """Takes what is sent, and counts it."""

    def __init__(self) -> None:
        self.sent = self.heartbeats = 0
        self.finished = False

    def put(self, _key: bytes, _value: bytes | None) -> None:
        self.sent += 1

    def beat(self, _value: bytes) -> None:
        self.heartbeats += 1

    def finish(self) -> None:
        self.finished = True


class TestPlayer:
    def player(self, loader: FakeLoader, reference: Reference, lag: Callable[[], int]) -> Player:
        feed = open_scenario("demo-short", seed=1, reference=reference, parcels_per_day=8_000)
        return Player(cast("Loader", loader), feed, lambda _: 0.0, lag=lag)

    def test_everything_is_played_once_the_worker_has_caught_up(self, reference: Reference) -> None:
        loader, lags = FakeLoader(), [LAG_MAX + 1, LAG_MAX + 1, LAG_MAX]
        player = self.player(loader, reference, lambda: lags.pop(0) if lags else 0)
        player.run()
        assert player.error is None
        assert player.done
        assert loader.finished
        assert (lags, player.now_ms) == ([], instant_from_text("2017-09-06T15:00:00+08:00"))
        assert loader.sent > 5_000
        assert loader.heartbeats == 9 * 60 + 1

    def test_it_can_be_stopped_while_it_waits(self, reference: Reference) -> None:
        loader = FakeLoader()
        player = self.player(loader, reference, lambda: LAG_MAX + 1)
        player.start()
        time.sleep(0.3)
        player.stop()
        assert not player.is_alive()
        assert loader.finished
        assert loader.sent < 1_000


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, but for our own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if str(folder / "demo") in command:
            found.append(command)
    return found


@pytest.mark.kafka
class TestWhole:
    def test_the_short_demo_finds_what_was_planted_and_leaves_nothing_behind(
        self, realname: Realname, tmp_path: Path
    ) -> None:
        result = realname("demo", "--short")
        assert result.code == 0, result.err + result.out
        assert "4 of 4 planted faults found" in result.out
        assert "0 outlets without a planted fault were alerted" in result.out
        assert "Hohhot 呼和浩特市" in result.out
        assert "channel silent" in result.err
        assert "ended after" in result.err
        (board,) = set(re.findall(r"http://127\.0\.0\.1:\d+/", result.err))
        assert f"The board was at {board}" in result.out
        assert not (tmp_path / "demo").exists()
        assert left_running(tmp_path) == []

    def test_what_is_kept_can_be_looked_at(self, realname: Realname, tmp_path: Path) -> None:
        told = realname.ok("demo", "--short", "--speed", "50000", "--keep").out
        config = tmp_path / "demo" / "realname.toml"
        plain = Realname("--config", str(config))
        assert f"realname rates --granularity CITY --config {config}" in told
        assert f"realname serve --config {config}" in told
        try:
            rates = plain.ok("rates", "--granularity", "CITY", "--json").rows
            assert len(rates) == 12
            assert plain.ok("alerts", "--all", "--json").rows
        finally:
            plain.ok("broker", "stop")
        assert left_running(tmp_path) == []

    def test_an_interrupted_demo_ends_everything_and_says_so(self, tmp_path: Path) -> None:
        # A shell has what it runs in the background ignore SIGINT, and that is inherited.
        heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        program = f"{heeding}; from streams.cli import main; main()"
        command = [sys.executable, "-c", program, "demo", "--short"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("REALNAME_")}
        with subprocess.Popen(
            [*command, "--data-dir", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            deadline = time.monotonic() + 120
            while not (tmp_path / "demo" / "worker.json").exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            worker = json.loads((tmp_path / "demo" / "worker.json").read_text("utf8"))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "Interrupted." in err
        assert "Board, worker and broker stopped, their data deleted." in err
        assert out == ""
        assert not Path(f"/proc/{worker['pid']}/cmdline").exists()
        assert not (tmp_path / "demo").exists()
        assert left_running(tmp_path) == []


def test_two_demos_do_not_share_a_folder(realname: Realname, tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = realname("demo", "--short")
    assert result.code == 2
    assert "a demo is running" in result.err
