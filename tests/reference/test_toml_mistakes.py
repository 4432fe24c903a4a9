"""Every mistake in a TOML file is told with its line, all at once."""

import pytest

from streams.domain.category import Category
from streams.domain.period import EventPhase, Granularity, Target
from streams.reference.areas import Areas, shipped_areas
from streams.reference.files import parse
from streams.reference.listing import Kind, Periods, Sources
from streams.reference.mistakes import ReferenceFileError

PERIOD = """\
[[periods]]
event_period_id = "EP1"
name_zh = "会"
name_en = "A meeting"
event_level = "L2"
origin_codes = ["150600"]
destination_codes = ["11", "1501", "540000"]
phases = [
  { event_phase = "PRE", start = 2017-09-04T00:00:00+08:00, end = "2017-09-06T00:00:00+08:00" },
  { event_phase = "CORE", start = 2017-09-06T00:00:00+08:00, end = 2017-09-17T00:00:00+08:00 },
]
targets = [
  { granularity = "OUTLET", parcel_category = "*", target_rate = 0.95, min_n = 20 },
  { granularity = "CITY", parcel_category = "LOOSE", target_rate = 1 },
]
"""

# One sentence; the text to replace in PERIOD and by what; the line and a part of the message.
PERIOD_CASES = [
    ("not TOML at all", "= 0.95", "= = 0.95", 13, "not readable as TOML"),
    ("a bracket left open", "]\ntargets", "\ntargets", 12, "not readable as TOML"),
    ("an unknown key", "name_en", "name_fr", 4, "unknown key 'name_fr'"),
    ("no name", 'name_en = "A meeting"', "", 1, "name_en is missing"),
    ("a name that is no text", '"A meeting"', "7", 4, "name_en must be a text"),
    ("no id", 'event_period_id = "EP1"', "", 1, "event_period_id is missing"),
    ("an unknown level", '"L2"', '"L4"', 5, "event_level 'L4' must be one of L3, L2, L1"),
    ("the routine is no event", '"L2"', '"ROUTINE"', 5, "event_level 'ROUTINE'"),
    ("an origin elsewhere", '"150600"', '"150600", "110000"', 6, "an origin must be"),
    ("an origin that does not exist", '"150600"', '"150699"', 6, "code 150699"),
    ("an origin that is no code", '"150600"', '"Ordos"', 6, "2, 4 or 6 digits"),
    ("an origin that is a number", '"150600"', "150600", 6, "a list of texts in quotes"),
    ("an origin twice", '"150600"', '"15", "15"', 6, "15 is listed twice"),
    ("an unknown destination of ours", '"1501"', '"1599"', 7, "counties.csv"),
    ("a destination of five digits", '"1501"', '"15010"', 7, "2, 4 or 6 digits"),
    ("no phase", "phases = [", "phases = []\nx = [", 8, "phases is missing"),
    ("an unknown phase", '"CORE"', '"MAIN"', 10, "event_phase 'MAIN'"),
    ("an end before its start", "end = 2017-09-17", "end = 2017-09-05", 10, "must be after start"),
    ("a phase of no length", "end = 2017-09-17", "end = 2017-09-06", 10, "must be after start"),
    ("phases that overlap", "start = 2017-09-06", "start = 2017-09-05", 10, "overlaps the phase"),
    ("a gap between phases", "start = 2017-09-06", "start = 2017-09-07", 10, "leaves a gap"),
    ("a boundary inside a pane", "17T00:00:00+", "17T00:01:00+", 10, "a multiple of five minutes"),
    ("a time without an offset", "17T00:00:00+08:00", "17T00:00:00", 10, "has no offset"),
    ("a date for a time", "2017-09-17T00:00:00+08:00", "2017-09-17", 10, "has no offset"),
    ("a text that is no time", '"2017-09-06T00:00:00+08:00"', '"noon"', 9, "is not a time"),
    ("a number for a time", "2017-09-17T00:00:00+08:00", "3", 10, "end has no time"),
    ("a phase without an end", ", end = 2017-09-17T00:00:00+08:00", "", 10, "end is missing"),
    ("an unknown granularity", '"CITY"', '"COURIER"', 14, "granularity 'COURIER'"),
    ("an unknown category", '"LOOSE"', '"LOSE"', 14, "did you mean LOOSE?"),
    ("a target above 1", "0.95", "95", 13, "target_rate 95 must be above 0 and at most 1"),
    ("a target of nothing", "0.95", "0.0", 13, "must be above 0"),
    ("a target that is no number", "0.95", '"95 %"', 13, "target_rate must be a number"),
    ("a target that is not a number", "0.95", "nan", 13, "must be above 0"),
    ("no target", "target_rate = 0.95, ", "", 13, "target_rate must be a number"),
    ("no targets", "targets = [", "targets = []\nx = [", 12, "targets is missing"),
    ("too many phases", "phases = [", "phases = [" + "{}," * 15, 10, "more than 16 phases"),
    ("too many targets", "targets = [", "targets = [" + "{}," * 99, 14, "more than 100 targets"),
    ("a floor of nothing", "min_n = 20", "min_n = 0", 13, "min_n must be a whole number"),
    (
        "targets that contradict one another",
        '"CITY", parcel_category = "LOOSE"',
        '"OUTLET", parcel_category = "*"',
        14,
        "contradicts line 13: two targets for OUTLET * in one period, 0.95 and 1.0",
    ),
    (
        "a target twice",
        '{ granularity = "CITY"',
        (
            '{ granularity = "OUTLET", parcel_category = "*", target_rate = 0.95, min_n = 20 },\n'
            '{ granularity = "CITY"'
        ),
        14,
        "OUTLET * is listed twice, first in line 13",
    ),
    (
        "targets that are no list",
        "targets = [",
        "targets = 3\nx = [",
        12,
        "must be a list of tables",
    ),
]


