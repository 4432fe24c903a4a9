"""One Alertmanager, by its API v2: post alerts, ask what it has. I/O, and no decision about what to post.

Of one batch an Alertmanager stores the good alerts and answers 400 if there was a bad one, so a 400 is
half a success: the bad one is found by posting halves again (posting twice changes nothing), reported,
and kept apart, and the others go on. Alerts reach an Alertmanager at least once.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from yarl import URL

from streams.notify.notices import Notice, NoticeKey, key_of_labels

ALERTS_PATH: Final = "api/v2/alerts"
JSON: Final = "application/json"
ANSWER_CHARS: Final = 500
BISECTION_POSTS_MAX: Final = 64
"""Posts that one refused batch may cost; what has not been told apart by then counts as refused."""


class Trouble(Enum):
    """Why a post failed; the value of a metric's label."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    REFUSED = "refused"  # Not found, not allowed: somebody must correct the address or the rights.


class PostFailedError(Exception):
    """An Alertmanager did not take a batch, or did so without our knowing. Posting again helps."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        """Take why, and what a person is told."""
        super().__init__(detail)
        self.trouble = trouble


class Answer(Enum):
    """What an Alertmanager said of a batch."""

    TAKEN = "taken"
    PARTLY = "partly"  # At least one alert is bad.
    TOO_LARGE = "too_large"


_PARTLY: Final = frozenset({400, 422})
"""400: the good ones are stored. 422: the body breaks the API's schema, and nothing is stored."""
_TOO_LARGE: Final = 413
_THROTTLED: Final = 429


@dataclass(frozen=True, slots=True)
class HeldAlert:
    """An alert as an Alertmanager has it. Resolved ones are not told.

    Attributes:
        labels: Its identity.
        receivers: Who is told.
        state: unprocessed, active or suppressed.
        silenced_by: Silences that hold it back.
        inhibited_by: Alerts that hold it back.

    """

    labels: Mapping[str, str]
    receivers: Sequence[str]
    state: str
    silenced_by: Sequence[str]
    inhibited_by: Sequence[str]


class _Receiver(msgspec.Struct):
    name: str


class _Status(msgspec.Struct, rename="camel"):
    state: str
    silenced_by: list[str]
    inhibited_by: list[str]


class _GettableAlert(msgspec.Struct):
    labels: dict[str, str]
    receivers: list[_Receiver]
    status: _Status


_decode_alerts: Final = msgspec.json.Decoder(list[_GettableAlert]).decode


@dataclass(frozen=True, slots=True)
class Post:
    """A notice, and when to say that it started."""

    notice: Notice
    starts_ms: int


def postable(post: Post, now_ms: int) -> dict[str, Any]:
    """Return a post as the API's `postableAlert`.

    Data may be ahead of this machine's clock: nothing starts or has ended later than now.
    """
    notice, starts_ms = post.notice, min(post.starts_ms, now_ms)
    if notice.ended_ms is None:
        ends_ms = now_ms + notice.ahead_ms
    else:
        ends_ms = max(min(notice.ended_ms, now_ms), starts_ms + 1)
    alert: dict[str, Any] = {
        "labels": notice.labels,
        "annotations": notice.annotations,
        "startsAt": _rfc3339(starts_ms),
        "endsAt": _rfc3339(ends_ms),
    }
    # An empty address breaks the API's schema, and with it the whole batch.
    if notice.url:
        alert["generatorURL"] = notice.url
    return alert


