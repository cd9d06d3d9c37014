"""PDF, by pypdfium2: each page's text in reading order.

A word that a line end divides is joined if it is in the document as one word; else it keeps its hyphen, so that
"fifty-five" is never "fiftyfive". Headers that each page repeats stay.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from producer.input.documents.text import Text, cleaned, unreadable

#: A document has no more pages: reading more takes minutes.
MOST_PAGES = 5000
#: What PDFium gives for a hyphen at the end of a line, whose line end it leaves out.
_DIVIDED = "\ufffe"
_WORD = re.compile(r"[^\W\d_]+")
_DIVIDED_WORD = re.compile(rf"([^\W\d_]*){_DIVIDED}([^\W\d_]*)")
_PASSWORD = 4
_END = b"%%EOF"
#: How far the mark of the end may be from the end: mailers and printers append something.
_TAIL = 4096
_LISTED = 10


def read(data: bytes) -> Text:
    """The text of a PDF. Raises Unreadable."""
    import pypdfium2

    if _END not in data[-_TAIL:]:
        raise unreadable("a PDF document that is cut off: its end is missing")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) == _PASSWORD or "password" in str(error)
        raise unreadable("an encrypted PDF document" if locked else "a PDF document that is damaged") from error
    with document:
        count = len(document)
        if count > MOST_PAGES:
            raise unreadable(f"it has {count:,} pages, and at most {MOST_PAGES:,} are allowed: split it")
        pages = [_page(document, number) for number in range(count)]
    warnings = (
        _warning("cannot be read", [page is None for page in pages]),
        _warning("without text", [page is not None and not page.strip() for page in pages]),
    )
    text = _joined("".join(f"{page or ''}\n\f" for page in pages))
    text = re.sub("\n+\f", "\n\f", cleaned(text))
    return Text(text if text.strip() else "", count, "pypdfium2", version("pypdfium2"), tuple(filter(None, warnings)))


def _page(document: Any, number: int) -> str | None:
    """The text of a page, None if it is damaged."""
    import pypdfium2

    try:
        page = document[number]
        text = page.get_textpage()
        try:
            return str(text.get_text_range()).replace("\f", "\n")
        finally:
            text.close()
            page.close()
    except pypdfium2.PdfiumError:
        return None


def _joined(text: str) -> str:
    """The text with the words that line ends divide."""
    words = {word.casefold() for word in _WORD.findall(text)} if _DIVIDED in text else set()

    def whole(match: re.Match[str]) -> str:
        is_word = match[1] and match[2] and f"{match[1]}{match[2]}".casefold() in words
        return f"{match[1]}{'' if is_word else '-'}{match[2]}"

    return _DIVIDED_WORD.sub(whole, text)


def _warning(what: str, pages: list[bool]) -> str:
    """Names the pages of which something is true; "" if there are none."""
    numbers = [str(number) for number, is_so in enumerate(pages, 1) if is_so]
    listed = ", ".join(numbers[:_LISTED]) + (" ..." if len(numbers) > _LISTED else "")
    return f"{len(numbers)} of {len(pages)} pages {what}: {listed}" if numbers else ""
