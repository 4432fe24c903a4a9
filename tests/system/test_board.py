"""The board in a real Chromium, over `realname serve` as a process and a real broker."""

import asyncio
import math
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Producer

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.records.topics import Topic
from streams.tokens import hash_of
from tests.serve.conftest import CHIFENG, recorded, reference_records
from tests.serve.test_view import an_alert
from tests.system.browser import Page, chromium
from tests.system.conftest import free_port

pytestmark = pytest.mark.kafka

WALL, PHONE = (1920, 1080), (390, 844)
PATIENCE_S = 60.0
SHOWN_WITHIN_S = 3.0
STALE_MS = 20 * 60_000
PICTURES = Path(__file__).parents[2] / "build/board"
AXE = (resources.files("axe_core_python") / "axe.min.js").read_text("utf8")

Topics = Mapping[str, Topic]


@dataclass
class Server:
    """`realname serve` as a process. Its port stays through `stop` and `start`."""

    bootstrap: str
    prefix: str
    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        with (self.folder / "serve.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-c", "from streams.cli import main; main()"),
                *("serve", "--http", f"127.0.0.1:{self.port}", *self.options),
                *("--bootstrap", self.bootstrap, "--prefix", self.prefix),
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not await self.is_ready():
            assert self.process.returncode is None, (self.folder / "serve.log").read_text()
            assert time.monotonic() < deadline, "the server does not become ready"
            await asyncio.sleep(0.1)

    async def is_ready(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.url}/ready") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def get(self, path: str) -> Any:  # noqa: ANN401 (JSON)
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}{path}") as answer:
            assert answer.status == 200
            return await answer.json()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@pytest.fixture
def server(broker: EmbeddedBroker, prefix: str, topics: Topics, tmp_path: Path) -> Server:
    """Of the test's topics, which exist; not started."""
    return Server(broker.bootstrap, prefix, tmp_path)


@pytest.fixture
async def running(server: Server) -> AsyncIterator[Server]:
    yield server
    if server.process is not None and server.process.returncode is None:
        server.process.kill()
        await server.process.wait()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with chromium(tmp_path) as page:
        await page.size(*WALL)
        yield page


@pytest.fixture
def producer(broker: EmbeddedBroker) -> Producer:
    return Producer(client_config(broker.bootstrap, client_id="test"))


def publish(producer: Producer, topics: Topics, *, age_ms: int = 0) -> None:
    at_ms = now_ms() - age_ms
    for record in (*reference_records(), *recorded()):
        producer.produce(topics[record.topic].name, record.value, record.key, timestamp=at_ms)
    assert producer.flush(PATIENCE_S) == 0


def percent(rate: float | None) -> str:
    """Write a rate as the board must: cut, not rounded."""
    if rate is None:
        return "–"
    return "100%" if rate == 1 else f"{math.floor(rate * 10_000 + 1e-6) / 100:.2f}%"


TEXTS = "((q) => [...document.querySelectorAll(q)].map((e) => e.innerText.replace(/\\s+/g, ' ').trim()))"


