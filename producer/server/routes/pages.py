"""The page for a browser, and its login."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from producer.server.access import COOKIE, cookie_of, is_among
from producer.server.problems import Refused
from producer.server.uploads.form import form_of

router = APIRouter(include_in_schema=False)
_PAGE = Path(__file__).parents[1] / "page"


@router.get("/")
def index(request: Request) -> Response:
    """The page."""
    return FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/login")
def form() -> Response:
    """The login form."""
    return FileResponse(_PAGE / "login.html", headers={"Cache-Control": "no-cache"})


@router.post("/login")
async def login(request: Request) -> Response:
    """Exchange a token for the page's cookie."""
    async with form_of(request, files=0, fields=2) as fields:
        token = str(fields.get("token", "")).strip()
    if not is_among(token, request.app.state.tokens):
        raise Refused(403, "wrong_token", "the token is not one of this server", "It may have been replaced.")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE, cookie_of(token), max_age=30 * 86400, httponly=True, samesite="strict",
        secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
    )  # fmt: skip
    return answer