def _rfc3339(instant_ms: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Alertmanager:
    """The client of one Alertmanager. For one event loop.

    Args:
        session: Shared with others.
        url: Its address; user and password in it are used and never shown.
        timeout_s: How long one request may take.

    """

    def __init__(self, session: aiohttp.ClientSession, url: str, *, timeout_s: float) -> None:
        address = URL(url)
        self._session: Final = session
        self._headers: Final[dict[str, str]] = {}
        if address.user:
            login = f"{address.user}:{address.password or ''}".encode()
            self._headers["Authorization"] = f"Basic {b64encode(login).decode()}"
        self._base: Final = address.with_user(None)
        self._timeout: Final = aiohttp.ClientTimeout(total=timeout_s)

    @property
    def name(self) -> str:
        """Host and port: what logs and metrics call it."""
        return shown_address(str(self._base))

    async def post(self, posts: Sequence[Post], now_ms: int) -> Answer:
        """Post a batch, once.

        Raises:
            PostFailedError: Nothing is known of what was stored.

        """
        body = orjson.dumps([postable(post, now_ms) for post in posts])
        status, text = await self._request("POST", self._base / ALERTS_PATH, body)
        if status in _PARTLY:
            return Answer.PARTLY
        if status == _TOO_LARGE:
            return Answer.TOO_LARGE
        self._check(status, text)
        return Answer.TAKEN

    async def find_bad(self, posts: Sequence[Post], now_ms: int) -> Sequence[Post]:
        """Return the alerts that make a batch be answered with PARTLY; the others are stored.

        Raises:
            PostFailedError: As `post`; some may be stored.

        """
        bad: list[Post] = []
        suspects: list[Sequence[Post]] = [posts]
        posts_left = BISECTION_POSTS_MAX
        while suspects:
            batch = suspects.pop()
            if len(batch) == 1 or posts_left <= 0:
                bad += batch
                continue
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                posts_left -= 1
                if await self.post(half, now_ms) is not Answer.TAKEN:
                    suspects.append(half)
        return bad

    async def held(self, matchers: Sequence[str] = ()) -> Sequence[HeldAlert]:
        """Return the alerts that it has and that have not ended, whoever posted them.

        `matchers` are Alertmanager's own, as `alert_id="..."`.

        Raises:
            PostFailedError: It does not answer, or not as its API says.

        """
        url = (self._base / ALERTS_PATH).with_query([("filter", m) for m in matchers])
        status, text = await self._request("GET", url, None)
        self._check(status, text)
        try:
            alerts = _decode_alerts(text)
        except msgspec.MsgspecError as error:
            raise PostFailedError(
                Trouble.REFUSED, f"{self.name} is no Alertmanager: {error}"
            ) from error
        return [
            HeldAlert(
                alert.labels,
                [receiver.name for receiver in alert.receivers],
                alert.status.state,
                alert.status.silenced_by,
                alert.status.inhibited_by,
            )
            for alert in alerts
        ]

    async def held_keys(self) -> set[NoticeKey]:
        """Return which of our alerts it has. Raises as `held`."""
        keys = (key_of_labels(alert.labels) for alert in await self.held())
        return {key for key in keys if key is not None}

    async def _request(self, method: str, url: URL, body: bytes | None) -> tuple[int, str]:
        headers = self._headers if body is None else {**self._headers, "Content-Type": JSON}
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=self._timeout
            ) as answer:
                return answer.status, await answer.text(errors="replace")
        except TimeoutError as error:
            seconds = self._timeout.total
            raise PostFailedError(
                Trouble.TIMEOUT, f"{self.name} did not answer within {seconds:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise PostFailedError(
                Trouble.CONNECTION, f"{self.name} cannot be reached ({type(error).__name__})"
            ) from error

    def _check(self, status: int, text: str) -> None:
        if status < 300:  # noqa: PLR2004 (HTTP's successes)
            return
        trouble = Trouble.REFUSED
        if status == _THROTTLED:
            trouble = Trouble.THROTTLED
        elif status >= 500:  # noqa: PLR2004 (HTTP's errors of the server)
            trouble = Trouble.SERVER_ERROR
        # A refusal may come from anything at the address: only its beginning, on one line.
        said = " ".join(text[:ANSWER_CHARS].split())
        raise PostFailedError(trouble, f"{self.name} answered {status}: {said}")


def shown_address(url: str) -> str:
    """Return an Alertmanager's address for people: host, port and path, without user and password."""
    address = URL(url)
    path = address.path.rstrip("/")
    return f"{address.host}:{address.port}{path}"
