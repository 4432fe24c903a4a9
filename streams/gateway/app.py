"""The gateway's web application: batches of records in, answers per record out; health and metrics."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any, Final, Protocol

import orjson
from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import ClientDisconnect

from streams.gateway import documents
from streams.gateway.batches import (
    FORMS,
    PACKED_BYTES_MAX,
    Form,
    NotReadable,
    TooLarge,
    Unpacker,
    records_of,
)
from streams.gateway.budget import Budget, Lease, NoRoom
from streams.gateway.checking import Checked, Checker
from streams.gateway.guard import CERTIFICATE, Guard
from streams.gateway.metrics import SHIPMENTS_ROUTE, GatewayMetrics
from streams.gateway.writer import NotAcknowledged
from streams.tokens import Grant, has_expired, hash_of
from streams.web import problems
from streams.web.following import Following
from streams.web.problems import ProblemError, forbidden, too_large, too_many, unauthorized

LOGGER: Final = logging.getLogger(__name__)

API: Final = "/v1"
DOCUMENT: Final = f"{API}/openapi.json"
BODY_S: Final = 30.0
"""How long a body may take to come."""
RETRY_AFTER_S: Final = 2
"""When a client that was told to wait may come again: most batches are acknowledged in less."""
AWAY_RETRY_AFTER_S: Final = 10
BUDGET_BYTES: Final = 64 * 1024 * 1024
"""Bytes of unpacked bodies in memory; with what is made of them some four times as much."""

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ENCODINGS: Final = {"": False, "identity": False, "gzip": True}
_bearer: Final = HTTPBearer(auto_error=False, description="A token of the gateway's tokens file")


class Recorder(Protocol):
    """What writes batches; see `writer.Writer`."""

    waiting: int
    trouble: str | None

    @property
    def away(self) -> bool:
        """Whether it failed last, and one batch is finding out whether it still does."""
        ...

    async def write(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Return when all is acknowledged; raises NotAcknowledged."""
        ...


@dataclass(frozen=True)
class Gateway:
    """What the routes work with. `grants` are by the hash of their token."""

    grants: Mapping[str, Grant]
    checker: Checker
    writer: Recorder
    known: Following
    metrics: GatewayMetrics
    budget: Budget
    now_ms: Callable[[], int]

    def grant(self, request: Request, token: str | None) -> Grant:
        """Return what a request may do; raises ProblemError for who is not known."""
        if len(request.headers.getlist("authorization")) > 1:
            raise unauthorized("send one Authorization header")
        if token is None:
            raise unauthorized("send a token, as in `Authorization: Bearer rns_...`")
        grant = self.grants.get(hash_of(token))
        certificate = request.scope.get("state", {}).get(CERTIFICATE)
        if (
            grant is None
            or has_expired(grant.expires_ms, self.now_ms())
            or grant.certificate_sha256 not in (None, certificate)
        ):
            # One answer for all: a stolen token tells its thief nothing.
            raise unauthorized(
                "this token is not known, or no longer; ask whoever runs the gateway"
            )
        return grant


def build_app(gateway: Gateway) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="realname-streams gateway",
        version="1",
        description=documents.DESCRIPTION,
        openapi_url=DOCUMENT,
        docs_url=None,  # Theirs load their scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
    )
    _shipments(app, gateway)
    _health(app, gateway)
    problems.install(app, document=DOCUMENT)
    app.add_middleware(Guard, answered=gateway.metrics.answered)
    return app