@pytest.fixture(scope="module")
def areas() -> Areas:
    return shipped_areas()


def mistakes(kind: Kind, text: str, areas: Areas) -> list[tuple[int, str]]:
    with pytest.raises(ReferenceFileError) as caught:
        parse(kind, text.encode(), file="f", areas=areas)
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("case", PERIOD_CASES, ids=[case[0] for case in PERIOD_CASES])
def test_a_mistake_in_a_period(case: tuple[str, str, str, int, str], areas: Areas) -> None:
    _, old, new, line, message = case
    assert old in PERIOD
    found = mistakes(Kind.PERIODS, PERIOD.replace(old, new, 1), areas)
    assert any(line == at and message in told for at, told in found), found


def test_all_mistakes_of_all_periods_are_told_at_once(areas: Areas) -> None:
    text = PERIOD.replace("0.95", "1.5") + PERIOD.replace('"L2"', '"L9"').replace("150600", "1")
    found = mistakes(Kind.PERIODS, text, areas)
    assert [line for line, _ in found] == [13, 17, 20, 21], found
    assert found[1][1] == "event_period_id EP1 is listed twice, first in line 1; keep one"


def test_a_period_too_many_with_destinations_is_told(areas: Areas) -> None:
    text = "".join(PERIOD.replace("EP1", f"EP{n}") for n in range(17))
    [(line, told)] = mistakes(Kind.PERIODS, text, areas)
    assert (line, "more than 16 periods with destination_codes" in told) == (16 * 15 + 1, True)
    anywhere = text.replace('destination_codes = ["11", "1501", "540000"]', "")
    assert len(parse(Kind.PERIODS, anywhere.encode(), file="f", areas=areas).rows) == 17


def test_a_good_period_is_read_as_it_stands(areas: Areas) -> None:
    listing = parse(Kind.PERIODS, PERIOD.encode(), file="f", areas=areas)
    assert isinstance(listing, Periods)
    [row] = listing.rows
    period = row.item
    assert (row.line, period.event_period_id, period.scope_bit) == (1, "EP1", None)
    assert [phase.event_phase for phase in period.phases] == [EventPhase.PRE, EventPhase.CORE]
    assert period.targets == (
        Target(Granularity.OUTLET, None, 0.95, 20),
        Target(Granularity.CITY, Category.LOOSE, 1.0, None),
    )


def test_an_empty_list_of_periods_must_be_said(areas: Areas) -> None:
    assert parse(Kind.PERIODS, b"periods = []\n", file="f", areas=areas).rows == ()
    [(line, told)] = mistakes(Kind.PERIODS, "# none\n", areas)
    assert (line, "write [[periods]] tables, or periods = [] for none" in told) == (1, True)


SOURCE_CASES = [
    ("no channel", '[[sources]]\nsource = "/a"\n', 1, "channel is missing"),
    ("an unknown channel", '[[sources]]\nsource = "/a"\nchannel = "X"\n', 3, "channel 'X'"),
    ("a number for a source", '[[sources]]\nsource = 1\nchannel = "BACKFILL"\n', 2, "a text"),
    (
        "an enterprise unfit for a topic",
        '[[sources]]\nsource = "/a"\nchannel = "BACKFILL"\nenterprise_id = "a b"\n',
        4,
        "enterprise_id",
    ),
    (
        "a source twice",
        '[[sources]]\nsource = "/a"\nchannel = "BACKFILL"\n' * 2,
        5,
        "source /a is listed twice, first in line 1",
    ),
    ("another list", "[[periods]]\n", 1, "unknown key 'periods'"),
    ("one table for a list", '[sources]\nsource = "/a"\n', 1, "sources must be a list of tables"),
]


@pytest.mark.parametrize(
    ("case", "text", "line", "message"), SOURCE_CASES, ids=[case[0] for case in SOURCE_CASES]
)
def test_a_mistake_among_sources(
    case: str, text: str, line: int, message: str, areas: Areas
) -> None:
    found = mistakes(Kind.SOURCES, text, areas)
    assert any(line == at and message in told for at, told in found), found


def test_a_source_may_belong_to_no_enterprise(areas: Areas) -> None:
    text = '[[sources]]\nsource = "/anyidi"\nchannel = "ANYIDI_PUBLIC"\n'
    listing = parse(Kind.SOURCES, text.encode(), file="f", areas=areas)
    assert isinstance(listing, Sources)
    assert listing.rows[0].item.enterprise_id is None
