"""The application: routes, page, errors and the layer of access, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from contract.errors import BulkqaError, UsageError
from contract.namespace import open_queue
from contract.settings import Settings
from contract.storage import open_storage
from producer.server import answers, jobs, pages
from producer.server.access import Access, limits
from producer.server.problems import Refused, problem
from producer.server.service import Here, Service
from producer.server.submission import Submission, first_of
from producer.server.uploads import Reader

#: Uploads that are read at once: each is a process.
_READERS = 4


def make_app(settings: Settings) -> ASGIApp:
    """The application of a storage and a Redis. Raises UsageError, StorageUnreachable."""
    storage = open_storage(settings.storage_url, create=True)
    queue = open_queue(settings, storage)
    service = Service(settings, storage, queue, Reader(settings, asyncio.Semaphore(_READERS)))
    tokens, rate = limits(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.followed.close()
        queue.close()

    app = FastAPI(title="bulkqa", version=version("bulkqa"), summary="Answers to files of questions and contexts",
                  lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/openapi.json")  # fmt: skip
    app.state.service = service
    app.state.tokens = tokens
    for one in (jobs, answers, pages):
        app.include_router(one.router)
    app.get("/healthz", tags=["health"])(_alive)
    app.get("/readyz", tags=["health"])(_ready)
    app.mount("/page", StaticFiles(directory=Path(__file__).parent / "page"), name="page")
    _speak_of_problems(app, hidden := _hidden(settings))
    _describe(app)
    return Access(app, tokens, settings.api_upload_bytes, rate, lambda refused: problem(refused, hidden))


def _hidden(settings: Settings) -> dict[str, str]:
    """Places of the server, of which no answer speaks."""
    places = {settings.storage_url, str(Path(settings.storage_url).resolve())}
    return dict.fromkeys(sorted(places, key=len, reverse=True), "the storage")


def _alive() -> dict[str, str]:
    """Whether the server runs."""
    return {"status": "ok"}


def _ready(here: Here) -> dict[str, Any]:
    """Whether storage and Redis answer, and how many workers there are."""
    here.queue.ping()
    here.storage.list("jobs", after="~")  # begins behind all: the storage answers, and nothing is read
    return {"status": "ok", "workers": len(here.queue.workers())}


def _speak_of_problems(app: FastAPI, hidden: dict[str, str]) -> None:
    """Every error as RFC 9457 has it."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, BulkqaError)  # noqa: S101 - for the type checker: it is registered for these
        return problem(error, hidden)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - likewise
        return problem(UsageError(first_of(error.errors())), hidden)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - likewise
        refused = Refused(error.status_code, f"http_{error.status_code}", str(error.detail))
        answer = problem(refused, hidden)
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(BulkqaError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _describe(app: FastAPI) -> None:
    """Name in the OpenAPI document what is read by hand."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        schema = Submission.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"].setdefault("schemas", {})["Submission"] = schema | {"additionalProperties": True}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
