"""A headless Chromium, spoken to by its DevTools protocol: no driver, no further package."""

import asyncio
import itertools
import json
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = "chromium"
PATIENCE_S = 30.0

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0"),
)

Event = dict[str, Any]


class Page:
    """One tab, with everything that it has told: console, exceptions, requests."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Event]] = {}
        self.events: list[Event] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            else:
                self.events.append(told)

    async def command(self, method: str, **params: object) -> Event:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        found = await asyncio.wait_for(answer, PATIENCE_S)
        assert "error" not in found, found
        result: Event = found["result"]
        return result

    async def run(self, expression: str) -> Any:  # noqa: ANN401 (whatever the page gives)
        """Return what an expression comes to, waited for if it is a promise."""
        answer = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, within_s: float = PATIENCE_S) -> float:
        """Wait until an expression is true; return the seconds that it took."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not await self.run(f"Boolean({expression})"):
            if loop.time() - begun > within_s:
                text = await self.run("document.body.innerText")
                raise AssertionError(f"not within {within_s} s: {expression}\n{text}")
            await asyncio.sleep(0.05)
        return loop.time() - begun

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && document.body.dataset.state")

    async def size(self, width: int, height: int) -> None:
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def picture(self, path: Path) -> None:
        """Take a picture of the whole page, also of what one would scroll to."""
        taken = await self.command(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(path.write_bytes, b64decode(taken["data"]))

    async def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
                **text,
            )

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, breaches of the content policy."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded":
                found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(params["args"]))
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that it has asked for anything."""
        sent = (e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent")
        return [params["request"]["url"] for params in sent]


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Page]:
    """Start a browser with nothing in its memory, and give its one tab."""
    executable = shutil.which(CHROMIUM)
    assert executable, "chromium not found; run `make test-system`, which installs it"
    profile = folder / "profile"
    with (folder / "chromium.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            executable, *_OPTIONS, f"--user-data-dir={profile}", "about:blank", stderr=log
        )
    try:
        port = await _port(profile)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.command(f"{domain}.enable")
                yield page
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _port(profile: Path) -> int:
    file = profile / "DevToolsActivePort"
    for _ in range(int(PATIENCE_S / 0.05)):
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError("Chromium does not start; see chromium.log beside its profile")
