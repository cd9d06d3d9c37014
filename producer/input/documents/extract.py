"""The text of a document, whose content tells its format: PDF, Word, a web page, or else text."""

from __future__ import annotations

from collections.abc import Callable

from producer.input.documents import docx, html, pdf, plain
from producer.input.documents.text import Text, Unreadable, unreadable

_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
#: Formats that are known and not read.
_FOREIGN = {
    b"{\\rtf": "an RTF document: save it as .docx or PDF",
    b"PAR1": "a Parquet file, and not a document: name the column of its texts",
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture", b"II*\0": "a picture",
    b"MM\0*": "a picture", b"%!PS": "PostScript: save it as PDF",
}  # fmt: skip
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body")
_PAGES = (".html", ".htm", ".xhtml")
#: The formats whose files cannot be another's: what else has such a name was renamed, or is an error page.
_NAMED = {".pdf": "PDF", ".docx": "Word"}
_OCR = "an OCR program adds it: ocrmypdf OLD.pdf NEW.pdf"
_READERS: dict[str, Callable[[bytes], Text]] = {
    "PDF": pdf.read, "Word": docx.read, "HTML": html.read, "text": plain.read,
}  # fmt: skip


def extract(name: str, data: bytes) -> Text:
    """The text of a document. Raises Unreadable."""
    if not data:
        raise Unreadable("no_text", "the file is empty")
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    kind = _kind(data, suffix)
    named = _NAMED.get(suffix, kind)
    if named != kind:
        raise unreadable(f"its name ends in {suffix}, and its content is {kind}: it was renamed, or is another file")
    text = _READERS[kind](data)
    if not text.text.strip():
        why = f"no page has text, only pictures: {_OCR}" if kind == "PDF" else "there is no text in it"
        raise Unreadable("no_text", why)
    return text


def _kind(data: bytes, suffix: str) -> str:
    if b"%PDF-" in data[:1024]:
        return "PDF"
    if data.startswith(b"PK\x03\x04"):
        kind = docx.kind_of(data)
        if kind != "Word":
            raise unreadable(f"{kind}, and not a document")
        return kind
    if data.startswith(_OLD_OFFICE):
        locked = _ENCRYPTED in data
        raise unreadable("an encrypted document" if locked else "a document of an old Office: save it as .docx or PDF")
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise unreadable(what)
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(_MARKUP) or (head.startswith(b"<?xml") and b"<html" in head) or suffix in _PAGES:
        return "HTML"
    return "text"
