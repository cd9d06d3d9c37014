"""Which encodings the bytes of a text that is not UTF-8 may be in, told by the letters that they would be. Pure.

An encoding is likely if its words look like words: of one script, in small letters, capitals, or a capital and small
letters; with the letters that one language adds to ASCII; for Chinese, Japanese and Korean of common characters.
(charset-normalizer was tried: of a few lines, as of a header, it takes Czech for GB18030 and German for cp1250.)
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from itertools import islice

#: How much of a text is looked at, in bytes; and how many of its words that are not ASCII.
_SAMPLE, _WORDS = 1 << 16, 300
#: The share of words that must look right.
_ENOUGH = 0.9
#: The letters that languages add to ASCII, by the encodings that have them. Of equal letters the first encoding stands.
_LATIN = {
    "WINDOWS-1252": (
        "àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "ãáâàçéêíóôõú", "àèéìíîòóùú", "åäöéæø", "áðéíóúýþæö", "ëéïóöüèê",
    ),
    "WINDOWS-1250": (
        "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţșț", "čćđšž",
    ),
    "WINDOWS-1254": ("çğıöşüâîûİ",),
    "WINDOWS-1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
    "MACINTOSH": ("àâæçéèêëîïôœùûüÿ", "äöüß", "áéíñóúü", "ãáâàçéêíóôõú", "àèéìíîòóùú", "åäöéæø"),
    "CP850": ("àâæçéèêëîïôùûüÿ", "äöüß", "áéíñóúü", "ãáâàçéêíóôõú", "àèéìíîòóùú", "åäöéæø"),
}  # fmt: skip
#: The ranges of letters of other scripts.
_SCRIPTS = {
    "WINDOWS-1251": "А-яЁёЂ-ЏА-яђ-џҐґ", "KOI8-R": "А-яЁё", "CP866": "А-яЁёЄєЇїЎў", "WINDOWS-1253": "Ά-ώ",
    "WINDOWS-1255": "\u0591-\u05f4", "WINDOWS-1256": "\u0621-\u0652\u067e-\u06d2", "CP874": "\u0e01-\u0e5b",
}  # fmt: skip
#: What no word of the script has: Russian that begins with a sign or ends in a hard one, a final sigma within, ...
_ODD = {
    **dict.fromkeys(("WINDOWS-1251", "KOI8-R", "CP866"), "^[ъьыЪЬЫ]|[ъЪ]$|^[ЂЃЉЊЌЋЏ]$"),
    "WINDOWS-1253": "[ς](?!$)|[ΰΐ](?!$)", "WINDOWS-1255": "^[\u0591-\u05c7]|[םןץףך](?!$)",
    "WINDOWS-1256": "^[\u064b-\u0652]|ة(?!$)|ى(?!$)", "CP874": "^[\u0e30-\u0e3a\u0e45\u0e47-\u0e4e]",
}  # fmt: skip
#: Marks that are no letters and may stand beside a word.
_MARKS = "\u00a0¡¿§©®°«»·€£±½¼–—‘’“”„…‚•™№؟،؛\u200e\u200f"
#: A letter of a word that runs on in ASCII: what a Latin text looks like in encodings of Chinese, Japanese and Korean.
_BESIDE_ASCII = re.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")
_SPACED = re.compile(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])")
_WORD = re.compile(rb"[^\s!-&(-,./:-@\[-`{-~]*[\x80-\xff][^\s!-&(-,./:-@\[-`{-~]*")


def likely_encodings(data: bytes) -> tuple[str, ...]:
    """The names of the likely encodings, known to Python and iconv, the likeliest first; none if the text is UTF-8, if
    only a little of it is not, or if nothing speaks for one."""
    data = data[:_SAMPLE]
    if _decoded(data, "utf-8") is not None:
        return ()
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data, final=len(data) < _SAMPLE)
    bad = sum("\udc80" <= character <= "\udcff" for character in text)
    if not bad or bad < sum(character > "\x7f" for character in text) - bad:
        return ()
    words = b" ".join(match[0] for match in islice(_WORD.finditer(data), _WORDS))
    scores = {name: score for name, judge in _JUDGES.items() if (score := judge(name, data, words)) >= _ENOUGH}
    best = max(scores.values(), default=0.0)
    likely = [name for name in scores if scores[name] > best - 0.05]
    texts = {name: data.decode(name, "replace") for name in likely}
    return tuple(name for i, name in enumerate(likely) if texts[name] not in [texts[each] for each in likely[:i]])[:3]


def encoding_hint(encodings: tuple[str, ...]) -> str:
    """What to say of a row that is not UTF-8, of a text that may be in these encodings."""
    if not encodings:
        return " (if the file is in another encoding, set the encoding option)"
    names = " or ".join(encodings)
    is_ = "may be" if len(encodings) > 1 else "seems to be"
    return f" (by its letters the file {is_} {names}: set the encoding option)"


def _decoded(data: bytes, name: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(name)().decode(data, final=len(data) < _SAMPLE)
    except UnicodeDecodeError:
        return None


def _words(text: str) -> list[str]:
    """The words that are not ASCII, without the marks around them."""
    words = (word for each in text.split(" ") if (word := each.strip(_MARKS + "'-")))
    return [word for word in words if not word.isascii()]


def _latin(name: str, data: bytes, encoded: bytes) -> float:
    if _decoded(data, name) is None:
        return 0.0
    text = encoded.decode(name)
    words = _words(text)
    letters = [character for word in words for character in word if character > "\x7f" and character not in _MARKS]
    if not letters:  # typographic marks alone, as of Word
        return float(name == "WINDOWS-1252" and all(c < "\x80" or c in _MARKS for c in text))
    if len(letters) > 0.6 * len("".join(words)) and len(words) > 1:  # another script
        return 0.0
    cased = sum(map(_is_a_word, words)) / len(words)
    one = max(sum(c.lower() in alphabet or c in alphabet for c in letters) for alphabet in _LATIN[name])
    several = sum(c.lower() in "".join(_LATIN[name]) for c in letters)
    return min(cased, max(one, 0.94 * several) / len(letters))


def _is_a_word(word: str) -> bool:
    """Whether a Latin word has letters only, and capitals where they may be."""
    parts = re.split("['’-]", word)
    return all(
        (part.isalpha() and (part[1:].islower() or part.isupper() or len(part) < 2)) or not part or part.isdecimal()
        for part in parts
    )


def _script(name: str, data: bytes, encoded: bytes) -> float:
    if _decoded(data, name) is None:
        return 0.0
    words = [
        part for word in _words(encoded.decode(name)) for part in re.split("['’-]", word) if part and not part.isascii()
    ]
    good = re.compile(f"[{_SCRIPTS[name]}]+")
    odd = re.compile(_ODD[name])
    fits = [
        bool(good.fullmatch(word)) and not odd.search(word)
        and (word[1:] == word[1:].lower() or word == word.upper()) for word in words
    ]  # fmt: skip
    if not fits:
        return 0.0
    capitals = sum(word != word.lower() and word == word.upper() for word in words) > len(words) / 2
    return float(sum(fits) / len(fits) - 0.06 * capitals)


def _common(characters: str, codec: str, first: int, last: int) -> float:
    """The share of characters that a national standard counts among the common ones, by their first byte."""
    encoded = (character.encode(codec, "ignore") for character in characters)
    return sum(len(each) == 2 and first <= each[0] <= last for each in encoded) / max(1, len(characters))


def _east_asian(name: str, data: bytes, _: bytes) -> float:
    whole = (_decoded(data, name) or "")[: 40 * _WORDS]
    text = "".join(character for character in whole if character > "\x7f")
    letters = "".join(c for c in text if c.isalpha())
    if not letters or len(letters) < 0.6 * len(text) or 4 * len(_BESIDE_ASCII.findall(whole)) > len(letters):
        return 0.0
    kana = sum("\u3041" <= c <= "\u30fc" for c in letters) / len(letters)
    if name in ("CP932", "EUC-JP"):
        share = kana + (1 - kana) * _common(_without_kana(letters), "cp932", 0x88, 0x97)
        return share if kana > 0.15 else 0.9 * share  # a header of two words may be without kana
    if kana > 0.05:
        return 0.0
    if name == "CP949":
        return _common(letters, "euc_kr", 0xB0, 0xC8)
    if 10 * len(_SPACED.findall(whole)) > len(letters):  # Korean
        return 0.0
    return _common(letters, *(("gb2312", 0xB0, 0xD7) if name == "GB18030" else ("big5", 0xA4, 0xC6)))


def _without_kana(letters: str) -> str:
    return "".join(c for c in letters if not "\u3041" <= c <= "\u30fc")


#: From the likeliest on, of those that look equally right.
_JUDGES: dict[str, Callable[[str, bytes, bytes], float]] = {
    "WINDOWS-1252": _latin,
    "CP932": _east_asian, "EUC-JP": _east_asian, "CP949": _east_asian, "GB18030": _east_asian, "BIG5": _east_asian,
    **dict.fromkeys(_SCRIPTS, _script), **dict.fromkeys(list(_LATIN)[1:], _latin),
}  # fmt: skip
