"""The reference topic on a real broker, and the commands that use it."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.cli.reference import outlets_app, periods_app, setup_reference, sources_app
from streams.cli.run import Run
from streams.domain.window import DAY_MS
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.errors import KafkaUnavailable, TopicMissing
from streams.kafka.reference import Content, ReferenceTopic
from streams.records.topics import REFERENCE, Topic
from streams.reference.history import key_of
from streams.reference.listing import Kind, Row, Sources
from streams.reference.mistakes import ReferenceFileError
from streams.reference.types import Source

pytestmark = pytest.mark.kafka

NOW_MS = 1_504_843_200_000


def sources(*names: str) -> Sources:
    rows = (Row(line, Source(name, None, "BACKFILL")) for line, name in enumerate(names))
    return Sources("f", tuple(rows))


@pytest.fixture
def client(broker: EmbeddedBroker) -> dict[str, object]:
    return client_config(broker.bootstrap, client_id="tests")


@pytest.fixture
def topic(client: dict[str, object], topics: Mapping[str, Topic]) -> ReferenceTopic:
    return ReferenceTopic(client, topics[REFERENCE].name)


def test_an_empty_topic_is_a_history_of_nothing(topic: ReferenceTopic) -> None:
    assert topic.history().latest.version == 0
    assert topic.newest() == {}


def test_an_apply_is_read_back_and_the_same_again_changes_nothing(topic: ReferenceTopic) -> None:
    made = topic.apply(sources("/a"), now_ms=NOW_MS)
    assert made is not None
    assert topic.history().latest.sources.keys() == {"/a"}
    assert topic.apply(sources("/a"), now_ms=NOW_MS) is None
    assert topic.plan([sources("/a", "/b")], now_ms=NOW_MS)[0].version == 2
    assert topic.newest()[Kind.SOURCES].version == 1


def test_a_superseded_version_gets_its_tombstone(topic: ReferenceTopic) -> None:
    for days in range(3):
        topic.apply(sources(f"/{days}"), now_ms=NOW_MS + 10 * days * DAY_MS)
    records = topic.read().records
    assert [records[key_of(Kind.SOURCES, n)] is None for n in (1, 2, 3)] == [True, False, False]


class Interrupted(ReferenceTopic):
    """Somebody else applies something right after each of the first reads."""

    others: list[Sources]

    def read(self) -> Content:
        content = super().read()
        if self.others:
            ReferenceTopic(self._client, self._name).apply(self.others.pop(), now_ms=NOW_MS)
        return content


def test_of_two_applies_at_once_the_later_follows_the_other(
    client: dict[str, object], topics: Mapping[str, Topic]
) -> None:
    topic = Interrupted(client, topics[REFERENCE].name)
    topic.others = []
    topic.apply(sources("/a"), now_ms=NOW_MS)
    topic.others = [sources("/b")]
    made = topic.apply(sources("/c"), now_ms=NOW_MS)
    assert made is not None
    assert (made.version, set(topic.history().latest.sources)) == (3, {"/c"})
    topic.others = [sources(f"/{n}") for n in range(9)]
    with pytest.raises(KafkaUnavailable, match="others keep writing"):
        topic.apply(sources("/d"), now_ms=NOW_MS)


def test_a_topic_that_is_missing_is_told_with_the_remedy(client: dict[str, object]) -> None:
    with pytest.raises(TopicMissing, match="realname topics create"):
        ReferenceTopic(client, "no-such-topic").read()


@pytest.fixture
def environment(broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "REALNAME_BOOTSTRAP": broker.bootstrap,
        "REALNAME_PREFIX": prefix,
        "REALNAME_DATA_DIR": str(tmp_path),
        "COLUMNS": "200",
    }


def run_of(environment: Mapping[str, str]) -> Run:
    run = Run(
        bootstrap=environment["REALNAME_BOOTSTRAP"],
        prefix=environment["REALNAME_PREFIX"],
        data_dir=Path(environment["REALNAME_DATA_DIR"]),
    )
    run.err.file = io.StringIO()
    return run


def told(run: Run) -> str:
    assert isinstance(run.err.file, io.StringIO)
    return run.err.file.getvalue()


def test_setup_without_files_applies_the_demonstration_s_once(
    topic: ReferenceTopic, environment: dict[str, str]
) -> None:
    topic.apply(sources("/mine"), now_ms=NOW_MS)
    run = run_of(environment)
    setup_reference(run, {})
    assert "sources: kept as applied before, version 1" in told(run)
    assert "outlets: version 2, 4200 added, 0 changed, 0 removed" in told(run)
    latest = topic.history().latest
    assert (len(latest.outlets), set(latest.sources)) == (4200, {"/mine"})
    run = run_of(environment)
    setup_reference(run, {})
    assert topic.history().latest.version == latest.version


def test_setup_applies_nothing_when_one_file_is_wrong(
    topic: ReferenceTopic, environment: dict[str, str], tmp_path: Path
) -> None:
    good, bad = tmp_path / "sources.toml", tmp_path / "periods.toml"
    good.write_text("sources = []")
    bad.write_text("periods = 1")
    with pytest.raises(ReferenceFileError, match=r"periods\.toml:1"):
        setup_reference(run_of(environment), {Kind.SOURCES: good, Kind.PERIODS: bad})
    assert topic.newest() == {}


def test_the_commands_apply_and_list(
    topic: ReferenceTopic, environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "outlets.csv"
    header = "outlet_id,name,brand_code,enterprise_id,county_code\n"
    file.write_text(header + "a-1,北街,ZTO,E1,150105\nb-1,南街,ZTO,E1,150105\n", "utf-8")

    def ran(*arguments: str) -> Result:
        return CliRunner().invoke(outlets_app, arguments, env=environment)

    assert "No outlets are known" in ran("list").output
    result = ran("apply", str(file), "--dry-run")
    assert (result.exit_code, "Nothing was written. outlets: version 1" in result.output) == (
        0,
        True,
    )
    assert topic.newest() == {}
    result = ran("apply", str(file))
    assert "version 1, 2 added, 0 changed, 0 removed, in effect from the beginning" in result.output
    assert "nothing changed" in ran("apply", str(file)).output
    rows = [json.loads(line) for line in ran("list", "--json").stdout.splitlines()]
    assert [(row["outlet_id"], row["number"]) for row in rows] == [("a-1", 0), ("b-1", 1)]
    assert "南街" in ran("list", "--id", "b").stdout
    assert "北街" not in ran("list", "--id", "b").stdout
    file.write_text(header + "a-1,北街,ZTO,E1,150105\n", "utf-8")
    result = ran("apply", str(file), "--effective-at", "2017-09-08T00:00:00+08:00")
    assert "version 2, 0 added, 0 changed, 1 removed" in result.output
    assert "in effect from 2017-09-08T00:00:00+08:00" in result.output


MISTAKES = [
    ("a mistake in the file", ["periods"], "periods.toml:1: periods must be a list of tables"),
    ("no time", ["--effective-at", "noon"], "--effective-at 'noon' is not a time"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=[case[0] for case in MISTAKES])
def test_a_user_s_mistake_is_told_in_a_line_with_exit_code_2(
    case: tuple[str, list[str], str], environment: dict[str, str], tmp_path: Path
) -> None:
    _, options, message = case
    file = tmp_path / "periods.toml"
    file.write_text("periods = 1")
    options = options if options[0].startswith("--") else []
    result = CliRunner().invoke(periods_app, ["apply", str(file), *options], env=environment)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_without_the_topic_the_exit_code_is_3(environment: dict[str, str]) -> None:
    result = CliRunner().invoke(sources_app, ["list"], env=environment)
    assert (result.exit_code, "realname topics create" in result.output) == (3, True)