async def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = await page.run(f"{TEXTS}({selector!r})")
    return found


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_figures_on_the_page_are_those_of_the_api(
    running: Server, page: Page, producer: Producer, topics: Topics, language: str
) -> None:
    publish(producer, topics)
    await running.start()
    await page.open(f"{running.url}/?lang={language}")
    await page.until("document.querySelectorAll('#areas .tile').length === 12")
    (region,) = (await running.get("/api/v1/rates?granularity=REGION"))["items"]
    cities = (await running.get("/api/v1/rates?granularity=CITY"))["items"]
    alerts = (await running.get("/api/v1/alerts?limit=500"))["items"]
    breaching = (await running.get("/api/v1/rates?granularity=OUTLET&status=BREACH"))["items"]

    today = region["today"]
    assert await texts(page, "#rate") == [percent(today["rate"])]
    target = (await running.get("/api/v1/summary"))["headline"]["target"]
    between = abs(float(percent(today["rate"])[:-1]) - target * 100)
    assert f"{between:.2f}" in (await texts(page, "#gap"))[0], "as between the figures shown"
    counts = " ".join(await texts(page, "#counts dd")).replace(",", "")
    for name in ("missing", "pending", "eligible"):
        assert str(today[name]) in counts.split()
    assert percent(today["on_time_rate"]) in counts.split()

    assert await texts(page, "#areas .name") == [
        city["name_zh" if language == "zh" else "name_en"] for city in cities
    ]
    shown = [text.replace(" ", "") for text in await texts(page, "#areas .figure")]
    assert shown == [percent(city["today"]["rate"]) for city in cities]
    words = await texts(page, "#areas .badge")
    for word, city in zip(words, cities, strict=True):
        status = city["verdict"]["rate_status"]
        assert word == await page.run(f"WORDS.{language}.status.{status}")

    total = sum(int(re.findall(r"\d+", text)[-1]) for text in await texts(page, "#tallies .badge"))
    assert total == len(alerts)
    rates = {outlet["scope_id"]: outlet["verdict"] for outlet in breaching}
    for scope_id in await page.run(
        "[...document.querySelectorAll('#worst-box tr')].map((r) => r.dataset.scope)"
    ):
        if scope_id in rates:
            (row,) = await texts(page, f"#worst-box [data-scope='{scope_id}']")
            assert percent(rates[scope_id]["rate"]) in row
            assert str(rates[scope_id]["n"] - rates[scope_id]["covered"]) in row
    assert page.complaints == []
    assert {url.split("/")[2] for url in page.requests} == {f"127.0.0.1:{running.port}"}


async def test_an_alert_in_kafka_is_on_the_page_within_three_seconds(
    running: Server, page: Page, producer: Producer, topics: Topics
) -> None:
    publish(producer, topics)
    await running.start()
    await page.open(f"{running.url}/?lang=en")
    await page.until("document.querySelectorAll('#alerts .alert').length > 5")
    alert = an_alert(5, "firing", severity="CRITICAL", first_at="2017-09-06T12:39:00+08:00")
    producer.produce(topics["alerts"].name, alert.value, alert.key)
    producer.flush()
    took_s = await page.until("document.querySelector('[data-alert=\"A:5|1\"]')", PATIENCE_S)
    assert took_s <= SHOWN_WITHIN_S
    (shown,) = await texts(page, "[data-alert='A:5|1']")
    assert shown.startswith("Critical")
    assert "since 12:39" in shown
    assert (await texts(page, "#announce"))[0].startswith("New alert:")
    gone = an_alert(5, "ended")
    producer.produce(topics["alerts"].name, gone.value, gone.key)
    producer.flush()
    await page.until("!document.querySelector('[data-alert=\"A:5|1\"]')", SHOWN_WITHIN_S)
    assert page.complaints == []


async def test_a_lost_server_is_told_and_comes_back_by_itself(
    running: Server, page: Page, producer: Producer, topics: Topics
) -> None:
    publish(producer, topics)
    await running.start()
    await page.open(f"{running.url}/?lang=en")
    await page.until("document.body.dataset.state === 'live'")
    figure = await texts(page, "#rate")
    assert await running.stop() == 0, "a stop in good order, although a board is connected"
    await page.until("document.body.dataset.state === 'lost'", SHOWN_WITHIN_S)
    assert "Connection lost" in (await texts(page, "#notice"))[0]
    assert (
        await page.run("getComputedStyle(document.querySelector('.figures')).filter")
        == "grayscale(1)"
    )
    assert await texts(page, "#rate") == figure
    await running.start()
    await page.until("document.body.dataset.state === 'live'")
    assert await page.run("document.getElementById('notice').hidden")


async def test_old_figures_are_shown_as_stale(
    running: Server, page: Page, producer: Producer, topics: Topics
) -> None:
    publish(producer, topics, age_ms=STALE_MS)
    await running.start()
    await page.open(f"{running.url}/?lang=en")
    await page.until("document.body.dataset.state === 'stale'")
    assert "No new figures for 20 min" in (await texts(page, "#notice"))[0]
    assert await accessibility(page) == []


async def test_without_figures_the_page_says_so(running: Server, page: Page) -> None:
    await running.start()
    await page.open(f"{running.url}/?lang=en")
    await page.until("!document.getElementById('empty').hidden")
    assert (await texts(page, "#empty-title")) == ["No figures yet"]
    assert await page.run("document.getElementById('figures').hidden")
    assert await accessibility(page) == []
    assert page.complaints == []


