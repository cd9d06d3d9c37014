"""Text files, Markdown among them: as they are, with one kind of line end."""

from __future__ import annotations

import codecs
import platform
import re

from producer.input.documents.text import Text, page_count, unreadable
from producer.input.formats.encodings import likely_encodings

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
          codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
#: Bytes that show the encoding of a text.
_HEAD = 1 << 18


def read(data: bytes) -> Text:
    """The text of a file. Raises Unreadable if it is not text."""
    text, warnings = decoded(data)
    text = re.sub("\r\n?", "\n", text)
    return Text(text, page_count(text), "python", platform.python_version(), warnings)


def decoded(data: bytes, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """A text, and a warning if its encoding was guessed: that of its byte order mark, else the declared one, else
    UTF-8, else the likeliest. Raises Unreadable."""
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not marked and b"\0" in data:
        raise unreadable("it is not text: it holds NUL bytes")
    for name in (marked, declared, "utf-8"):
        try:
            if name:
                return data.decode(name).replace("\0", ""), ()
        except (UnicodeError, LookupError):
            continue
    guess = next(iter(likely_encodings(data[:_HEAD])), "WINDOWS-1252")
    return data.decode(guess, "replace"), (f"it is not UTF-8 and was read as {guess}",)
