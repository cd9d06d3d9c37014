"""What is read of a document, and the text that all formats agree on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: No person sees it, or it is no character: controls, soft hyphens, marks of byte order.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\xad\ufeff\ufffe\uffff\ud800-\udfff]")
_LINE_END = re.compile("[ \t]*(?:\r\n?|\n|\x85|\u2028|\u2029)")
_GAP = re.compile("\n{3,}")


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a document. Each page ends with a line end and a form feed; `pages` is None if there are none."""

    text: str
    pages: int | None
    library: str  #: that read it,
    version: str  #: of which version
    warnings: tuple[str, ...] = ()


class Unreadable(Exception):
    """A document without a text: the code of its rows' error (`no_text` or `unreadable_document`), and why."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why


def unreadable(why: str) -> Unreadable:
    """The error of a document that cannot be read."""
    return Unreadable("unreadable_document", why)


def cleaned(text: str) -> str:
    """Text with one kind of line end, no blanks before it, no more than one blank line, and nothing that is not
    seen."""
    return _GAP.sub("\n\n", _UNSEEN.sub("", _LINE_END.sub("\n", text)))


def page_count(text: str) -> int | None:
    """The pages of a text, None if no form feed divides it."""
    return text.rstrip("\n").count("\f") + (not text.rstrip("\n").endswith("\f")) if "\f" in text else None
