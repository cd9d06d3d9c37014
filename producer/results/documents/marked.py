"""Documents as static web pages: the text with its answers marked, the questions at the side. Pure.

Everything of a document or a question is escaped; a page has no script and loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from itertools import pairwise
from typing import Any

_HEAD = """<!doctype html>
<html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --mark: #ffe58a; --soft: #8885; }}
@media (prefers-color-scheme: dark) {{ :root {{ --mark: #7a5b00; }} }}
body {{ margin: 0; font: 1rem/1.5 system-ui, sans-serif; }}
header, nav, main {{ padding: 0.5rem 1rem; }}
h1 {{ font-size: 1.2rem; overflow-wrap: anywhere; }}
main {{ white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; max-width: 46rem; }}
mark {{ background: var(--mark); color: inherit; }}
mark:target {{ outline: 2px solid; }}
hr {{ border: 0; border-top: 1px solid var(--soft); }}
li {{ margin: 0.4rem 0; overflow-wrap: anywhere; }}
small {{ opacity: 0.75; }}
@media (min-width: 60rem) {{
  body {{ display: grid; grid-template-columns: 24rem 1fr; }}
  header {{ grid-column: 1 / -1; border-bottom: 1px solid var(--soft); }}
  nav {{ position: sticky; top: 0; max-height: 100vh; overflow: auto; box-sizing: border-box; }}
}}
</style>
"""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 80


def pages(documents: Iterable[dict[str, Any]], text_of: Callable[[int], str | None]) -> Iterator[tuple[str, str]]:
    """Names and contents of the pages: one for each document, given as by `wide.documents`, and `index.html`.

    `text_of`: the text of the document of a number, None if it has none.
    """
    listed = []
    for number, document in enumerate(documents):
        name = file_name(number, document["document"])
        yield name, page(document, text_of(number))
        answered = sum(answer["status"] == "answered" for answer in document["answers"])
        error = document.get("error")
        about = error["message"] if error else f"{answered} of {len(document['answers'])} questions answered"
        listed.append(f'<li><a href="{name}">{escape(document["document"])}</a> <small>{escape(about)}</small>')
    yield "index.html", _HEAD.format(title="Documents") + f"<header><h1>Documents</h1></header><nav><ol>{_join(listed)}"


def file_name(number: int, document: str) -> str:
    """The name of a document's page."""
    plain = _NOT_IN_NAMES.sub("-", document).strip("-.")[-_NAME_LENGTH:].lstrip("-.")
    return f"{number + 1:04}-{plain}.html" if plain else f"{number + 1:04}.html"


def page(document: dict[str, Any], text: str | None) -> str:
    """The page of a document."""
    title = escape(document["document"])
    head = f'{_HEAD.format(title=title)}<header><h1>{title}</h1><a href="index.html">all documents</a></header>'
    questions = _join(_question(number, answer) for number, answer in enumerate(document["answers"]))
    error = document.get("error")
    shown = f"<p>{escape(error['message'])}" if error else _marked(text or "", document["answers"])
    return f"{head}\n<nav><ol>\n{questions}\n</ol></nav>\n<main>{shown}</main>\n"


def _question(number: int, answer: dict[str, Any]) -> str:
    question = escape(answer["question"] or "")
    if answer["status"] == "error":
        return f"<li>{question}<br><small>{escape(answer['error']['message'])}</small>"
    if answer["status"] == "no_answer":
        return f"<li>{question}<br><small>no answer</small>"
    at = f", page {answer['page']}" if answer.get("page") else ""
    score = f"<small>{answer['score']:.2f}{at}</small>"
    return f'<li>{question}<br><a href="#answer-{number + 1}">{escape(answer["answer"])}</a> {score}'


def _marked(text: str, answers: list[dict[str, Any]]) -> str:
    """The text, cut wherever an answer begins or ends: answers may overlap."""
    spans = [(a["start"], a["end"], n) for n, a in enumerate(answers) if a["status"] == "answered"]
    cuts = sorted({0, len(text), *(place for start, end, _ in spans for place in (start, end))})
    pieces = []
    for begin, end in pairwise(cuts):
        inside = [number for first, last, number in spans if first <= begin and end <= last]
        shown = escape(text[begin:end], quote=False).replace("\f", "<hr>")
        if inside:
            title = escape("\n".join(answers[number]["question"] or "" for number in inside))
            starts = [number for first, _, number in spans if first == begin]
            anchors = "".join(f'<a id="answer-{number + 1}"></a>' for number in starts[1:])
            own = f' id="answer-{starts[0] + 1}"' if starts else ""
            shown = f'{anchors}<mark{own} title="{title}">{shown}</mark>'
        pieces.append(shown)
    return "".join(pieces)


def _join(items: Iterable[str]) -> str:
    return "\n".join(items)
