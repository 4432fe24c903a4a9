"""A small Alertmanager for tests: keeps alerts as the API's contract says, and fails when told to.

It groups and notifies nothing. `contract.py` holds it to what a real one does.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from tests.notify.openapi import GETTABLE, POSTABLE

RESOLVE_TIMEOUT = timedelta(minutes=5)
Labels = tuple[tuple[str, str], ...]


@dataclass
class Stored:
    labels: dict[str, str]
    annotations: dict[str, str]
    starts: datetime
    ends: datetime
    timeout: bool
    updated: datetime

    def resolved(self, at: datetime) -> bool:
        return self.ends <= at


@dataclass
class FakeAlertmanager:
    """An Alertmanager at `url`.

    Attributes:
        status: What to answer instead of working; None to work.
        stores: Whether it stores what comes before it answers with `status`.
        hang_s: How long it waits before it answers.
        refuses: Alerts that it takes for bad.
        alerts_max: Alerts in one post above which it answers 413, as a proxy before it may.
        posts: The bodies that came.

    """

    url: str = ""
    status: int | None = None
    stores: bool = False
    hang_s: float = 0.0
    refuses: Callable[[dict[str, str]], bool] = field(default=lambda labels: False)
    alerts_max: int = 1_000_000
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)
    alerts: dict[Labels, Stored] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def firing(self, alert_id: str | None = None) -> list[Stored]:
        """Return what it has as firing, without the watchdog."""
        at = self.clock()
        return [
            alert
            for alert in self.alerts.values()
            if not alert.resolved(at)
            and alert.labels.get("alertname") != "Watchdog"
            and alert_id in (None, alert.labels.get("alert_id"))
        ]

    async def post(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posts.append(body)
        await asyncio.sleep(self.hang_s)
        if len(body) > self.alerts_max:
            return web.Response(status=413)
        if self.status is not None and not self.stores:
            return web.Response(status=self.status, text="out of order")
        if broken := next(POSTABLE.iter_errors(body), None):
            return web.json_response({"code": 400, "message": broken.message}, status=400)
        wrong = [alert for alert in body if not self._put(alert)]
        if self.status is not None:
            return web.Response(status=self.status, text="out of order")
        return web.json_response("invalid label set", status=400) if wrong else web.Response()

    async def get(self, request: web.Request) -> web.Response:
        self.logins.add(request.headers.get("Authorization", ""))
        if self.status is not None:
            return web.Response(status=self.status, text="out of order")
        wanted = [re.fullmatch(r'(\w+)="(.*)"', f) for f in request.query.getall("filter", [])]
        at = self.clock()
        found = [
            alert
            for alert in self.alerts.values()
            if not alert.resolved(at) and all(m and alert.labels.get(m[1]) == m[2] for m in wanted)
        ]
        answer = [gettable(alert) for alert in found]
        GETTABLE.validate(answer)
        return web.json_response(answer)

    def _put(self, alert: dict[str, Any]) -> bool:
        at = self.clock()
        starts, ends = moment(alert.get("startsAt")), moment(alert.get("endsAt"))
        starts = starts or (ends or at)
        timeout = ends is None
        ends = ends or at + RESOLVE_TIMEOUT
        labels = {name: value for name, value in alert["labels"].items() if value}
        names_ok = all(labels) and all(re.fullmatch(r"[a-zA-Z_]\w*", n) for n in labels)
        if not labels or not names_ok or ends < starts or self.refuses(labels):
            return False
        key = tuple(sorted(labels.items()))
        new = Stored(labels, alert.get("annotations", {}), starts, ends, timeout, at)
        old = self.alerts.get(key)
        overlap = old is not None and (
            old.starts < new.ends < old.ends or old.starts < new.starts < old.ends
        )
        self.alerts[key] = merged(old, new, at) if old is not None and overlap else new
        return True


def merged(old: Stored, new: Stored, at: datetime) -> Stored:
    new.starts = min(old.starts, new.starts)
    if new.resolved(at):
        if old.resolved(at):
            new.ends = max(old.ends, new.ends)
    elif old.ends > new.ends and not old.timeout:
        new.ends = old.ends
    return new


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def gettable(alert: Stored) -> dict[str, Any]:
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "receivers": [{"name": "everybody"}],
        "fingerprint": f"{hash(tuple(sorted(alert.labels.items()))) & (1 << 64) - 1:016x}",
        "startsAt": alert.starts.isoformat(),
        "updatedAt": alert.updated.isoformat(),
        "endsAt": alert.ends.isoformat(),
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
    }


@asynccontextmanager
async def serving(fake: FakeAlertmanager, port: int = 0) -> AsyncIterator[FakeAlertmanager]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.add_routes([web.post("/api/v2/alerts", fake.post), web.get("/api/v2/alerts", fake.get)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
