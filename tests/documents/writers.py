"""Documents written by Chromium, reportlab, pandoc, LibreOffice and python-docx, each with its text in reading order.

A writer whose program is not installed is left out.
"""

from __future__ import annotations

import html
import importlib.util
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_TEXT = """\
The harbour office of Fjelland filed its final report on the fifth of October. Its staff of fifty-five found the
official figures sufficient, although two affluent shipowners differed from them.

Responsibility for the reconstruction of the breakwater was transferred to an international commission, whose
recommendations concerning environmental considerations were unambiguous and, characteristically, unanimous.

Between 1911 and 1926 the lighthouse burned 4,280 litres of rapeseed oil a year, at a cost of $1,250.75. Its last
keeper, Ms. Ingrid Aas (b. 1874), lived in the tower's ground floor until her retirement.

A ferry crosses the sound twice a day, at 07:45 and at 18:10. Passengers with e-mail tickets board first; bicycles are
carried for a fee of 3.50 each way, and dogs travel free of charge.

\u201cNobody,\u201d wrote the inspector, \u201chas ever measured the depth of the northern channel;
it isn\u2019t on any chart \u2013 not even
the Admiralty\u2019s.\u201d

Section 12.4 of the agreement obliges the lessee to notify the authority within thirty days. Failing that, paragraph
(b) of the same section applies, and the deposit of 18,000 kroner is forfeited.
"""
PARAGRAPHS = tuple(paragraph.replace("\n", " ").strip() for paragraph in _TEXT.split("\n\n"))
HEBREW = ("המגדלור בחוף הצפוני נבנה בשנת 1874 על ידי שני אחים.", "השומר האחרון גר בקומת הקרקע עד פרישתו.")
ROWS = (("Year", "Visitors", "Keeper"), ("1911", "2,040", "Olav Lie"), ("1912", "2,310", "Ingrid Aas"),
        ("1913", "1,985", "Per Dahl"))  # fmt: skip
HEADER = "Port of Fjelland confidential"
NOTE = "The tower was closed in winter."


class Document(NamedTuple):
    """A document, and the text that a reader sees."""

    name: str
    data: bytes
    text: str
    repeated: str = ""  #: a header that may come any number of times


def _joined(*texts: str) -> str:
    return "\n\n".join(texts)


def _table(rows: Any = ROWS) -> str:
    return "\n".join(" ".join(row) for row in rows)


def _p(*texts: str) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def _html_table() -> str:
    rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in ROWS)
    return f"<table border=1>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


LONG = PARAGRAPHS * 8
#: Pages by their style and body, with their text.
PAGES: dict[str, tuple[str, str, str]] = {
    "plain": ("", f"<h1>Annual report</h1>{_p(*PARAGRAPHS)}", _joined("Annual report", *PARAGRAPHS)),
    "columns": ("div{columns:2;text-align:justify}", f"<div>{_p(*LONG)}</div>", _joined(*LONG)),
    "table": ("", f"{_p(PARAGRAPHS[0])}{_html_table()}{_p(PARAGRAPHS[1])}",
              _joined(PARAGRAPHS[0], _table(), PARAGRAPHS[1])),
    "hyphens": ("p{hyphens:auto;width:5.5cm;text-align:justify}", _p(*PARAGRAPHS), _joined(*PARAGRAPHS)),
    "ligatures": ("p{font-family:'DejaVu Serif','FreeSerif';font-variant-ligatures:common-ligatures}",
                  _p(*PARAGRAPHS), _joined(*PARAGRAPHS)),
    "header": ("header{position:fixed;top:0}p{margin:2em 0;line-height:2.4}", f"<header>{HEADER}</header>{_p(*LONG)}",
               _joined(*LONG)),
    "hebrew": ("body{direction:rtl;font-family:FreeSans}", _p(*HEBREW), _joined(*HEBREW)),
    "lists": ("", f"<ol>{''.join(f'<li>{html.escape(p)}</li>' for p in PARAGRAPHS)}</ol>", _joined(*PARAGRAPHS)),
    "letters": ("p{letter-spacing:.08em}b{font-size:1.4em}", "".join(
        f"<p><b>{p[0]}</b>{html.escape(p[1:])}</p>" for p in PARAGRAPHS), _joined(*PARAGRAPHS)),
}  # fmt: skip


def page(name: str) -> str:
    style, body, _ = PAGES[name]
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>Report</title><style>{style}</style>{body}</html>"


