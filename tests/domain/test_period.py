"""Event periods: when and where they hold."""

import pytest

from streams.domain.period import EventLevel, EventPeriod, EventPhase, Phase, code_matches

PERIOD = EventPeriod(
    event_period_id="EP",
    name_zh="大会",
    name_en="Congress",
    event_level=EventLevel.L1,
    origin_codes=(),
    destination_codes=(),
    phases=(Phase(EventPhase.PRE, 100, 200), Phase(EventPhase.CORE, 200, 300)),
    targets=(),
    scope_bit=None,
)


@pytest.mark.parametrize(
    ("instant_ms", "phase"),
    [
        (99, None),
        (100, EventPhase.PRE),  # An interval holds its start,
        (199, EventPhase.PRE),
        (200, EventPhase.CORE),  # and not its end.
        (299, EventPhase.CORE),
        (300, None),
    ],
)
def test_a_phase_holds_its_start_and_not_its_end(instant_ms: int, phase: EventPhase | None) -> None:
    assert PERIOD.phase_at(instant_ms) is phase
    assert (PERIOD.start_ms, PERIOD.end_ms) == (100, 300)


@pytest.mark.parametrize(
    ("code", "areas", "inside"),
    [
        ("150102", (), True),  # No area is everywhere.
        ("150102", ("150102",), True),
        ("150105", ("150102",), False),
        ("150102", ("150100",), True),  # A city, said in full
        ("150102", ("1501",), True),  # or in short.
        ("150202", ("150100",), False),
        ("150102", ("150000",), True),  # A province.
        ("150102", ("15",), True),
        ("110101", ("150000", "110000"), True),  # One of several.
        ("150172", ("150100",), True),  # A development zone belongs to its city.
    ],
)
def test_codes_match_by_county_city_and_province(
    code: str, areas: tuple[str, ...], *, inside: bool
) -> None:
    assert code_matches(code, areas) is inside
