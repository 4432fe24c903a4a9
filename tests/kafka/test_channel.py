"""RecordChannel: a driver's batches reach a Faust agent one at a time, and nothing gets lost between."""

import asyncio
import threading
import time
from collections.abc import AsyncIterable, Callable
from pathlib import Path

import pytest

from streams.agents.app import WorkerApp, build_app
from streams.kafka.channel import Delivery, RecordChannel
from streams.kafka.restore import Stopped


class Numbers:
    """A driver that polls numbers."""

    def __init__(self, count: int = 5, fail_at: int | None = None) -> None:
        self.applied: list[int] = []
        self.log: list[str] = []
        self.threads: set[str] = set()
        self.stopped = threading.Event()
        self._left = list(range(count))
        self._fail_at = fail_at

    def start(self) -> None:
        self.log.append("start")

    def step(self, hand_over: Callable[[int], None]) -> None:
        self.threads.add(threading.current_thread().name)
        if not self._left:
            time.sleep(0.01)
            return
        number = self._left.pop(0)
        hand_over(number)
        assert self.applied[-1] == number, "polled again before the batch was applied"

    def apply(self, batch: int) -> None:
        if batch == self._fail_at:
            raise ValueError(batch)
        self.applied.append(batch)

    def stop(self) -> None:
        self.stopped.set()

    def close(self, *, commit: bool) -> None:
        self.log.append("commit" if commit else "leave")


class Blocked(Numbers):
    """A driver that waits in `start`, as for a broker, until it is told to stop."""

    def start(self) -> None:
        self.stopped.wait()
        raise Stopped


async def run(
    driver: Numbers, data_dir: Path, until: Callable[[], bool]
) -> tuple[WorkerApp, list[BaseException | None]]:
    """Feed an agent from a driver until a condition holds, then stop."""
    app = build_app("tests", data_dir)
    ended: list[BaseException | None] = []
    channel: RecordChannel[int] = RecordChannel(app, "numbers", driver, on_end=ended.append)

    @app.agent(channel.deliveries, name="numbers")
    async def agent(deliveries: AsyncIterable[Delivery]) -> None:
        async for delivery in deliveries:
            delivery.take()

    await app.maybe_start()
    app.flow_control.resume()
    await app.add_runtime_dependency(channel)
    async with asyncio.timeout(10):
        while not until() and not ended:  # noqa: ASYNC110 (the driver's thread knows no events)
            await asyncio.sleep(0.01)
    await channel.stop()
    await app.stop()
    await asyncio.sleep(0)
    return app, ended


async def test_batches_are_applied_in_order_and_committed_at_the_end(tmp_path: Path) -> None:
    driver = Numbers(5)
    _, ended = await run(driver, tmp_path, lambda: len(driver.applied) == 5)
    assert driver.applied == [0, 1, 2, 3, 4]
    assert driver.log == ["start", "commit"]
    assert driver.threads == {"poll-numbers"}
    assert ended == [None]


async def test_what_applying_raises_ends_the_channel_without_a_commit(tmp_path: Path) -> None:
    driver = Numbers(5, fail_at=2)
    _, ended = await run(driver, tmp_path, lambda: False)
    assert driver.applied == [0, 1]
    assert driver.log == ["start", "leave"]
    assert isinstance(ended[0], ValueError)


async def test_a_driver_that_waits_for_kafka_can_be_stopped(tmp_path: Path) -> None:
    driver = Blocked(0)
    _, ended = await run(driver, tmp_path, lambda: True)
    assert driver.log == ["commit"]
    assert ended == [None]


def test_a_delivery_that_nobody_takes_is_given_up() -> None:
    delivery = Delivery()
    with pytest.raises(Exception, match=r"^$"):
        delivery.wait(lambda: True)