async def test_with_tokens_the_page_asks_for_one_and_shows_what_it_may(
    running: Server, page: Page, producer: Producer, topics: Topics, tmp_path: Path
) -> None:
    publish(producer, topics)
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "desk"\nsha256 = "{hash_of("secret")}"\ncity_code = "{CHIFENG}"\n'
    )
    running.options = ("--tokens", str(tokens))
    await running.start()
    await page.open(f"{running.url}/?lang=en")
    await page.until("!document.getElementById('signin').hidden")
    assert await page.run("document.getElementById('figures').hidden")
    assert await accessibility(page) == []
    submit = "document.getElementById('signin').requestSubmit()"
    await page.run(f"document.getElementById('token').value = 'wrong'; {submit}")
    await page.until("document.getElementById('notice').innerText.includes('not accepted')")
    await page.run(f"document.getElementById('token').value = 'secret'; {submit}")
    await page.until("document.body.dataset.state === 'live'")
    assert await texts(page, "#scope") == ["Chifeng"]
    # A screen on a wall is given it in the address, where it must not stay.
    await page.run("sessionStorage.clear()")
    await page.command("Page.navigate", url="about:blank")
    await page.command("Page.navigate", url=f"{running.url}/?lang=zh#token=secret")
    await page.until("document.getElementById('scope')?.innerText === '赤峰市'")
    assert "secret" not in await page.run("location.href")
    assert "secret" not in " ".join(page.requests)


async def accessibility(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.1 A and AA, with where."""
    await page.run(AXE)
    rules = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"
    found = await page.run(
        f"axe.run(document, {rules}).then((r) => r.violations.map((v) =>"
        " v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.failureSummary).join(' | ')))"
    )
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("dress", ["wall", "phone"])
async def test_it_is_accessible_in_every_dress_and_fits_its_screen(
    running: Server, page: Page, producer: Producer, topics: Topics, dress: str
) -> None:
    """Leaves a picture of each, to be looked at."""
    publish(producer, topics)
    await running.start()
    size = WALL if dress == "wall" else PHONE
    await page.size(*size)
    for language in ("zh", "en"):
        for theme in ("dark", "light"):
            await page.open(f"{running.url}/?lang={language}&theme={theme}")
            await page.until("document.querySelectorAll('#areas .tile').length === 12")
            assert await accessibility(page) == [], (language, theme)
            await page.picture(PICTURES / f"{dress}-{language}-{theme}.png")
            page_size = await page.run(
                "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
            )
            assert page_size[0] <= size[0], "nothing to scroll sideways"
            if size == WALL:
                assert page_size[1] <= size[1], "a wall cannot be scrolled"
                overflowing = await page.run(
                    "[...document.querySelectorAll('.card')].filter((c) =>"
                    " c.scrollHeight > c.clientHeight + 1).map((c) => c.className)"
                )
                assert overflowing == [], (language, theme)
            cut = await page.run(
                "[...document.querySelectorAll('.tile, .alert')].filter((e) => !e.hidden &&"
                " e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText)"
            )
            assert cut == [], (language, theme)
    assert page.complaints == []


async def test_it_can_be_used_by_keyboard_alone(
    running: Server, page: Page, producer: Producer, topics: Topics
) -> None:
    publish(producer, topics)
    await running.start()
    await page.open(f"{running.url}/?lang=en&theme=light")
    await page.until("document.querySelectorAll('#areas .tile').length === 12")
    reached = []
    for _ in range(4):
        await page.press("Tab")
        reached.append(
            await page.run("document.activeElement.id || document.activeElement.className")
        )
        assert await page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached == ["skip", "language", "theme", "alerts-more"]
    hidden = "document.querySelectorAll('#alerts .alert[hidden]').length"
    assert await page.run(hidden) > 0
    await page.press("Enter")
    await page.until(f"{hidden} === 0")
    await page.run("document.getElementById('language').focus()")
    await page.press("Enter")
    await page.until("document.documentElement.lang === 'zh-CN'")
    await page.run("document.getElementById('theme').focus()")
    await page.press("Enter")
    await page.until("document.documentElement.dataset.theme === 'dark'")
    # What was chosen is kept for the next time.
    await page.open(running.url)
    assert await page.run("document.documentElement.lang") == "zh-CN"
    assert await page.run("document.documentElement.dataset.theme") == "dark"
