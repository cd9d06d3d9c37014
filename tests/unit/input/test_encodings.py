"""The encoding that a remedy names is the one that the text was written in; where nothing tells, none is named."""

from __future__ import annotations

import pytest

from contract.errors import InputError
from producer.input.formats.encodings import likely_encodings
from tests.unit.input.test_files import advised
from tests.unit.input.test_rows import read

TEXTS = {
    "cp1251": "вопрос|текст\nКогда построен маяк?|Маяк на Скарве построен в 1874 году. Он виден с берега.\n",
    "koi8-r": "вопрос|текст\nКогда построен маяк?|Маяк на Скарве построен в 1874 году. Он виден с берега.\n",
    "cp866": "вопрос|текст\nКогда построен маяк?|Маяк на Скарве построен в 1874 году. Он виден с берега.\n",
    "cp932": "質問|文脈\n灯台はいつ建てられましたか|灯台は1874年に花崗岩で建てられた。\n",
    "euc-jp": "質問|文脈\n灯台はいつ建てられましたか|灯台は1874年に花崗岩で建てられた。\n",
    "gbk": "问题|上下文\n灯塔是什么时候建的？|灯塔建于1874年，用的是花岗岩。\n",
    "big5": "問題|內文\n燈塔是什麼時候建的？|燈塔建於1874年，用的是花崗岩。\n",
    "cp949": "질문|문맥\n등대는 언제 세워졌습니까?|등대는 1874년에 화강암으로 세워졌다.\n",
    "cp1250": "otázka|kontext\nKdy byl postaven maják?|Maják na ostrově Skarvholm byl postaven roku 1874 z žuly.\n",
    "cp1252": "frågan|text\nNär byggdes fyren på Öja?|Fyren byggdes 1874 av bröderna Åström.\n",
    "cp1253": "ερώτηση|κείμενο\nΠότε χτίστηκε ο φάρος;|Ο φάρος χτίστηκε το 1874 από γρανίτη.\n",
    "cp1254": "soru|bağlam\nFener ne zaman yapıldı?|Fener 1874 yılında granitten yapıldı, ışığı güçlüdür.\n",
    "cp1255": "שאלה|הקשר\nמתי נבנה המגדלור?|המגדלור נבנה בשנת 1874 מאבן שחם.\n",
    "cp1256": "سؤال|نص\nمتى بنيت المنارة؟|بنيت المنارة في عام 1874 من الجرانيت.\n",
    "mac-roman": "numéro|réponse\nQuand le phare a-t-il été bâti ?|Le phare a été bâti en 1874 à côté de l’île.\n",
    "cp850": "numéro|réponse\nQuand le phare a-t-il été bâti ?|Le phare a été bâti en 1874 à côté de la mer.\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_letters_tell_the_encoding_and_the_remedy_reads_it(encoding: str) -> None:
    text = TEXTS[encoding]
    data = text.encode(encoding)
    assert data.decode(likely_encodings(data)[0]) == text
    _, options = advised(data)
    question, context = text.split("\n")[0].split("|")
    [row] = read(data, question=question, context=context, **options)
    assert [row.question, row.context] == text.split("\n")[1].split("|")


@pytest.mark.parametrize("encoding", TEXTS)
def test_rows_below_an_ascii_header_say_it_too(encoding: str) -> None:
    text = "question|context\n" + TEXTS[encoding].split("\n")[1] + "\n"
    [row] = read(text.encode(encoding))
    assert row.error
    assert text.encode(encoding).decode(likely_encodings(text.encode(encoding))[0]) == text
    assert likely_encodings(text.encode(encoding))[0] in row.error.message


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe|Quand le café a-t-il été bâti ?|¿Cuándo se construyó?\n", "cp1252"),  # several languages
        ("What does it cost?|It’s £5 – or “three” pounds\n", "cp1252"),
        ("Пишет ли он в 1788 г.?|Нет, не пишет.\n", "cp1251"),
        ("ВОПРОС|ОТВЕТ\nКогда?|Вчера\n", "cp1251"),
    ],
)
def test_a_little_text_is_enough(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    assert data.decode(likely_encodings(data)[0]) == text


def test_an_encoding_of_seven_bits_is_not_taken_for_ascii() -> None:
    text = "question|context\n灯台はいつ建てられましたか|1874年\n"
    _, options = advised(text.encode("iso2022_jp"))
    assert read(text.encode("iso2022_jp"), **options)[0].context == "1874年"


def test_where_several_encodings_give_words_each_is_named() -> None:
    data = "질문|문맥\n등대|화강암\n".encode("cp949")  # which are common Chinese characters as well
    assert len(likely_encodings(data)) > 1
    with pytest.raises(InputError) as caught:
        read(data)
    assert "for example: --encoding CP949 or --encoding " in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"question|context\nq|\xff\xfe\x81\x8d\x8f\x90\x9d\n",  # letters of nothing
        "question|context\nq|ü — é 日本\n".encode() + b"q|\x80\n",  # UTF-8 with damage
        b"question|context\nq|c\n",
    ],
)
def test_without_evidence_no_encoding_is_named(data: bytes) -> None:
    assert likely_encodings(data) == ()
    for row in read(data):
        assert row.error is None or row.error.message.endswith(
            "(if the file is in another encoding, set the encoding option)"
        )


def test_a_header_that_tells_nothing_gets_a_remedy_without_a_name() -> None:
    with pytest.raises(InputError, match="Name the one that it was written in with --encoding"):
        read(b"\x81\x8d\x8f\x90\x9d\xff\xfe|context\nq|c\n")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told_below_an_ascii_header(encoding: str) -> None:
    data = ("question|context\n" + "灯塔是什么时候建的|灯塔建于花岗岩\n" * 40).encode(encoding)
    with pytest.raises(InputError, match=encoding.replace("-le", "LE").replace("-be", "BE").upper()):
        read(data)