def chromium(folder: Path) -> list[Document]:
    made = []
    for name, (_, _, text) in PAGES.items():
        source, target = folder / f"{name}.html", folder / f"chromium-{name}.pdf"
        source.write_text(page(name), "utf-8")
        _run("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
             f"--print-to-pdf={target}", source.as_uri())  # fmt: skip
        made.append(Document(target.name, target.read_bytes(), text, HEADER if name == "header" else ""))
    return made


def reportlab(_: Path) -> list[Document]:
    from reportlab.lib.enums import TA_JUSTIFY
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Table

    style = ParagraphStyle("text", alignment=TA_JUSTIFY, spaceAfter=8, leading=14)

    def written(name: str, flow: list[Any], text: str, columns: int = 1, header: str = "") -> Document:
        sink, width = io.BytesIO(), (A4[0] - 100) / columns
        frames = [Frame(50 + number * width, 50, width - 10, A4[1] - 120) for number in range(columns)]
        draw = lambda canvas, _: header and canvas.drawString(50, A4[1] - 40, header)  # noqa: E731
        document = BaseDocTemplate(sink, pagesize=A4, pageTemplates=[PageTemplate(frames=frames, onPage=draw)])
        document.build(flow)
        return Document(f"reportlab-{name}.pdf", sink.getvalue(), text, header)

    def flow(texts: Any) -> list[Any]:
        return [Paragraph(html.escape(text), style) for text in texts]

    table = [*flow(PARAGRAPHS[:1]), Table([list(row) for row in ROWS]), *flow(PARAGRAPHS[1:2])]
    return [
        written("plain", flow(PARAGRAPHS), _joined(*PARAGRAPHS)),
        written("columns", flow(LONG), _joined(*LONG), columns=2),
        written("header", flow(LONG), _joined(*LONG), header=HEADER),
        written("table", table, _joined(PARAGRAPHS[0], _table(), PARAGRAPHS[1])),
        scanned(),
    ]


def scanned() -> Document:
    """A page that is a picture of text."""
    from PIL import Image, ImageDraw
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    image = Image.new("L", (1200, 400), 255)
    ImageDraw.Draw(image).text((20, 20), "\n".join(PARAGRAPHS[0].split(". ")))
    sink = io.BytesIO()
    canvas = Canvas(sink)
    canvas.drawImage(ImageReader(image), 20, 500, 560, 190)
    canvas.save()
    return Document("scanned.pdf", sink.getvalue(), "")


_PIPES = ["| " + " | ".join(row) + " |" for row in ROWS]
MARKDOWN = _joined("# Annual report", f"{PARAGRAPHS[0]}[^1]", *PARAGRAPHS[1:3],
                   f"- {PARAGRAPHS[3]}\n- *{PARAGRAPHS[5]}*", "\n".join([_PIPES[0], "|---|---|---|", *_PIPES[1:]]),
                   f"[^1]: {NOTE}")  # fmt: skip
MARKED = _joined("Annual report", *PARAGRAPHS[:4], PARAGRAPHS[5], _table(), NOTE)


def pandoc(folder: Path) -> list[Document]:
    made = []
    for kind in ("docx", "html"):
        target = folder / f"pandoc.{kind}"
        _run("pandoc", "-s", "--metadata", "title= ", "-f", "markdown", "-o", str(target), given=MARKDOWN)
        made.append(Document(target.name, target.read_bytes(), MARKED))
    return made


def libreoffice(folder: Path) -> list[Document]:
    """PDF and DOCX of pages, and PDF of a DOCX with footnotes."""
    made = []
    for name in ("plain", "table", "hebrew", "lists"):
        source = folder / f"office-{name}.html"
        source.write_text(page(name), "utf-8")
        for kind, filters in (("pdf", "pdf:writer_web_pdf_Export"), ("docx", "docx:MS Word 2007 XML")):
            _run("soffice", "--headless", "--writer", "--convert-to", filters, "--outdir", str(folder), str(source))
            target = source.with_suffix(f".{kind}")
            made.append(Document(target.name, target.read_bytes(), PAGES[name][2]))
    if shutil.which("pandoc"):
        source = folder / "office-notes.docx"
        _run("pandoc", "-s", "-f", "markdown", "-o", str(source), given=MARKDOWN)
        _run("soffice", "--headless", "--convert-to", "pdf", "--outdir", str(folder), str(source))
        made.append(Document("office-notes.pdf", source.with_suffix(".pdf").read_bytes(), MARKED))
    return made


