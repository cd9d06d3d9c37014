"""Web pages, by lxml: the text that a browser shows, one line per block, a tab between the cells of a table."""

from __future__ import annotations

import re
from typing import Any

from producer.input.documents import tree
from producer.input.documents.plain import decoded
from producer.input.documents.text import Text, cleaned

#: There is a line end before and after these,
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure footer form
        h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary table tbody tfoot thead tr ul""",
    )
)
#: and a blank line before and after these.
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 table ul ol dl blockquote pre".split())  # noqa: SIM905
_CELLS = frozenset(("td", "th"))
_NOT_SHOWN = frozenset(("head", "script", "style", "template", "noscript", "iframe", "object"))
_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
#: Where browsers look for the encoding.
_HEAD = 1024


def read(data: bytes) -> Text:
    """The text of a web page. Raises Unreadable."""
    charset = _CHARSET.search(data[:_HEAD])
    source, warnings = decoded(data, _codec(charset[1].decode("ascii")) if charset else "")
    lines = _Lines()
    _walk(tree.walk_html(source.encode("utf-8", "replace")), lines)
    return Text(cleaned("".join(lines.texts)), None, "lxml", tree.version(), warnings)


def _codec(name: str) -> str:
    """What browsers take ISO 8859-1 and ASCII for."""
    return "cp1252" if name.lower() in ("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii") else name


class _Lines:
    """Texts as they come, their blanks as one, with the line ends between them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.verbatim = 0
        self._ends = 0  # line ends before the next text

    def end(self, count: int) -> None:
        """Have at least this many line ends before the next text."""
        self._ends = max(self._ends, count)

    def add(self, text: str | None) -> None:
        """Add a text. Blanks at the beginning of a line, and after a blank, add nothing."""
        if text and not self.verbatim:
            text = re.sub("[ \t\r\n\f]+", " ", text)
            if text[0] == " " and (self._ends or not self.texts or self.texts[-1][-1] in " \n\t"):
                text = text[1:]
        if text:
            if self.texts:
                self.texts.append("\n" * self._ends)
            self.texts.append(text)
            self._ends = 0

    def cell(self) -> None:
        """Divide cells."""
        if self.texts and not self._ends:
            self.texts.append("\t")


def _walk(walker: Any, lines: _Lines) -> None:
    for event, node in walker:
        tag = node.tag
        ends = 2 if tag in _PARAGRAPHS else 1 if tag in _BLOCKS else 0
        if event == "start":
            if tag in _NOT_SHOWN:
                walker.skip_subtree()
                continue
            lines.verbatim += tag == "pre"
            lines.end(ends)
            lines.add(node.text)
            continue
        lines.verbatim -= tag == "pre"
        lines.end(ends)
        if tag in _CELLS:
            lines.cell()
        lines.add(node.tail)
