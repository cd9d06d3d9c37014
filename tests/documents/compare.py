"""`python -m tests.documents.compare [-v]`: the libraries that read documents, compared on those of `writers`.

A table for PDF, DOCX and HTML: words of the text that were found in reading order, words found at all, words that are
not in the text (glued, split or not shown), seconds and MiB for all files of a kind, each library in its own process.
"""

from __future__ import annotations

import difflib
import io
import multiprocessing
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.documents.writers import Document, written


def pypdfium2(data: bytes) -> str:
    import pypdfium2

    with pypdfium2.PdfDocument(data) as document:
        return "\n\f".join(each.get_textpage().get_text_range() for each in document)


def pypdf(data: bytes) -> str:
    import pypdf

    return "\n\f".join(each.extract_text() for each in pypdf.PdfReader(io.BytesIO(data)).pages)


def pdfminer(data: bytes) -> str:
    from pdfminer.high_level import extract_text

    return str(extract_text(io.BytesIO(data)))


def python_docx(data: bytes) -> str:
    import docx
    from docx.table import Table

    def lines(holder: Any) -> list[str]:
        found = []
        for block in holder.iter_inner_content():
            if isinstance(block, Table):
                found += ["\t".join("\n".join(lines(cell)) for cell in row.cells) for row in block.rows]
            else:
                found.append(block.text)
        return found

    return "\n".join(lines(docx.Document(io.BytesIO(data))))


def docx2txt(data: bytes) -> str:
    import docx2txt

    return str(docx2txt.process(io.BytesIO(data)))


def mammoth(data: bytes) -> str:
    import mammoth

    return bulkqa(b"<html>" + mammoth.convert_to_html(io.BytesIO(data)).value.encode())


def bulkqa(data: bytes) -> str:
    """What is used: pypdfium2, and the trees of lxml."""
    from producer.input.documents.extract import extract
    from producer.input.documents.text import Unreadable

    try:
        return extract("" if data[:2] in (b"PK", b"%P") else ".html", data).text
    except Unreadable:
        return ""


def beautifulsoup(data: bytes) -> str:
    import bs4

    return bs4.BeautifulSoup(data, "lxml").get_text("\n")


def selectolax(data: bytes) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(data)
    tree.strip_tags(["script", "style", "template", "noscript", "title"])
    return tree.body.text(separator="\n") if tree.body else ""


def inscriptis(data: bytes) -> str:
    import inscriptis
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8")
    return str(inscriptis.Inscriptis(lxml.html.document_fromstring(data, parser=parser)).get_text())


def trafilatura(data: bytes) -> str:
    import trafilatura

    return trafilatura.extract(data, favor_recall=True) or ""


LIBRARIES: dict[str, tuple[Callable[[bytes], str], ...]] = {
    ".pdf": (bulkqa, pypdfium2, pypdf, pdfminer),
    ".docx": (bulkqa, python_docx, docx2txt, mammoth),
    ".html": (bulkqa, beautifulsoup, selectolax, inscriptis, trafilatura),
}


def words(text: str) -> list[str]:
    return re.sub("[\N{SOFT HYPHEN}\u200e\u200f\u202a-\u202e]", "", text).split()


def scores(document: Document, text: str) -> tuple[int, int, int, int]:
    """Words of a document; those found in order, at all, and words that are too many."""
    truth, found = words(document.text), words(text.replace(document.repeated or "\0", ""))
    ordered = sum(
        block.size for block in difflib.SequenceMatcher(None, truth, found, autojunk=False).get_matching_blocks()
    )
    common = (Counter(truth) & Counter(found)).total()
    return len(truth), ordered, common, len(found) - common


def read_all(library: Callable[[bytes], str], documents: list[Document], pipe: Any) -> None:
    texts, start, before = [], time.perf_counter(), _peak()
    for document in documents:
        try:
            texts.append(library(document.data))
        except Exception as error:
            print(f"{library.__name__} {document.name}: {error!r}", file=sys.stderr)
            texts.append("")
    pipe.send((texts, time.perf_counter() - start, _peak() - before))


def _peak() -> float:
    """MiB: that of this process alone, which getrusage does not give after a spawn."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        documents = written(Path(folder))
    print(
        "| | library | words | in order | found | too many | s | MiB |", "|---|---|---|---|---|---|---|---|", sep="\n"
    )
    for kind, libraries in LIBRARIES.items():
        held = [document for document in documents if document.name.endswith(kind)]
        for library in libraries:
            receiver, sender = multiprocessing.Pipe()
            child = multiprocessing.get_context("spawn").Process(target=read_all, args=(library, held, sender))
            child.start()
            texts, seconds, peak = receiver.recv()
            child.join()
            each = [scores(document, text) for document, text in zip(held, texts, strict=True)]
            total, ordered, common, more = map(sum, zip(*each, strict=True))
            print(f"| {kind} {len(held)} | {library.__name__} | {total} | {ordered / total:.1%} | {common / total:.1%} "
                  f"| {more / total:.1%} | {seconds:.2f} | {peak:.0f} |")  # fmt: skip
            if "-v" in sys.argv:
                for document, (words_, in_order, found, extra) in zip(held, each, strict=True):
                    if (in_order, found, extra) != (words_, words_, 0):
                        print(
                            f"    {document.name}: {words_} words, {in_order} in order, {found} found, {extra} too many"
                        )


if __name__ == "__main__":
    main()
