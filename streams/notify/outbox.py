"""What one Alertmanager is to be told, and when. No I/O and no clock: instants come in as `now_ms`.

Each alert is an item whose life is a table. The items are no state to keep: a new outbox, fed with the
newest record of each episode and with what the Alertmanager holds, comes to the same posts.

Rule 1: what fires is posted at once, after each change, and every `resend_ms`.
Rule 2: an end is told only to an Alertmanager that has, or may have, the alert. So a raise that has
ended meanwhile is never posted, and no notice goes out about what nobody was told of.
Rule 3: silence is no end. Only a record ends an alert.
Rule 4: an alert starts when it was raised. But one that is late when an Alertmanager first hears of it
starts, in that first post, now; the next post says when it was raised, and of two starts Alertmanager
takes the earlier. For it sends a new group's page at once if an alert that joins is older than
`group_wait`, without waiting for the others of the same moment, and those would be a second page.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from streams.notify.notices import Notice, NoticeKey


class ItemState(Enum):
    """What is known of one alert at one Alertmanager."""

    UNTOLD = "untold"  # It fires; the Alertmanager does not have it.
    TOLD = "told"  # It fires, and the Alertmanager has it.
    ENDING = "ending"  # It has ended; the Alertmanager is being told.
    OVER = "over"  # It has ended, and nothing is left to say.


class ItemSignal(Enum):
    """What happens to an item."""

    FIRES = "fires"  # A record says that it is open.
    ENDED = "ended"  # A record says that it has ended.
    TOOK = "took"  # The Alertmanager has taken it as firing.
    HELD = "held"  # The Alertmanager, asked, has it as firing.
    NOT_HELD = "not_held"  # The Alertmanager, asked, does not have it, or as resolved.
    EXPIRED = "expired"  # The end has been told for long enough.


_U, _T, _E, _O = ItemState.UNTOLD, ItemState.TOLD, ItemState.ENDING, ItemState.OVER

TRANSITIONS: Final[Mapping[ItemState, Mapping[ItemSignal, ItemState]]] = {
    _U: {
        ItemSignal.FIRES: _U,
        ItemSignal.ENDED: _O,  # A raise that has ended meanwhile is never posted.
        ItemSignal.TOOK: _T,
        ItemSignal.HELD: _T,  # From before a restart of ours, or from another `notify`.
        ItemSignal.NOT_HELD: _U,
        ItemSignal.EXPIRED: _U,
    },
    _T: {
        ItemSignal.FIRES: _T,
        ItemSignal.ENDED: _E,
        ItemSignal.TOOK: _T,
        ItemSignal.HELD: _T,
        ItemSignal.NOT_HELD: _U,  # It was restarted, and has forgotten.
        ItemSignal.EXPIRED: _T,
    },
    _E: {
        ItemSignal.FIRES: _T,  # No episode opens again, but the newest record is right.
        ItemSignal.ENDED: _E,
        ItemSignal.TOOK: _E,
        ItemSignal.HELD: _E,
        ItemSignal.NOT_HELD: _O,
        ItemSignal.EXPIRED: _O,
    },
    _O: {
        ItemSignal.FIRES: _U,
        ItemSignal.ENDED: _O,
        ItemSignal.TOOK: _E,  # A post that was under way when the end came.
        ItemSignal.HELD: _E,
        ItemSignal.NOT_HELD: _O,
        ItemSignal.EXPIRED: _O,
    },
}

# The table is total: a state or signal added without its row or column fails at import.
assert set(TRANSITIONS) == set(ItemState)
assert all(set(row) == set(ItemSignal) for row in TRANSITIONS.values())

_NEVER_MS: Final = 1 << 62

POSTED: Final = frozenset({_U, _T, _E})


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """How often and how long.

    Attributes:
        resend_ms: Between two posts of the same.
        ended_ms: How long an end is told.
        remember_ms: How long an end is remembered in case that an Alertmanager turns out to have the
            alert still. It cannot have it for longer than it was told to keep it.
        late_ms: From what age on an alert is late. Less than Alertmanagers' `group_wait` by as long as
            it takes to post the alerts of one moment.

    """

    resend_ms: int
    ended_ms: int
    remember_ms: int
    late_ms: int

    def __post_init__(self) -> None:
        """Check the relations."""
        assert 0 < self.resend_ms < self.ended_ms < self.remember_ms


@dataclass(slots=True)
class _Item:
    notice: Notice
    state: ItemState
    since_ms: int  # When it ended, for us; it only matters then.
    posted: Notice | None = None
    posted_ms: int = 0

    def move(self, signal: ItemSignal) -> None:
        self.state = TRANSITIONS[self.state][signal]


class Outbox:
    """The items of one Alertmanager."""

    def __init__(self, policy: OutboxPolicy) -> None:
        self._policy: Final = policy
        self._items: dict[NoticeKey, _Item] = {}

    def __len__(self) -> int:
        """How many items there are: open alerts, and those that ended lately."""
        return len(self._items)

    def take(self, notice: Notice, now_ms: int) -> None:
        """Take what the newest record of an alert says. Idempotent."""
        item = self._items.get(notice.key)
        ended = notice.ended_ms is not None
        if item is None:
            state = ItemState.OVER if ended else ItemState.UNTOLD
            self._items[notice.key] = _Item(notice, state, now_ms)
            return
        if ended and item.notice.ended_ms is None:
            item.since_ms = now_ms
        item.notice = notice
        item.move(ItemSignal.ENDED if ended else ItemSignal.FIRES)

    def forget(self, key: NoticeKey) -> None:
        """Say no more about an alert; an Alertmanager that has it keeps it for its `ahead_ms`."""
        self._items.pop(key, None)

    def newest(self, key: NoticeKey) -> Notice | None:
        """Return what an alert says now, or None if there is nothing to say of it."""
        item = self._items.get(key)
        return None if item is None else item.notice

    def due(self, now_ms: int) -> Sequence[Notice]:
        """Return what is to be posted now, the broadest first.

        What is nearly due goes along, so that the posts of many alerts stay together.
        """
        self._pass_time(now_ms)
        age_ms = self._policy.resend_ms * 3 // 4
        if self._next_repeat_ms() > now_ms:
            age_ms = self._policy.resend_ms
        found = [
            item.notice
            for item in self._items.values()
            if item.state in POSTED
            # A clock that was set back makes no pause.
            and (item.posted is not item.notice or not 0 <= now_ms - item.posted_ms < age_ms)
        ]
        return sorted(found, key=lambda notice: notice.rank)

    def starts_ms(self, notice: Notice, now_ms: int) -> int:
        """Return when to say that an alert started, which is when it was raised unless it is late."""
        item = self._items.get(notice.key)
        is_new = item is not None and item.state is ItemState.UNTOLD
        late = is_new and now_ms - notice.starts_ms >= self._policy.late_ms
        return now_ms if late else notice.starts_ms

    def next_ms(self, now_ms: int) -> int:
        """Return when `due` has something again if nothing happens, at most `resend_ms` ahead."""
        if any(i.state in POSTED and i.posted is not i.notice for i in self._items.values()):
            return now_ms
        return max(now_ms, min(self._next_repeat_ms(), now_ms + self._policy.resend_ms))

    def took(self, notices: Collection[Notice], now_ms: int) -> None:
        """Take that an Alertmanager has accepted these, as they were when they were posted."""
        for notice in notices:
            item = self._items.get(notice.key)
            if item is None:
                continue
            item.posted, item.posted_ms = notice, now_ms
            if notice.ended_ms is None:
                if item.state is ItemState.OVER:
                    item.since_ms = now_ms
                item.move(ItemSignal.TOOK)

    def asked(self, held: Collection[NoticeKey], now_ms: int) -> None:
        """Take what an Alertmanager, asked, has as firing: all of it."""
        for key, item in self._items.items():
            if key in held:
                if item.state is ItemState.OVER:
                    item.since_ms = now_ms
                item.move(ItemSignal.HELD)
            else:
                item.posted = None
                item.move(ItemSignal.NOT_HELD)

    def assume_held(self, now_ms: int) -> None:
        """Go on without an answer: all that fires or ended lately, the Alertmanager may have."""
        self.asked(
            {key for key, item in self._items.items() if self._may_be_held(item, now_ms)}, now_ms
        )

    def _may_be_held(self, item: _Item, now_ms: int) -> bool:
        return item.notice.ended_ms is None or now_ms - item.since_ms < self._policy.remember_ms

    def _next_repeat_ms(self) -> int:
        """Return when something that was posted is to be posted again."""
        posted = [
            item.posted_ms
            for item in self._items.values()
            if item.state in POSTED and item.posted is not None
        ]
        return min(posted, default=_NEVER_MS) + self._policy.resend_ms

    def _pass_time(self, now_ms: int) -> None:
        for item in self._items.values():
            if item.notice.ended_ms is not None and now_ms - item.since_ms >= self._policy.ended_ms:
                item.move(ItemSignal.EXPIRED)
        gone = [
            key
            for key, item in self._items.items()
            if item.state is ItemState.OVER and not self._may_be_held(item, now_ms)
        ]
        for key in gone:
            del self._items[key]


def mermaid() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> untold: fires", "    [*] --> over: ended"]
    for source, row in TRANSITIONS.items():
        for target in ItemState:
            signals = [signal.value for signal, to in row.items() if to is target]
            if signals and target is not source:
                lines.append(f"    {source.value} --> {target.value}: {', '.join(signals)}")
    return "\n".join(lines)
