import asyncio
from collections.abc import AsyncIterator

import orjson

from streams.serve.access import OPEN
from streams.serve.stream import STREAMS_MAX, BoardStreams, Summaries
from streams.serve.summary import Summarist
from streams.serve.view import View
from tests.serve.conftest import ROUTINE_TARGET, FakeFeed, filled
from tests.serve.test_summary import rates_of
from tests.serve.test_view import an_alert


class Switch:
    """Says that the server is ending, once it does."""

    def __init__(self) -> None:
        self.off = False

    def __call__(self) -> bool:
        return self.off


def streams_of(view: View, feed: FakeFeed, stopping: Switch) -> BoardStreams:
    summaries = Summaries(Summarist(view, ROUTINE_TARGET))
    return BoardStreams(summaries, ready=lambda: feed.ready, stopping=stopping)


async def next_event(events: AsyncIterator[bytes], name: str) -> dict[str, object]:
    """Return the next event of a name; others are passed over."""
    async with asyncio.timeout(10):
        async for event in events:
            fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
            if fields["event"] == name:
                found: dict[str, object] = orjson.loads(fields["data"])
                return found
    raise AssertionError(f"the stream ended without {name}")


async def test_a_board_gets_the_time_and_the_summary_and_then_what_changes() -> None:
    view, stopping = filled(), Switch()
    streams = streams_of(view, FakeFeed(), stopping)
    events = streams.events(OPEN)
    assert (await next_event(events, "time"))["ready"] is True
    first = await next_event(events, "summary")
    assert streams.count == 1
    view.apply([an_alert(7, "firing")])
    second = await next_event(events, "summary")
    assert second["alerts"] != first["alerts"]
    stopping.off = True
    assert [event async for event in events] == []
    assert streams.count == 0


async def test_what_a_board_does_not_show_sends_nothing() -> None:
    view, stopping = filled(), Switch()
    events = streams_of(view, FakeFeed(), stopping).events(OPEN)
    await next_event(events, "summary")
    outlet = {"rate_status": "OK", "rate": 1.0}
    view.apply([rates_of("OUTLET", "X", as_of="2017-09-06T12:00:00+08:00", verdict=outlet)])
    # Were there a summary to send, it would come within a second or so, and before the time.
    assert b"event: time" in await anext(events)


async def test_before_all_has_been_read_only_the_time_is_sent() -> None:
    view, stopping, feed = filled(), Switch(), FakeFeed(ready=False)
    events = streams_of(view, feed, stopping).events(OPEN)
    assert (await next_event(events, "time"))["ready"] is False
    feed.ready = True
    assert (await next_event(events, "time"))["ready"] is True
    assert (await next_event(events, "summary"))["headline"] is not None


async def test_a_board_that_goes_away_is_not_counted_and_there_is_a_limit() -> None:
    view, stopping = filled(), Switch()
    streams = streams_of(view, FakeFeed(), stopping)
    events = streams.events(OPEN)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]  # A generator it is.
    assert streams.count == 0
    streams.count = STREAMS_MAX
    assert streams.full


def test_readers_who_may_see_the_same_share_one_summary() -> None:
    summaries = Summaries(Summarist(filled(), ROUTINE_TARGET))
    assert summaries.body(OPEN) is summaries.body(OPEN)
