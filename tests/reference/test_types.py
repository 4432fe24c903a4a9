"""A history gives the version in effect at a tick, however it came to know of it."""

from streams.reference.types import Move, Outlet, Reference, ReferenceHistory


def version(number: int, effective_at_ms: int) -> Reference:
    return Reference(version=number, effective_at_ms=effective_at_ms)


def test_a_history_of_nothing_has_an_empty_version_for_every_tick() -> None:
    history = ReferenceHistory()
    assert (history.at(0).version, history.latest.version) == (0, 0)
    assert history.next_change_after(0) is None


def test_versions_in_any_order_take_effect_in_theirs() -> None:
    history = ReferenceHistory([version(2, 200), version(1, 100)])
    assert [history.at(tick).version for tick in (0, 99, 100, 199, 200, 999)] == [0, 0, 1, 1, 2, 2]
    assert [history.next_change_after(tick) for tick in (0, 100, 200)] == [100, 200, None]


def test_a_newer_version_replaces_those_that_wait_beyond_it() -> None:
    history = ReferenceHistory([version(1, 100), version(2, 200)])
    history.add(version(3, 150))
    assert [history.at(tick).version for tick in (100, 150, 200)] == [1, 3, 3]
    history.add(version(2, 300))
    assert history.latest.version == 3, "what is older than the latest is known already"


def test_one_version_may_be_in_use_at_two_ticks_as_two_editions() -> None:
    history = ReferenceHistory.of_timeline([version(2, 0), version(2, 100)])
    assert history.at(0).edition != history.at(100).edition
    assert history.latest.version == 2


def test_who_holds_a_history_sees_what_it_becomes() -> None:
    history = ReferenceHistory()
    history.become(ReferenceHistory([version(1, 100)]))
    assert history.at(100).version == 1


def test_an_outlet_belonged_where_it_was_before_each_move() -> None:
    moves = (Move(10, "E1", "c1"), Move(20, "E2", "c2"))
    outlet = Outlet(0, "o", "n", "B", "E3", "c3", "d", moves)
    assert [outlet.place_on(day) for day in (9, 10, 19, 20)] == [
        ("E1", "c1"),
        ("E2", "c2"),
        ("E2", "c2"),
        ("E3", "c3"),
    ]
