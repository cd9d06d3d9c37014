"""The page for a browser, and its login. Redirects are relative: a proxy may serve the page below a path."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from producer.server.access import COOKIE, cookie_of, is_among, wrong_token
from producer.server.uploads.form import form_of

router = APIRouter(include_in_schema=False)
_PAGE = Path(__file__).parents[1] / "page"


@router.get("/")
def index(request: Request) -> Response:
    """The page, with a button to log out where there are tokens."""
    return _page("index.html", "logout" if request.app.state.tokens else None)


@router.get("/login")
def form(wrong: str | None = None) -> Response:
    """The login form; after a wrong token it says so."""
    return _page("login.html", None if wrong is None else "wrong")


def _page(name: str, shown: str | None) -> Response:
    """A page, with the element of an id shown that is hidden otherwise."""
    text = (_PAGE / name).read_text("utf-8")
    if shown:
        text = text.replace(f'id="{shown}" hidden', f'id="{shown}"')
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"})


@router.post("/login")
async def login(request: Request) -> Response:
    """Exchange a token for the page's cookie."""
    async with form_of(request, files=0, fields=2) as fields:
        token = str(fields.get("token", "")).strip()
    if not is_among(token, request.app.state.tokens):
        if "text/html" in request.headers.get("accept", ""):  # a browser's form
            return RedirectResponse("login?wrong=", 303)
        raise wrong_token()
    answer = RedirectResponse("./", 303)
    answer.set_cookie(
        COOKIE, cookie_of(token), max_age=30 * 86400, httponly=True, samesite="strict",
        secure="https" in (request.url.scheme, request.headers.get("x-forwarded-proto")),
    )  # fmt: skip
    return answer


@router.post("/logout")
def logout() -> Response:
    """Forget the page's cookie."""
    answer = RedirectResponse("login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
