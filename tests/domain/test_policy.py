"""The figures that an administration may set."""

import pytest

from streams.domain.policy import Policy, as_mapping
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS


def test_the_defaults_are_those_of_the_rule_book() -> None:
    policy = Policy()
    assert (policy.grace_alert_ms, policy.bulletin_ms) == (2 * HOUR_MS, 9 * HOUR_MS)
    assert (policy.final_close_ms, policy.closed_kept_ms) == (3 * DAY_MS, 7 * DAY_MS)
    assert (policy.n_min_outlet, policy.n_min_rollup) == (20, 100)
    assert (policy.z_page, policy.z_ticket, policy.routine_target) == (3.090, 2.326, 0.90)
    assert (policy.silent_ms, policy.silent_hold_ms) == (30 * MINUTE_MS, 30 * MINUTE_MS)


def test_a_caliber_names_its_figures() -> None:
    assert Policy().caliber_id == Policy().caliber_id
    assert Policy().caliber_id != Policy(routine_target=0.92).caliber_id
    assert as_mapping(Policy())["routine_target"] == 0.90
    assert "caliber_id" not in as_mapping(Policy())


@pytest.mark.parametrize(
    "wrong",
    [
        {"grace_alert_ms": 2 * MINUTE_MS},  # A pane would mature between ticks of panes.
        {"grace_alert_ms": 10 * HOUR_MS},  # The bulletin would have young parcels.
        {"bulletin_ms": 80 * HOUR_MS},  # It would come after the final close.
        {"final_close_ms": 8 * DAY_MS},  # Closed parcels would be forgotten before they close.
        {"z_ticket": 4.0},  # A ticket would be surer than a page.
        {"silent_ms": 90_001},  # A channel would fall silent between ticks,
        {"silent_hold_ms": 90_001},  # or be believed between ticks,
        {"silent_hold_ms": -MINUTE_MS},  # or before it has sent.
    ],
)
def test_figures_that_contradict_one_another_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Policy(**wrong)  # type: ignore[arg-type]  # Wrong on purpose.
