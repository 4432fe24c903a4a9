"""The demo, whole: its alerts arrive at a web hook through a real Alertmanager with the routing tree that
ships, and its board is shown by a real browser while it runs, and ends with it.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system.browser import Page, chromium
from tests.system.conftest import NewAlertmanager
from tests.system.hook import Hook, configured, listening
from tests.system.test_board import percent

pytestmark = pytest.mark.kafka

SPEED = (
    "600"  # An alert of an hour fires for six seconds: longer than Alertmanager waits for company.
)
# As shipped, a group waits longer between two messages than `notify` between two posts: what has ended is
# there whenever Alertmanager looks, or it would be news again.
TIMES = {
    "group_wait: 2m": "group_wait: 1s",
    "group_interval: 5m": "group_interval: 3s",
    "repeat_interval: 4h": "repeat_interval: 10m",
    "repeat_interval: 1h": "repeat_interval: 10m",
}
QUIET_S = 6.0
PATIENCE_S = 240.0
SILENT = "CHANNEL_SILENT:ENTERPRISE:"
PAGES = ("CRITICAL", "MAJOR")


@dataclass
class Demo:
    """`realname demo` as a process, in a folder of its own."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    async def run(self, *options: str, **environment: str) -> int:
        """Run it, and gather what it says."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from streams.cli import main; main()", "demo", "--short"),
            *("--data-dir", str(self.folder), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if k[:9] != "REALNAME_"} | environment,
            cwd=self.folder,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self.lines.append(line.decode().rstrip())
            return await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    async def told(self, pattern: str) -> str:
        """Wait until a line matches; return its group."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for line in self.lines:
                    if found := re.search(pattern, line):
                        return found[1]
                await asyncio.sleep(0.1)

    async def realname(self, *arguments: str) -> str:
        """Run a command against its broker, which was kept."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from streams.cli import main; main()", *arguments),
            *("--config", str(self.folder / "demo/realname.toml")),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return out.decode()


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path / "data")
    demo.folder.mkdir()
    yield demo
    if (demo.folder / "demo/realname.toml").exists():
        await demo.realname("broker", "stop")


async def test_a_raise_in_the_demo_is_one_page_and_its_end_is_one(
    demo: Demo, new_alertmanager: NewAlertmanager, tmp_path: Path
) -> None:
    with listening() as hook:
        alertmanager = new_alertmanager(configured(tmp_path, hook, TIMES))
        await asyncio.to_thread(alertmanager.start)
        settings = tmp_path / "realname.toml"
        settings.write_text('[notify]\nresend_ms = "1s"\ngroup_wait_ms = "1s"\n')
        options = ("--keep", "--speed", SPEED, "--config", str(settings))
        code = await demo.run(*options, "--alertmanager", alertmanager.url)
        assert code == 0, "\n".join(demo.lines)
        await asyncio.sleep(QUIET_S)
        alertmanager.kill()
        episodes = [
            json.loads(r) for r in (await demo.realname("alerts", "--all", "--json")).splitlines()
        ]
        check(hook, {f"{one['alert_id']}|{one['episode']}": one for one in episodes})


def check(hook: Hook, episodes: dict[str, dict[str, Any]]) -> None:
    """Compare what the web hook was told with what the topic says."""
    news = hook.news()
    (silent,) = [key for key in episodes if key.startswith(SILENT)]
    assert news["duty-region", silent] == ["firing", "resolved"], "one page, one end"

    told = {key: said for (name, key), said in news.items() if name.startswith("duty-")}
    assert set(told) <= set(episodes), "nothing is told that was not raised"
    for key, said in told.items():
        assert episodes[key]["severity_highest"] in PAGES
        ended = episodes[key]["state"] == "ended"
        assert said == (["firing", "resolved"] if ended else ["firing"]), key
    paged = [key for key, one in episodes.items() if one["severity_highest"] in PAGES]
    assert len(told) >= len(paged) / 3, "the others are in what is greater"


async def test_the_board_is_up_while_the_demo_runs_and_ends_with_it(
    demo: Demo, tmp_path: Path
) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}\n')
    browser.chmod(0o755)
    running = asyncio.create_task(demo.run("--speed", "1200", "--browser", BROWSER=f"{browser} %s"))
    try:
        url = await demo.told(r"The board: (http\S+)")
        async with chromium(tmp_path) as page:
            await page.size(1920, 1080)
            await page.open(f"{url}?lang=en")
            await page.until("document.querySelectorAll('#areas .figure').length > 8", PATIENCE_S)
            await page.until("document.querySelectorAll('#alerts .alert').length > 3", PATIENCE_S)
            # Both move, so they are compared until they meet.
            async with asyncio.timeout(PATIENCE_S):
                while (await shown(page)) != (await served(url)):  # noqa: ASYNC110 (both are polled)
                    await asyncio.sleep(0.1)
            assert page.complaints == []
            await page.until("document.body.dataset.state === 'lost'", PATIENCE_S)
            assert await running == 0, "\n".join(demo.lines)
            last = await shown(page)
        assert asked.read_text() == f"{url}\n", "the desktop was asked for the page"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    said = "\n".join(demo.lines)
    assert f"The board was at {url}" in said
    (final,) = re.findall(r"^the whole region +(\d+\.\d+)%", said, re.MULTILINE)
    assert float(last.rstrip("%")) == pytest.approx(float(final), abs=0.011), (
        "its last word is right"
    )


async def shown(page: Page) -> str:
    rate: str = await page.run("document.getElementById('rate').innerText.replace(/\\s+/g, '')")
    return rate


async def served(url: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}api/v1/rates?granularity=REGION") as answer,
    ):
        (region,) = (await answer.json())["items"]
    return percent(region["today"]["rate"])