def _shipments(app: FastAPI, gateway: Gateway) -> None:
    @app.post(
        SHIPMENTS_ROUTE,
        summary="Send records",
        description=documents.SHIPMENTS,
        responses=documents.ANSWERS,
        openapi_extra=documents.REQUEST,
        tags=["records"],
    )
    async def shipments(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Response:
        began = monotonic()
        grant = gateway.grant(request, credentials.credentials if credentials else None)
        if grant.enterprise_id is None or "write" not in grant.may:
            raise forbidden('this token is not for writing; ask for one with may = ["write"]')
        form, gzip = _form_of(request)
        if not gateway.known.ready:
            raise problems.unavailable(
                "reference data are still being read; send again in a moment"
            )
        if gateway.writer.away:
            raise too_many("Kafka does not answer; send again later", AWAY_RETRY_AFTER_S)
        with gateway.budget.lease(grant.enterprise_id) as lease:
            try:
                body = await _body_of(request, lease, gzip=gzip)
                batch = records_of(body, form)
            except TooLarge as error:
                raise too_large(f"{error}; send smaller batches") from error
            except NotReadable as error:
                raise ProblemError(400, "Bad request", str(error)) from error
            except NoRoom as error:
                raise too_many("too much is under way; send again soon", RETRY_AFTER_S) from error
            checked = gateway.checker.check(batch, grant)
            await _write(gateway, checked)
        gateway.metrics.records(
            grant.enterprise_id, len(checked.keys), (rejected.code for rejected in checked.rejected)
        )
        LOGGER.info(
            "batch of %s: %d accepted, %d rejected, %d bytes, %.3f s",
            *(grant.name, len(checked.keys), len(checked.rejected), len(body)),
            monotonic() - began,
        )
        return _answer(batch, checked)


def _form_of(request: Request) -> tuple[Form, bool]:
    """Return the form of a body and whether it is gzip; raises ProblemError for others."""
    if request.url.query:
        raise ProblemError(400, "Bad request", "no parameters are taken; leave the query out")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if kind not in FORMS:
        detail = f"Content-Type must be one of {', '.join(FORMS)}"
        raise ProblemError(415, "Unsupported media type", detail)
    if encoding not in _ENCODINGS:
        detail = "Content-Encoding must be gzip, or none"
        raise ProblemError(415, "Unsupported media type", detail)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > PACKED_BYTES_MAX:
        raise too_large(f"the body has more than {PACKED_BYTES_MAX:,} bytes; send smaller batches")
    return FORMS[kind], _ENCODINGS[encoding]


async def _body_of(request: Request, lease: Lease, *, gzip: bool) -> bytes:
    """Return the whole body, unpacked.

    Raises:
        TooLarge: Of `Unpacker`.
        NotReadable: The same.
        NoRoom: The budget does not have so many bytes.
        ProblemError: It took too long.
    """
    unpacker = Unpacker(gzip=gzip)
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                # Before it is unpacked, by the least that it can be.
                lease.grow_to(unpacker.size + len(piece))
                unpacker.take(piece)
                lease.grow_to(unpacker.size)
    except TimeoutError as error:
        detail = f"the body took more than {BODY_S:.0f} seconds; send smaller batches"
        raise ProblemError(408, "Request timeout", detail, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise ProblemError(400, "Bad request", "the body ended in its middle") from error
    return unpacker.body()


async def _write(gateway: Gateway, checked: Checked) -> None:
    try:
        await gateway.writer.write(checked.keys, checked.values)
    except NotAcknowledged as error:
        gateway.metrics.unacknowledged(error.reason)
        raise too_many(
            "Kafka has not acknowledged the batch, of which nothing is promised; send all of it "
            "again later: records that are there already count once",
            AWAY_RETRY_AFTER_S,
        ) from error


def _answer(batch: Sequence[bytes], checked: Checked) -> Response:
    body: dict[str, Any] = {
        "received": len(batch),
        "accepted": len(checked.keys),
        "rejected": [rejected._asdict() for rejected in checked.rejected],
    }
    return Response(orjson.dumps(body), 200, {"Cache-Control": "no-store"}, "application/json")


def _health(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/live", tags=["health"], summary="Is it alive?", response_class=Response)
    async def live() -> Response:
        """503 when it hangs: restart it. A cluster that is away is no reason to."""
        return _health_answer(ok=gateway.known.alive, trouble=gateway.known.trouble)

    @app.get("/ready", tags=["health"], summary="Is it ready?", response_class=Response)
    async def ready() -> Response:
        """503 until the reference data have been read, and while Kafka does not acknowledge."""
        trouble = gateway.known.trouble or gateway.writer.trouble
        return _health_answer(ok=gateway.known.ready and trouble is None, trouble=trouble)

    @app.get("/metrics", tags=["health"], summary="Metrics for Prometheus", response_class=Response)
    async def metrics(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Response:
        """Figures of everybody, so only for tokens that see everything."""
        grant = gateway.grant(request, credentials.credentials if credentials else None)
        if "read" not in grant.may or grant.city_code or grant.enterprise_id:
            raise forbidden("metrics are of all enterprises; take a token for the region")
        exposed = gateway.metrics.expose(held=gateway.budget.held, waiting=gateway.writer.waiting)
        return Response(exposed, media_type=_METRICS_TYPE)


def _health_answer(*, ok: bool, trouble: str | None) -> Response:
    body = orjson.dumps({"ok": ok, "detail": trouble or ("well" if ok else "not yet")})
    return Response(body, 200 if ok else 503, {"Cache-Control": "no-store"}, "application/json")