def docx(_: Path) -> list[Document]:
    import docx as library
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    def saved(name: str, document: Any, text: str, repeated: str = "") -> Document:
        sink = io.BytesIO()
        document.save(sink)
        return Document(f"docx-{name}.docx", sink.getvalue(), text, repeated)

    table, header, changes, runs = (library.Document() for _ in range(4))
    table.add_paragraph(PARAGRAPHS[0])
    grid = table.add_table(len(ROWS), len(ROWS[0]))
    for number, row in enumerate(ROWS):
        for place, cell in enumerate(row):
            grid.cell(number, place).text = cell
    table.add_paragraph(PARAGRAPHS[1])
    header.sections[0].header.paragraphs[0].text = HEADER
    for text in PARAGRAPHS:
        header.add_paragraph(text)
    paragraph = changes.add_paragraph(f"{PARAGRAPHS[0]} ")
    for tag, word, holder in (("ins", "inserted", "t"), ("del", "deleted", "delText")):
        run = f'<w:r><w:{holder} xml:space="preserve">{word} words</w:{holder}></w:r>'
        paragraph._p.append(parse_xml(f'<w:{tag} {nsdecls("w")} w:id="1" w:author="a">{run}</w:{tag}>'))
    paragraph = runs.add_paragraph()
    for place in range(0, len(PARAGRAPHS[2]), 3):  # as Word does after an edit or a check of spelling
        paragraph.add_run(PARAGRAPHS[2][place : place + 3]).bold = place % 2 == 0
    runs.add_paragraph("name\tvalue").add_run().add_break()
    runs.paragraphs[-1].add_run("next line")
    return [
        saved("table", table, _joined(PARAGRAPHS[0], _table(), PARAGRAPHS[1])),
        saved("header", header, _joined(*PARAGRAPHS), HEADER),
        saved("changes", changes, f"{PARAGRAPHS[0]} inserted words"),
        saved("runs", runs, _joined(PARAGRAPHS[2], "name value next line")),
    ]


def pages(_: Path) -> list[Document]:
    """Web pages: as the browser gets them, with what it does not show."""
    inline = "".join(f"<p><span>{p[:1]}</span><b>{html.escape(p[1:9])}</b>{html.escape(p[9:])}</p>" for p in PARAGRAPHS)
    shown = f"<div>{PARAGRAPHS[0]}</div><div>{PARAGRAPHS[3]}<br>{PARAGRAPHS[5]}</div>"
    latin = f"<html><meta charset=iso-8859-1><p>Caf\xe9 \xe0 la carte</p>{_p(PARAGRAPHS[0])}"
    head = "<head><title>Report</title><script>var a='nothing'</script><style>p{}</style></head>"
    rest = "<template>not shown</template><noscript>no script</noscript></body>"
    hidden = f"{head}<body><!-- no -->{shown}{rest}"
    bodies = {
        "inline": (inline.encode(), _joined(*PARAGRAPHS)),
        "hidden": (hidden.encode(), _joined(PARAGRAPHS[0], PARAGRAPHS[3], PARAGRAPHS[5])),
        "latin": (latin.encode("latin-1"), _joined("Caf\xe9 \xe0 la carte", PARAGRAPHS[0])),
    }
    made = [Document(f"page-{name}.html", data, text) for name, (data, text) in bodies.items()]
    return made + [
        Document(f"page-{name}.html", page(name).encode(), PAGES[name][2]) for name in ("table", "hebrew", "lists")
    ]


def _run(*command: str, given: str | None = None) -> None:
    subprocess.run(command, input=given and given.encode(), capture_output=True, check=True, timeout=120)


#: Writers, and the programs and modules that each needs.
WRITERS: dict[Callable[[Path], list[Document]], tuple[str, ...]] = {
    chromium: ("chromium",), reportlab: ("reportlab", "PIL"), pandoc: ("pandoc",), libreoffice: ("soffice",),
    docx: ("docx",), pages: (),
}  # fmt: skip


def written(folder: Path) -> list[Document]:
    """The documents of all writers whose programs are installed."""
    return [
        document
        for writer, needs in WRITERS.items()
        if all(shutil.which(name) or importlib.util.find_spec(name) for name in needs)
        for document in writer(folder)
    ]
