"""The application: routes, page, errors and the layer of access, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from contract.errors import BulkqaError, UsageError
from contract.settings import Settings
from producer.backend import open_direct
from producer.server.access import Access, Bounds, Rate, connections_of, proxies_of, tokens_of
from producer.server.head import Head
from producer.server.openapi import completed, content
from producer.server.problems import SEE_REQUESTS, Refused, problem
from producer.server.routes import answers, documents, jobs, pages, trust
from producer.server.service import Here, Reads, Service
from producer.server.shares import AtOnce
from producer.server.submission import first_of
from producer.server.uploads.line import READ_AT_ONCE, Line
from producer.server.uploads.reader import Reader
from producer.server.uploads.template import Template

_ROUTERS = (answers, jobs, documents, trust, pages)


def make_app(settings: Settings) -> ASGIApp:
    """The application in front of a storage and a Redis. Raises UsageError, StorageUnreachable."""
    hidden = _hidden(settings)
    backend = open_direct(settings, create=True, brief=True)
    reader = Reader(Template(settings), backend.storage, Line(READ_AT_ONCE))
    service = Service(backend, reader, hidden)
    tokens = tokens_of(settings.api_token.get_secret_value())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with reader.template:
            yield
        service.close()

    app = FastAPI(title="bulkqa", version=version("bulkqa"), summary="Answers to files of questions and contexts",
                  lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name)  # fmt: skip
    app.add_middleware(Head)
    app.state.service = service
    app.state.tokens = tokens
    for module in _ROUTERS:
        app.include_router(module.router)
    app.get("/healthz", tags=["health"], name="alive")(_alive)
    app.get("/readyz", tags=["health"], name="ready")(_ready)
    app.get(
        "/metrics", tags=["health"], name="metrics", response_class=Response, responses=content(CONTENT_TYPE_LATEST)
    )(_metrics)
    app.mount("/page", StaticFiles(directory=Path(__file__).parent / "page"), name="page")
    _answer_with_problems(app, hidden)
    _describe(app)
    proxies, rate = proxies_of(settings.api_proxies), Rate(settings.api_requests)
    bounds = Bounds(settings.api_upload_bytes, settings.max_row_bytes)
    at_once = AtOnce(max(1, connections_of(settings) // 2), "too_many_at_once", "requests", after=1)
    refuse = lambda failure: problem(failure, hidden)  # noqa: E731
    return Access(app, tokens, proxies, bounds, rate, at_once, refuse, service.metrics.requests)


def _hidden(settings: Settings) -> dict[str, str]:
    """Places of the server that no answer names, and what to say instead."""
    places = {settings.storage_url, str(Path(settings.storage_url).resolve())}
    return dict.fromkeys(sorted(places, key=len, reverse=True), "the storage")


async def _alive() -> dict[str, str]:
    """Whether the server runs."""
    return {"status": "ok"}


async def _metrics(here: Here, reads: Reads) -> Response:
    """Jobs, workers, queues and requests, for Prometheus."""
    return Response(await reads.run(here.metrics.text), media_type=CONTENT_TYPE_LATEST)


def _ready(here: Here) -> dict[str, Any]:
    """Whether storage and Redis answer, and the number of workers."""
    here.backend.queue.ping()
    here.backend.storage.list("jobs", after="~")  # begins after all jobs: it answers, and nothing is read
    return {"status": "ok", "workers": len(here.backend.workers())}


def _answer_with_problems(app: FastAPI, hidden: dict[str, str]) -> None:
    """Have every error answered with a problem (RFC 9457)."""

    async def failed(_: Request, error: Exception) -> JSONResponse:
        return problem(error, hidden)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - likewise
        return problem(UsageError(first_of(error.errors())), hidden)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - likewise
        refused = Refused(error.status_code, f"http_{error.status_code}", str(error.detail), SEE_REQUESTS)
        answer = problem(refused, hidden)
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # the framework names the methods of the path's first route alone
            answer.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it: the client has hung up

    app.add_exception_handler(ClientDisconnect, gone)
    for kind in (BulkqaError, OSError, Exception):
        app.add_exception_handler(kind, failed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _methods(app: FastAPI, request: Request) -> set[str]:
    """The methods of a path."""
    known = chain(app.routes, *(module.router.routes for module in _ROUTERS))
    routes = (route for route in known if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


def _describe(app: FastAPI) -> None:
    """Complete the OpenAPI document with what the framework does not know."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = completed(described())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
