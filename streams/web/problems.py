"""Errors as `application/problem+json` (RFC 9457): a title, and a detail that ends in what to do."""

import logging
from collections.abc import Mapping
from typing import Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

LOGGER: Final = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no such outlet, or not yours to see; check the id"])


class ProblemError(Exception):
    """What a request is answered with instead of data."""

    def __init__(
        self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take what the client is told."""
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def unauthorized(detail: str) -> ProblemError:
    """Return the answer to a request without a token that is known."""
    return ProblemError(401, "Unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def forbidden(detail: str) -> ProblemError:
    """Return the answer to somebody who is known, and asks for another's figures."""
    return ProblemError(403, "Forbidden", detail)


def not_found(detail: str) -> ProblemError:
    """Return the answer where there is nothing, or nothing for this reader: they cannot tell."""
    return ProblemError(404, "Not found", detail)


def unavailable(detail: str) -> ProblemError:
    """Return the answer where asking again in a moment helps."""
    return ProblemError(503, "Service unavailable", detail, {"Retry-After": "5"})


def answer(problem: ProblemError) -> Response:
    """Return a problem as a response."""
    return Response(
        orjson.dumps({"title": problem.title, "status": problem.status, "detail": problem.detail}),
        problem.status,
        {"Cache-Control": "no-store", **(problem.headers or {})},
        PROBLEM_TYPE,
    )


def too_large(detail: str) -> ProblemError:
    """Return the answer to a body that is more than is taken."""
    return ProblemError(413, "Content too large", detail)


def too_many(detail: str, retry_after_s: int) -> ProblemError:
    """Return the answer where there is no room now, and will be in a moment."""
    return ProblemError(429, "Too many requests", detail, {"Retry-After": str(retry_after_s)})


def install(app: FastAPI, *, document: str) -> None:
    """Let an application answer every error in this form; `document` is the path of its OpenAPI."""

    @app.exception_handler(ProblemError)
    async def told(_: Request, error: ProblemError) -> Response:
        return answer(error)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        detail = {
            404: f"there is nothing at this path; see {document}",
            405: f"this path takes no {request.method}; see {document}",
        }.get(error.status_code, str(error.detail))
        title = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, "Error")
        return answer(ProblemError(error.status_code, title, detail, error.headers))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        mistakes = [
            f"{'.'.join(str(part) for part in mistake['loc'][1:])}: {mistake['msg']}"
            for mistake in error.errors()
        ]
        return answer(ProblemError(422, "Invalid parameters", "; ".join(mistakes)))

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        LOGGER.error("%s failed", getattr(request.scope.get("route"), "path", "a request"))
        return answer(
            ProblemError(
                500, "Internal error", "a mistake of ours; the log of the server says which"
            )
        )
