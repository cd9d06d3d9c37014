"""Word documents (.docx), by lxml: one line per paragraph, a tab between the cells of a table. Headers come first, then
the body, notes and footers. Insertions are text, deletions are not.

A zip archive of XML: only the parts with text are unpacked.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Any

from producer.input.documents import tree
from producer.input.documents.text import Text, cleaned, unreadable

_TYPES = "[Content_Types].xml"
#: Kinds of parts with text, in the order of their text.
_PARTS = ("header", "document.main", "footnotes", "endnotes", "footer")
_KIND = re.compile(r"application/vnd\.(?:openxmlformats-officedocument|ms-word)\.(?:wordprocessingml\.)?([\w.]+?)"
                   r"(?:MacroEnabled\.main)?\+xml")  # fmt: skip
#: What is no text: what was deleted or moved away, and the older form of what comes twice.
_NOT_TEXT = frozenset(("del", "moveFrom", "Fallback"))
_ENDS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "tc": "\t", "tr": "\n"}
#: What a damaged archive raises, besides errors of its XML.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError, NotImplementedError)
#: Bytes that a part may expand to.
_MOST = 128 << 20


def read(data: bytes) -> Text:
    """The text of a Word document. Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = [_text(tree.walk_xml(_part(archive, name))) for name in _names(archive)]
    except _DAMAGE as error:
        raise unreadable("a Word document that is damaged") from error
    except RuntimeError as error:  # zipfile has no class of its own for it
        raise unreadable("an encrypted Word document") from error
    return Text(cleaned("\n\n".join(filter(None, parts))), None, "lxml", tree.version())


def kind_of(data: bytes) -> str:
    """What a zip archive holds, in words; "Word" for what `read` reads. Raises Unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if any(name.startswith("word/") for name in names):
                return "Word"
            if any(name.startswith("xl/") for name in names):
                return "an Excel workbook"
            if any(name.startswith("ppt/") for name in names):
                return "a PowerPoint presentation"
            return "an OpenDocument file" if "mimetype" in names else "a zip archive"
    except _DAMAGE as error:
        raise unreadable("a Word document or a zip archive that is damaged, or cut off") from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    """The parts with text, in order. Word gives them any names: their types tell."""
    found: dict[str, list[str]] = {kind: [] for kind in _PARTS}
    for event, node in tree.walk_xml(_part(archive, _TYPES)):
        kind = _KIND.fullmatch(node.get("ContentType", "")) if event == "start" else None
        name = "document.main" if kind and kind[1] in ("document.main", "document") else kind and kind[1]
        if name in found:
            found[name].append(node.get("PartName", "").lstrip("/"))
    if not found["document.main"]:
        raise unreadable("a Word document without a text: its main part is missing")
    return [name for kind in _PARTS for name in sorted(found[kind])]


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """The XML of a part. Raises Unreadable for one that expands beyond all measure."""
    with archive.open(name) as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise unreadable(f"a part of it expands to more than {_MOST:,} bytes")
    return data


def _text(walker: Any) -> str:
    pieces: list[str] = []
    cells = 0
    for event, node in walker:
        tag = node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
        if event == "start":
            if tag in _NOT_TEXT:
                walker.skip_subtree()
            cells += tag == "tc"
            continue
        cells -= tag == "tc"
        if tag == "t":
            pieces.append(node.text or "")
        elif tag == "p":
            pieces.append(" " if cells else "\n")
        elif tag != "tab" or not node.tag.endswith("tabs"):
            pieces.append(_ENDS.get(tag, ""))
    return re.sub(" +(?=[\t\n])", "", "".join(pieces)).strip()
