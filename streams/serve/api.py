"""The web application: the JSON API, the board and its stream, health and metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
import orjson
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from streams.domain.window import instant_from_text
from streams.records.acks import AlertAck
from streams.serve import documents
from streams.serve.access import OPEN, Access, Tokens
from streams.serve.answers import JSON_TYPE, listed, tagged, with_fields
from streams.serve.middleware import Around
from streams.serve.paging import AlertsListing, Page, RatesListing, RowT, page_of
from streams.serve.periods import PeriodShown, shown
from streams.serve.rows import AlertRow, Row
from streams.serve.small_cells import record_for
from streams.serve.stream import BoardStreams, Summaries
from streams.serve.summary import Summary
from streams.serve.view import OUTLET, View
from streams.web import problems
from streams.web.following import Following
from streams.web.problems import forbidden, not_found, unauthorized, unavailable

API: Final = "/api/v1"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PAGE_DIR: Final = Path(__file__).parent / "page"
PAGE_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/board.css": ("board.css", "text/css; charset=utf-8"),
    "/board.js": ("board.js", "text/javascript; charset=utf-8"),
    "/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_bearer = HTTPBearer(auto_error=False, description="A token of the server's tokens file")


class Observer(Protocol):
    """What keeps the metrics."""

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        ...

    def streams(self, count: int) -> None:
        """Tell how many boards are connected."""
        ...

    def expose(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        ...


@dataclass(frozen=True)
class Service:
    """What the routes answer from. Without `tokens` everybody sees everything."""

    view: View
    feed: Following
    summaries: Summaries
    observer: Observer
    tokens: Tokens | None = None
    stopping: Callable[[], bool] = lambda: False

    @cached_property
    def boards(self) -> BoardStreams:
        """The boards that are connected."""
        return BoardStreams(self.summaries, ready=lambda: self.feed.ready, stopping=self.stopping)

    def access(self, token: str | None) -> Access:
        """Return what somebody may see; raises ProblemError for who is not known."""
        if self.tokens is None:
            return OPEN
        if token is None:
            raise unauthorized("send a token, as in `Authorization: Bearer rns_...`")
        access = self.tokens.access(token)
        if access is None:
            raise unauthorized(
                "this token is not known, or no longer; ask whoever runs the server for one"
            )
        return access


def build_app(service: Service, *, loopback_only: bool) -> FastAPI:
    """Return the application. With `loopback_only` it answers to this machine's own names only."""
    app = FastAPI(
        title="realname-streams",
        version="1",
        description=documents.DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # Theirs load their scripts from elsewhere.
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in (_lists(service), _single(service), _board(service), _health(service)):
        app.include_router(router)
    problems.install(app, document=f"{API}/openapi.json")
    documents.install(app, API)
    app.add_middleware(Around, answered=service.observer.answered, loopback_only=loopback_only)
    return app


def _known(service: Service) -> Callable[..., Access]:
    """Return the dependency that says what a request may see, once the view is complete."""

    def known(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Access:
        access = service.access(credentials.credentials if credentials else None)
        if not service.feed.ready:
            raise unavailable("the topics are still being read; ask again in a moment")
        return access

    return known


def _lists(service: Service) -> APIRouter:
    router = APIRouter(prefix=API, tags=["figures"])
    view, known = service.view, Depends(_known(service))

    @router.get(
        "/rates",
        summary="Rates now",
        description="Rolling rates of scopes, their targets and verdicts.",
        responses=documents.answers_of_list(documents.RatesPage),
    )
    def rates(
        request: Request,
        listing: Annotated[RatesListing, Query()],
        access: Annotated[Access, known],
    ) -> Response:
        page = page_of(
            [view.rates(listing.granularity, listing.id)],
            listing,
            access,
            lambda row: (row.granularity, row.scope_id),
        )
        return _listed(
            service, request, listing, page, access=access, columns=documents.RATE_COLUMNS
        )

    @router.get(
        "/days",
        summary="Business days",
        description="Figures by business day: a week of outlets, 40 days of everything else.",
        responses=documents.answers_of_list(documents.DaysPage),
    )
    def days(
        request: Request,
        listing: Annotated[RatesListing, Query()],
        access: Annotated[Access, known],
    ) -> Response:
        dates = view.dates if listing.date is None else [listing.date]
        page = page_of(
            (view.days(date, listing.id) for date in dates),
            listing,
            access,
            lambda row: (row.date, row.granularity, row.scope_id),
        )
        return _listed(
            service, request, listing, page, access=access, columns=documents.DAY_COLUMNS
        )

    @router.get(
        "/alerts",
        summary="Alerts",
        description="Episodes of alerts as of their latest change; the open ones unless asked otherwise.",
        responses=documents.answers_of_list(documents.AlertsPage),
    )
    def alerts(
        request: Request,
        listing: Annotated[AlertsListing, Query()],
        access: Annotated[Access, known],
    ) -> Response:
        page = page_of(
            [view.alerts()], listing, access, lambda row: (row.alert_id, f"{row.episode:09}")
        )
        return _listed(
            service, request, listing, page, access=access, columns=documents.ALERT_COLUMNS
        )

    return router


def _listed(
    service: Service,
    request: Request,
    listing: RatesListing | AlertsListing,
    page: Page[RowT],
    *,
    access: Access,
    columns: Sequence[str],
) -> Response:
    items = [_named(service.view, row, access) for row in page.rows]
    return listed(request, items, page.next_cursor, columns=columns, asked=listing.format)


def _named(view: View, row: Row, access: Access) -> bytes:
    """Return a row's record with its scope's name, an alert's also with who has taken it on."""
    fields = view.names.fields(row.granularity, row.scope_id)
    if isinstance(row, AlertRow):
        fields += b"," + _acked(view.ack(row), access)
    return with_fields(record_for(row, access), fields)


def _acked(ack: AlertAck | None, access: Access) -> bytes:
    by, at, note = (ack.by, ack.acked_at, ack.note) if ack else (None, None, None)
    if not access.sees_officers:
        by = note = None
    return orjson.dumps({"acked_by": by, "acked_at": at, "ack_note": note})[1:-1]


def _single(service: Service) -> APIRouter:
    router = APIRouter(prefix=API, tags=["figures"])
    view, known = service.view, Depends(_known(service))

    @router.get(
        "/outlets/{outlet_id}",
        summary="One outlet",
        description="What an outlet is, its rates, its business days and its alerts.",
        responses=documents.answers(documents.OutletShown, problems=(404,)),
    )
    def outlet(request: Request, outlet_id: str, access: Annotated[Access, known]) -> Response:
        return tagged(request, _outlet(view, outlet_id, access), JSON_TYPE)

    @router.get(
        "/periods",
        summary="Event periods",
        description="All declared event periods, with their phases and targets, by their start.",
        responses=documents.answers_of(PeriodShown, listed=True),
        dependencies=[known],
    )
    def periods(request: Request) -> Response:
        at_ms = instant_from_text(view.as_of) if view.as_of is not None else None
        found = [shown(period, at_ms) for period in view.reference.periods]
        return tagged(request, msgspec.json.encode(found), JSON_TYPE)

    return router


def _outlet(view: View, outlet_id: str, access: Access) -> bytes:
    listing = view.names.outlet(outlet_id)
    rate = view.rate(OUTLET, outlet_id)
    days = [row for row in view.days_of(OUTLET, outlet_id) if access.sees(row)]
    alerts = [
        row
        for row in view.alerts()
        if row.granularity == OUTLET and row.scope_id == outlet_id and access.sees(row)
    ]
    if rate is not None and not access.sees(rate):
        rate = None
    city_code = view.names.city_of(listing.county_code) if listing else None
    if listing is not None and not access.sees_place(city_code, listing.enterprise_id):
        listing = None
    if listing is None and rate is None and not days and not alerts:
        raise not_found("no such outlet, or not yours to see; check the id")
    name = view.names.scope(OUTLET, outlet_id)
    described = listing and {
        "outlet_id": outlet_id,
        "name_zh": name.zh,
        "name_en": name.en,
        "brand_code": listing.brand_code,
        "enterprise_id": listing.enterprise_id,
        "county_code": listing.county_code,
        "city_code": city_code,
        "duty_group": listing.duty_group,
    }
    alerts.sort(key=lambda row: (row.first_at, row.alert_id), reverse=True)
    return b'{"outlet":%b,"rate":%b,"days":[%b],"alerts":[%b]}' % (
        orjson.dumps(described),
        _named(view, rate, access) if rate else b"null",
        b",".join(_named(view, row, access) for row in days),
        b",".join(_named(view, row, access) for row in alerts),
    )


def _board(service: Service) -> APIRouter:
    router = APIRouter(prefix=API, tags=["board"])

    @router.get(
        "/summary",
        summary="The board",
        description="What the board shows: headline, areas, worst outlets, open alerts, the day's curve.",
        responses=documents.answers_of(Summary),
    )
    def summary(request: Request, access: Annotated[Access, Depends(_known(service))]) -> Response:
        return tagged(request, service.summaries.body(access), JSON_TYPE)

    @router.get(
        "/stream",
        summary="The board, kept up to date",
        description=(
            "Server-sent events: `summary` whenever it has changed, at most once a second, and `time` "
            "with the server's clock every five seconds. Before the view is complete only `time`."
        ),
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Response:
        access = service.access(credentials.credentials if credentials else None)
        if service.boards.full:
            raise unavailable("too many boards are connected; close some")
        return StreamingResponse(
            service.boards.events(access),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )

    return router


def _health(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/live", tags=["health"], response_model=documents.Health, summary="Is it alive?")
    def live() -> Response:
        """503 when the server hangs: restart it. A cluster that is away is no reason to."""
        return _health_answer(ok=service.feed.alive, detail=service.feed.trouble or "following")

    @router.get("/ready", tags=["health"], response_model=documents.Health, summary="Is it ready?")
    def ready() -> Response:
        """503 until everything that was in the topics at the start has been read."""
        detail = "complete" if service.feed.ready else "reading the topics"
        return _health_answer(ok=service.feed.ready, detail=service.feed.trouble or detail)

    @router.get(
        "/metrics",
        tags=["health"],
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        responses=documents.problems_of(401, 403),
    )
    def metrics(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Response:
        """Figures of everybody, so only for tokens that see everything."""
        access = service.access(credentials.credentials if credentials else None)
        if not access.everything:
            raise forbidden("metrics are of the whole region; take a token for the region")
        service.observer.streams(service.boards.count)
        return Response(service.observer.expose(), media_type=METRICS_TYPE)

    for path, (name, media_type) in PAGE_FILES.items():
        body = (PAGE_DIR / name).read_bytes()
        router.add_api_route(path, _file(body, media_type), include_in_schema=False)
    return router


def _health_answer(*, ok: bool, detail: str) -> Response:
    body = orjson.dumps({"ok": ok, "detail": detail})
    return Response(body, 200 if ok else 503, {"Cache-Control": "no-store"}, JSON_TYPE)


def _file(body: bytes, media_type: str) -> Callable[[Request], Response]:
    def file(request: Request) -> Response:
        return tagged(request, body, media_type)

    return file
