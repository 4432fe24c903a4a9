"""The figures of the rule book that an administration may set: graces, floors, bounds and margins.

Neither law nor the published practice fixes them, so they are configuration with these defaults, and
`caliber_id` names the set that a figure was made with.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, PANE_MS, TICK_MS

OUTLET_N_MIN: Final = 20
ROLLUP_N_MIN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What all stages of one deployment must agree on.

    Attributes:
        grace_alert_ms: How long after its collection a parcel may be registered and still be on time;
            a pane is mature this long after its end.
        final_close_ms: How long after its collection a parcel's figures may still change.
        closed_kept_ms: How long after its collection a closed parcel is still recognised.
        disorder_ms: How far a source partition's records may be out of order in `received_at`.
        backdating_ms: How much later than `recorded_at` a registration may be received and still count
            by its own word.
        clock_skew_ms: How much later than `received_at` a record's own times may lie.
        bulletin_ms: When a day's first figures are issued, after the day's end.
        revision_rate: How far a day's rate must have moved to be issued again.
        n_min_outlet: Mature parcels below which an outlet is not judged; a target may set its own.
        n_min_rollup: The same for county, city, enterprise and region.
        routine_target: Target outside event periods.
        z_page: Bound of a breach, in standard deviations (one-sided 99.9 %).
        z_ticket: Bound of an outlet at risk (one-sided 99 %).
        clear_margin: How far above its target a rate must be to clear an alert.
        clear_ms: How long it must stay there.
        routine_alerts: Whether alerts are raised outside event periods.
        collapse_share: Share of an enterprise's judged outlets of a city which, breaching at one tick,
            are one silent channel rather than many bad outlets.
        collapse_outlets: The least number of outlets for that.
        silent_ms: How long an enterprise's channel may send nothing while it collects.
        silent_collections: Loose collections in that time below which silence means nothing.
        silent_hold_ms: How long after the first registration a channel that was silent must still be
            sending to be trusted again. Its backlog takes a while to come in, and until then the
            outlets look worse than they are: whoever has just read `recovered` would be called
            for each of them. 0 trusts the first registration.
        reject_share_max: Share of the sources that may have most of their records refused before the
            program stops rather than fill the dead letters; 1 never stops.

    """

    grace_alert_ms: int = 2 * HOUR_MS
    final_close_ms: int = 72 * HOUR_MS
    closed_kept_ms: int = 7 * DAY_MS
    disorder_ms: int = MINUTE_MS
    backdating_ms: int = 15 * MINUTE_MS
    clock_skew_ms: int = 5 * MINUTE_MS
    bulletin_ms: int = 9 * HOUR_MS
    revision_rate: float = 0.005
    n_min_outlet: int = OUTLET_N_MIN
    n_min_rollup: int = ROLLUP_N_MIN
    routine_target: float = 0.90
    z_page: float = 3.090
    z_ticket: float = 2.326
    clear_margin: float = 0.01
    clear_ms: int = 5 * MINUTE_MS
    routine_alerts: bool = False
    collapse_share: float = 0.80
    collapse_outlets: int = 5
    silent_ms: int = 30 * MINUTE_MS
    silent_collections: int = 20
    silent_hold_ms: int = 30 * MINUTE_MS
    reject_share_max: float = 0.5
    caliber_id: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse figures that contradict one another, and name the set."""
        assert self.grace_alert_ms % PANE_MS == 0, "a pane matures at a tick"
        assert self.final_close_ms % PANE_MS == 0, "a pane closes at a tick"
        assert self.grace_alert_ms <= self.bulletin_ms < self.final_close_ms < self.closed_kept_ms
        assert self.z_ticket <= self.z_page
        assert self.silent_ms % TICK_MS == 0, "a channel falls silent at a tick"
        assert self.silent_hold_ms >= 0
        assert self.silent_hold_ms % TICK_MS == 0, "a channel is trusted again at a tick"
        figures = repr(sorted(as_mapping(self).items()))
        digest = hashlib.blake2b(figures.encode(), digest_size=4).hexdigest()
        object.__setattr__(self, "caliber_id", f"c1-{digest}")

    def beat_ms(self, until_ms: int) -> int:
        """Return when a heartbeat must be received for everything up to `until_ms` to be over.

        A record that is received at the very watermark may still come, hence the millisecond.
        """
        return until_ms + self.disorder_ms + 1


def as_mapping(policy: Policy) -> Mapping[str, float]:
    """Return the figures by name."""
    return {f.name: getattr(policy, f.name) for f in fields(policy) if f.init}
