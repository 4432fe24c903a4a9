"""Records of the reference topic tell one history, in whatever order they are read."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.window import DAY_MS, MINUTE_MS, instant_from_text
from streams.reference.areas import Areas, shipped_areas
from streams.reference.codec import FORMAT, Snapshot, SnapshotError, decode, encode, kind_data
from streams.reference.files import FILE_BYTES_MAX, FILE_NAMES, parse, read_file, read_files
from streams.reference.history import (
    Apply,
    Records,
    assemble,
    history_of,
    key_of,
    newest_snapshots,
    plan_all,
    plan_apply,
)
from streams.reference.listing import AnyListing, Kind, Row, Sources
from streams.reference.mistakes import ReferenceFileError
from streams.reference.types import Reference, Source
from streams.resources import config_dir

NOW_MS = instant_from_text("2017-09-08T12:00:30+08:00")


@pytest.fixture(scope="module")
def areas() -> Areas:
    return shipped_areas()


@pytest.fixture(scope="module")
def demo(areas: Areas) -> list[AnyListing]:
    files = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    return list(read_files(files, areas).values())


def sources(*names: str) -> Sources:
    rows = (Row(line, Source(name, None, "BACKFILL")) for line, name in enumerate(names))
    return Sources("f", tuple(rows))


def outlets(areas: Areas, *names: str) -> AnyListing:
    header = "outlet_id,name,brand_code,enterprise_id,county_code\n"
    text = header + "".join(f"{name},n,ZTO,E1,150105\n" for name in names)
    return parse(Kind.OUTLETS, text.encode(), file="f", areas=areas)


def applied(
    records: dict[bytes, bytes | None],
    listing: AnyListing,
    now_ms: int = NOW_MS,
    effective_at_ms: int | None = None,
) -> Apply:
    made = plan_apply(records, listing, now_ms=now_ms, effective_at_ms=effective_at_ms)
    assert made is not None
    records[made.key] = made.value
    records.update(dict.fromkeys(made.superseded_keys))
    return made


def test_every_kind_comes_back_as_it_was_written(demo: list[AnyListing]) -> None:
    records: dict[bytes, bytes | None] = {}
    for listing in demo:
        made = applied(records, listing)
        snapshot = decode(made.value)
        assert (snapshot.kind, snapshot.version) == (made.kind, made.version)
        assert encode(snapshot) == made.value
        assert made.changes.added > 0
    reference = assemble(records.items()).latest
    assert reference.version == 4
    assert (len(reference.outlets), len(reference.sources)) == (4200, 11)
    assert [each.scope_bit for each in reference.periods] == [None, 0, None, 1, None, 2]


def test_a_record_of_outlets_is_small() -> None:
    text = "outlet_id,name,brand_code,enterprise_id,county_code\n" + "".join(
        f"150105-ZTO-{n:05},学府路第{n}营业部,ZTO,911500000000010025,150105\n"
        for n in range(12_000)
    )
    listing = parse(Kind.OUTLETS, text.encode(), file="f", areas=shipped_areas())
    made = plan_apply({}, listing, now_ms=NOW_MS)
    assert made is not None
    assert len(made.value) < 250_000


def test_the_same_file_again_changes_nothing(demo: list[AnyListing]) -> None:
    records: dict[bytes, bytes | None] = {}
    for listing in demo:
        applied(records, listing)
    assert plan_all(records, demo, now_ms=NOW_MS) == []
    assert plan_all(records, demo, now_ms=NOW_MS + 1000 * DAY_MS) == []


def test_what_would_be_forgotten_by_now_is_no_change(areas: Areas) -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, outlets(areas, "a"))
    moved = b"outlet_id,name,brand_code,enterprise_id,county_code\na,n,ZTO,E2,150105\n"
    listing = parse(Kind.OUTLETS, moved, file="f", areas=areas)
    applied(records, listing)
    assert plan_apply(records, listing, now_ms=NOW_MS + 1000 * DAY_MS) is None


def test_the_first_version_holds_from_the_beginning_and_later_ones_from_a_tick_ahead() -> None:
    records: dict[bytes, bytes | None] = {}
    assert applied(records, sources("/a"), effective_at_ms=NOW_MS).effective_at_ms == 0
    made = applied(records, sources("/b"))
    assert made.effective_at_ms == instant_from_text("2017-09-08T12:03:00+08:00")
    history = assemble(records.items())
    assert history.at(0).sources.keys() == {"/a"}
    assert history.at(made.effective_at_ms - 1).sources.keys() == {"/a"}
    assert history.at(made.effective_at_ms).sources.keys() == {"/b"}
    assert history.latest.version == 2


def test_an_instant_of_effect_is_rounded_up_to_a_tick() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    made = applied(records, sources("/b"), effective_at_ms=NOW_MS + DAY_MS)
    assert made.effective_at_ms == NOW_MS + DAY_MS + MINUTE_MS // 2


def test_a_kind_in_effect_early_does_not_pull_another_kind_s_later_version(areas: Areas) -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, outlets(areas, "a"))
    applied(records, sources("/a"))
    later = applied(records, outlets(areas, "a", "b"), effective_at_ms=NOW_MS + DAY_MS)
    sooner = applied(records, sources("/b"))
    history = assemble(records.items())
    between = history.at(sooner.effective_at_ms)
    assert (set(between.outlets), set(between.sources)) == ({"a"}, {"/b"})
    after = history.at(later.effective_at_ms)
    assert (set(after.outlets), set(after.sources)) == ({"a", "b"}, {"/b"})
    assert between.version == after.version == history.latest.version == 4
    assert history.next_change_after(sooner.effective_at_ms) == later.effective_at_ms


def test_a_newer_version_that_takes_effect_earlier_replaces_the_waiting_one() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    waiting = applied(records, sources("/b"), effective_at_ms=NOW_MS + DAY_MS)
    applied(records, sources("/c"))
    assert assemble(records.items()).at(waiting.effective_at_ms).sources.keys() == {"/c"}


@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_any_order_of_records_tells_the_same_history(lots: random.Random, count: int) -> None:
    records: dict[bytes, bytes | None] = {}
    for number in range(count):
        applied(records, sources(f"/{number}"), effective_at_ms=NOW_MS + lots.randrange(5) * DAY_MS)
    shuffled = list(records.items())
    lots.shuffle(shuffled)
    for tick_ms in (0, *(NOW_MS + days * DAY_MS + MINUTE_MS for days in range(6))):
        assert assemble(shuffled).at(tick_ms) == assemble(records.items()).at(tick_ms)


def test_superseded_versions_get_a_tombstone_after_eight_days_of_effect_and_of_the_clock() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    second = applied(records, sources("/b"))
    assert (
        applied(records, sources("/c"), second.effective_at_ms + 8 * DAY_MS).superseded_keys == ()
    )
    fourth = applied(records, sources("/d"), second.effective_at_ms + 8 * DAY_MS + 1)
    assert fourth.superseded_keys == (key_of(Kind.SOURCES, 1),)
    assert assemble(records.items()).at(0).sources.keys() == {"/b"}, "the oldest that is known"


def test_a_version_that_took_effect_long_ago_but_was_applied_now_supersedes_nothing_yet() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    applied(records, sources("/b"), effective_at_ms=NOW_MS - 99 * DAY_MS)
    assert applied(records, sources("/c")).superseded_keys == ()


def test_a_version_that_never_took_effect_gets_its_tombstone_with_the_next_apply() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    waiting = applied(records, sources("/b"), effective_at_ms=NOW_MS + DAY_MS)
    applied(records, sources("/c"))
    assert applied(records, sources("/d")).superseded_keys == (waiting.key,)


def test_a_withdrawn_record_s_number_is_not_given_again() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a"))
    records[key_of(Kind.OUTLETS, 7)] = None
    assert applied(records, sources("/b")).version == 8


def test_a_tombstone_hides_its_record_also_when_it_is_read_first() -> None:
    value = encode(Snapshot(Kind.SOURCES, 1, 0, 0, Reference()))
    key = key_of(Kind.SOURCES, 1)
    assert assemble([(key, None), (key, value)]).latest.version == 0
    assert newest_snapshots([(key, value)]).keys() == {Kind.SOURCES}


def test_changes_are_counted() -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, sources("/a", "/b", "/c"))
    listing = sources("/b", "/c", "/d", "/e")
    changed = Row(1, Source("/b", "E1", "BACKFILL"))
    changes = applied(records, Sources("f", (changed, *listing.rows[1:]))).changes
    assert (changes.added, changes.changed, changes.removed) == (2, 1, 1)


def test_nothing_is_planned_when_one_of_several_contradicts_what_is_known(areas: Areas) -> None:
    records: dict[bytes, bytes | None] = {}
    periods = config_dir() / FILE_NAMES[Kind.PERIODS]
    applied(records, read_file(Kind.PERIODS, periods, areas))
    text = periods.read_text("utf-8").replace('["110000"]', '["120000"]')
    changed = parse(Kind.PERIODS, text.encode(), file="p", areas=areas)
    with pytest.raises(ReferenceFileError, match="EP2017-CPC19-TO-BEIJING began at 2017-10-11"):
        plan_all(records, [sources("/a"), changed], now_ms=NOW_MS + 99 * DAY_MS)


BAD_RECORDS = [
    ("an empty value", b"", "format nothing"),
    ("a newer format", bytes([FORMAT + 1]), f"format {FORMAT + 1}"),
    ("a damaged value", bytes([FORMAT]) + b"x", "damaged"),
    ("a cut value", encode(Snapshot(Kind.SOURCES, 1, 0, 0, Reference()))[:-3], "damaged"),
]


@pytest.mark.parametrize("case", BAD_RECORDS, ids=[case[0] for case in BAD_RECORDS])
def test_a_record_that_cannot_be_read_is_told(case: tuple[str, bytes, str]) -> None:
    _, value, message = case
    records: Records = {b"sources|1": value}
    with pytest.raises(SnapshotError, match=message):
        assemble(records.items())


def test_data_of_one_kind_leave_the_others_out(areas: Areas) -> None:
    records: dict[bytes, bytes | None] = {}
    applied(records, outlets(areas, "a"))
    applied(records, sources("/a"))
    data = kind_data(Kind.SOURCES, assemble(records.items()).latest)
    assert (data.version, set(data.outlets), set(data.sources)) == (0, set(), {"/a"})


def test_a_huge_file_is_not_even_read(tmp_path: Path, areas: Areas) -> None:
    file = tmp_path / "shipments.csv"
    with file.open("wb") as opened:
        opened.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ReferenceFileError, match="larger than 64 MiB; is this the right file"):
        read_file(Kind.OUTLETS, file, areas)


def test_what_several_files_change_is_planned_in_turn(demo: list[AnyListing]) -> None:
    planned = plan_all({}, demo, now_ms=NOW_MS)
    assert [each.version for each in planned] == [1, 2, 3, 4]
    assert len({each.kind for each in planned}) == 4


def test_files_without_a_topic_give_the_history_that_an_empty_topic_would(
    demo: list[AnyListing],
) -> None:
    records: dict[bytes, bytes | None] = {}
    for listing in demo:
        applied(records, listing)
    assert history_of(demo).at(0) == assemble(records.items()).at(0)


def test_files_that_cannot_be_read_are_told_together(tmp_path: Path, areas: Areas) -> None:
    (tmp_path / "p.toml").write_text("")
    files = {Kind.OUTLETS: tmp_path / "missing.csv", Kind.PERIODS: tmp_path / "p.toml"}
    with pytest.raises(ReferenceFileError) as caught:
        read_files(files, areas)
    assert [mistake.line for mistake in caught.value.mistakes] == [0, 0]
    assert "check the path" in str(caught.value)
    assert "the file is empty" in str(caught.value)
