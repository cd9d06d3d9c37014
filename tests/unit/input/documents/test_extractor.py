"""The child that reads documents: one that ends it or takes too long costs no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from contract.errors import MissingExtra
from producer.input.documents import extractor as module
from producer.input.documents.extractor import Extractor
from producer.input.documents.text import Unreadable
from tests.documents.small import docx, pdf

MEMORY = 256 << 20


@pytest.fixture
def extractor() -> Iterator[Extractor]:
    with Extractor(MEMORY) as made:
        yield made


def why(extractor: Extractor, name: str, data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        extractor.text(name, data)
    return caught.value.why


def test_one_child_reads_many_documents_and_survives_the_broken(extractor: Extractor):
    assert extractor.text("a.pdf", pdf("Tower")).text == "Tower\n\f"
    child = extractor._child
    assert "encrypted" in why(extractor, "b.pdf", pdf("x", encrypted=True))
    assert extractor.text("caf\udce9.txt", "caf\xe9".encode()).text == "caf\xe9"
    assert extractor._child == child


def test_a_child_that_dies_is_replaced(extractor: Extractor):
    extractor.text("a.txt", b"a")
    assert extractor._child
    os.kill(extractor._child[0].pid, 9)
    assert "crashes the program" in why(extractor, "a.txt", b"a")
    assert extractor.text("b.txt", b"b").text == "b"


@pytest.mark.skipif(sys.platform != "linux", reason="cannot limit the memory")
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bomb.docx", docx(body="<w:p><w:r><w:t>word</w:t></w:r></w:p>" * (1 << 19))),
        ("part.docx", docx(body="<w:p><w:r><w:t>word</w:t></w:r></w:p>" * (1 << 18))),
        ("page.html", b"<p>word" * (1 << 20)),
    ],
)
def test_a_bomb_costs_only_itself(name: str, data: bytes):
    """Whether the archive or the tree does not fit."""
    with Extractor(24 << 20) as extractor:
        assert "24 MiB of memory" in why(extractor, name, data)
        assert extractor.text("b.txt", b"b").text == "b"


def test_a_document_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    slow = "import sys,time; time.sleep(600)"
    monkeypatch.setattr(module, "program", lambda _: [sys.executable, "-c", slow])
    with Extractor(MEMORY, seconds=0.2) as extractor:
        assert "more than 0.2 s" in why(extractor, "slow.pdf", b"x")
        monkeypatch.undo()
        extractor._seconds = 60
        assert extractor.text("b.txt", b"b").text == "b"


def test_a_file_that_is_too_large_never_reaches_the_child(extractor: Extractor):
    assert "BULKQA_READ_MEMORY" in why(extractor, "large.pdf", bytes(extractor.most + 1))
    assert extractor._child is None


def test_a_missing_library_is_no_error_of_a_document(monkeypatch: pytest.MonkeyPatch):
    without = (
        "import sys; sys.modules['pypdfium2'] = None; from producer.input.documents import child; "
        "child.main(int(sys.argv[1]), int(sys.argv[2]))"
    )
    monkeypatch.setattr(module, "program", lambda _: [sys.executable, "-c", without])
    with Extractor(MEMORY) as extractor, pytest.raises(MissingExtra, match="bulkqa\\[documents\\]"):
        extractor.text("a.pdf", pdf("x"))
