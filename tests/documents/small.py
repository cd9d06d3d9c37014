"""Small documents for tests, written by hand: PDF and Word, whole and broken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """A PDF of these pages, each line of them a line of text. A page without text is a picture of nothing."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for number, page in enumerate(pages):
        lines = "".join(f"({_escaped(line)}) Tj T* " for line in page.split("\n")) if page else ""
        content = f"BT /F1 11 Tf 14 TL 50 780 Td {lines}ET"
        box, fonts = "/MediaBox[0 0 595 842]", "/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"<</Type/Page/Parent 2 0 R{box}{fonts}/Contents {5 + 2 * number} 0 R>>")
        objects.append(f"<</Length {len(content)}>>\nstream\n{content}\nendstream")
    trailer = f"/Size {len(objects) + 1}/Root 1 0 R"
    if encrypted:
        trailer += f"/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{'11' * 32}>/U<{'22' * 32}>>>"
    return _file(objects, trailer)


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def _file(objects: Sequence[str], trailer: str) -> bytes:
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, 2)
    for number, text in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{text}\nendobj\n".encode("cp1252"))
    start = out.tell()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<<{trailer}>>\n".encode())
    out.write(f"startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def docx(*paragraphs: str, body: str = "", more: dict[str, str] | None = None) -> bytes:
    """A Word document of paragraphs and, behind them, the XML `body`. `more`: the XML of further parts with text, by
    the names of their kinds, `footnotes` for example."""
    texts = "".join(f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>' for text in paragraphs)
    parts = {"document": f"<w:body>{texts}{body}</w:body>", **(more or {})}
    kinds = {name: "document.main" if name == "document" else name for name in parts}
    types = "".join(
        f'<Override PartName="/word/{name}.xml" ContentType="{_TYPE}.{kind}+xml"/>' for name, kind in kinds.items()
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{types}</Types>',
        )
        for name, inner in parts.items():
            archive.writestr(f"word/{name}.xml", f'<w:{name} xmlns:w="{_WORD}">{inner}</w:{name}>')
    return sink.getvalue()


def contracts(folder: Path) -> Path:
    """A new folder of twenty documents of five formats: fifteen say when a mill was built and whom it was sold to, the
    last five are broken."""
    folder.mkdir()
    for number in range(15):
        text = f"The mill of Skar was built in {1800 + number}.", f"It was sold to Ingrid Aas in {1900 + number}."
        data, kind = [
            (pdf(*text), "pdf"), (docx(*text), "docx"), ("\n".join(text).encode(), "txt"),
            ("".join(f"<p>{line}</p>" for line in text).encode(), "html"), ("\n\n".join(text).encode(), "md"),
        ][number % 5]  # fmt: skip
        (folder / f"{number:02}.{kind}").write_bytes(data)
    broken = {
        "15.pdf": pdf("secret", encrypted=True), "16.pdf": pdf("whole " * 900)[:-2000], "17.docx": b"<!doctype html>",
        "18.pdf": pdf(""), "19.txt": b"\x89PNG\r\n\x1a\n" + bytes(99),
    }  # fmt: skip
    for name, data in broken.items():
        (folder / name).write_bytes(data)
    return folder
