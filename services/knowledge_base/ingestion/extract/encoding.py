"""Which encoding bytes without a mark are in, where they are not UTF-8.

Each candidate that fits is judged by how common the characters are that it gives: a wrong one gives rare ones.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

SAMPLE = 65_536
_FEW_NOT_TEXT = 0.01
_ESCAPES = ((b"\x1b$B", "iso2022_jp_2"), (b"\x1b$@", "iso2022_jp_2"), (b"\x1b$)C", "iso2022_kr"))
_HZ = re.compile(rb"~\{(?:[!-~]{2})+~\}")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd\ufffe\uffff]")
_WORD = re.compile(r"[^\W\d_]+")
# By script: its code pages, its letters, and the commonest of them in running text of any of its languages.
_SCRIPTS = (
    (("koi8_r", "koi8_u", "cp1251", "cp866", "iso8859_5", "mac_cyrillic"), "\u0400-\u04ff", "оеаинтсрвлкмдпуія"),
    (("cp1253", "iso8859_7"), "\u0370-\u03ff", "αοιετσνηυρπκμλςάίό"),
    (("cp1255", "iso8859_8"), "\u05d0-\u05ea", "יולהאמרתשבנםדחקעפ"),
    (("cp1256", "iso8859_6"), "\u0620-\u06ff", "اليمنتوربدعهسفقأةك"),
    (("cp874",), "\u0e01-\u0e5b", "านรอกเงมยลวดทตสปหขจคพบแใไผธศชณะัี่้ิุู็์โำ"),
)
_SIGNS_IN_WORDS = re.compile(r"(?<=[^\W\d_])[\u00a1-\u00bf\u00d7\u00f7](?=[^\W\d_])|(?<=[a-z])[¹³±¿](?!\w)")
_TURKISH = re.compile("[ýþðÝÞÐ]")
_NOT_TURKISH = re.compile("[áéíóúæÁÉÍÓÚÆ]")


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 and UTF-32 without a mark. No other encoding of text has a zero in it."""
    sample = data[: SAMPLE - SAMPLE % 4]
    if b"\x00" not in sample or len(data) % 2:
        return None
    if len(data) % 4 == 0 and sample[:400].count(0) > len(sample[:400]) * 0.6:
        for name in ("utf-32-le", "utf-32-be"):
            if _is_text(sample, name):
                return name
    odd = sample[1::2].count(0) >= sample[0::2].count(0)
    order = ("utf-16-le", "utf-16-be") if odd else ("utf-16-be", "utf-16-le")
    return next((name for name in order if _is_text(sample, name)), None)


def wide_without_zeros(data: bytes) -> str | None:
    """UTF-16 with nothing of ASCII in it, not even a space. Much is that by accident, so everything else goes first."""
    possible = [name for name in ("utf-16-le", "utf-16-be") if len(data) % 2 == 0 and _is_text(data[:SAMPLE], name)]
    # The right one keeps to a few scripts.
    return min(
        possible, key=lambda name: len({ord(c) >> 8 for c in data[:SAMPLE].decode(name, "replace")}), default=None
    )


def escaped_encoding(data: bytes) -> str | None:
    """Those that write everything in seven bits and switch to and fro."""
    sample = data[:SAMPLE]
    for mark, name in _ESCAPES:
        if mark in sample and _decodes(sample, name):
            return name
    return "hz" if _HZ.search(sample) and _decodes(sample, "hz") else None


def guess_encoding(data: bytes) -> str:
    """Of bytes that are neither of these nor UTF-8. Western code pages cannot be told apart: it is the commonest."""
    sample = _whole_characters(data)
    scores = {name: score for name, rate in _EAST_ASIAN.items() if (score := _score(sample, name, rate)) > 0}
    for names, letters, common in _SCRIPTS:
        scores.update({name: _share_of_common(sample, name, letters, common) for name in names})
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= _SURE else _western(sample)


_SURE = 0.5


def _western(sample: bytes) -> str:
    """These give letters in any case, so it is what no language writes that speaks against one."""
    text = sample.decode("cp1252", "replace")
    beyond = sum(character > "\xbf" for character in text)
    if len(_TURKISH.findall(text)) * 3 > beyond and not _NOT_TURKISH.search(text):
        return "cp1254"
    # Danes write the one, Italians and the French the others: together they are Czech.
    czech = "ø" in text and ("ì" in text or "ù" in text)
    wrong = {name: len(_SIGNS_IN_WORDS.findall(sample.decode(name, "replace"))) for name in _LATIN}
    best = min(_LATIN, key=lambda name: wrong[name])
    if czech or wrong["cp1252"] * 10 > beyond:
        return best if best != "cp1252" else "cp1250"
    return "cp1252"


_LATIN = ("cp1252", "cp1250", "iso8859_2")


def _is_text(sample: bytes, name: str) -> bool:
    try:
        text = sample.decode(name)
    except UnicodeDecodeError as error:
        # The sample may end within a character.
        if error.start < len(sample) - 4:
            return False
        text = sample[: error.start].decode(name)
    if len(_CONTROL.findall(text)) > len(text) * _FEW_NOT_TEXT:
        return False
    return sum(c.isprintable() or c.isspace() for c in text) > 0.97 * len(text)


def _decodes(sample: bytes, name: str) -> bool:
    try:
        sample.decode(name)
    except UnicodeDecodeError as error:
        return error.start > len(sample) - 8 and len(sample) == SAMPLE
    return True


def _whole_characters(data: bytes) -> bytes:
    """A sample that ends at a line's end, so that no character is cut in two."""
    sample = data[:SAMPLE]
    if len(data) > SAMPLE:
        end = sample.rfind(b"\n")
        return sample[: end + 1] if end > SAMPLE // 2 else sample
    return sample


def _score(sample: bytes, name: str, rate: Callable[[str, str], float]) -> float:
    text = sample.decode(name, "replace")
    beyond = "".join(character for character in text if character > "\x7f")
    broken = beyond.count("\ufffd")
    # One broken byte in a hundred is damage; more is another encoding.
    if not beyond or broken * 50 > len(beyond):
        return 0
    return rate(beyond, name) - _odd(text)


def _odd(text: str) -> float:
    """East Asian letters stuck to Latin ones: what accents within western words look like if they are taken for the
    halves of wider characters."""
    words = _WORD.findall(text)
    mixed = sum(any(c > "\u2e80" for c in word) and any(c < "\u0250" for c in word) for word in words)
    return mixed / max(1, sum(any(c > "\x7f" for c in word) for word in words))


def _japanese(text: str, name: str) -> float:
    kana = sum("\u3041" <= c <= "\u30ff" for c in text)
    # Half-width ones are what other encodings look like.
    half_width = sum("\uff61" <= c <= "\uff9f" for c in text)
    if half_width > kana and half_width * 10 > len(text):
        return 0
    # In running text about half is kana; a list of names may have none, and is written in common characters.
    common = kana + sum(_is_first_level(c, "cp932", 0x88, 0x98) or _is_mark(c) for c in text)
    return max(min(1.0, 2.5 * (kana - 2 * half_width) / len(text)), _KANJI_ALONE[name] * common / len(text))


# What is in the one in EUC-JP could be Chinese just as well.
_KANJI_ALONE = {"cp932": 0.95, "euc_jp": 0.7}


def _korean(text: str, name: str) -> float:
    hangul = [c for c in text if "\uac00" <= c <= "\ud7a3"]
    common = sum(_is_first_level(c, "euc_kr", 0xB0, 0xC8) for c in hangul)
    return common / len(text) * 1.1


def _simplified(text: str, _: str) -> float:
    return sum(_is_first_level(c, "gb2312", 0xB0, 0xD7) or _is_mark(c) for c in text) / len(text)


def _traditional(text: str, _: str) -> float:
    return sum(_is_first_level(c, "big5", 0xA4, 0xC6) or _is_mark(c) for c in text) / len(text)


_MARKS = "“”…—·\u2018\u2019"


def _is_mark(character: str) -> bool:
    return "\u3000" <= character <= "\u301f" or "\uff01" <= character <= "\uff5e" or character in _MARKS


def _is_first_level(character: str, name: str, first: int, last: int) -> bool:
    """Whether it is among the common characters, which these standards keep apart from the rare."""
    if character < "\u2e80":
        return False
    try:
        code = character.encode(name)
    except UnicodeEncodeError:
        return False
    return first <= code[0] <= last


_EAST_ASIAN: Mapping[str, Callable[[str, str], float]] = {
    "cp932": _japanese,
    "euc_jp": _japanese,
    "cp949": _korean,
    "gb18030": _simplified,
    "big5hkscs": _traditional,
}


def _share_of_common(sample: bytes, name: str, letters: str, common: str) -> float:
    """Most letters are small ones and common; in a wrong code page small letters become capitals, or signs."""
    text = sample.decode(name, "replace")
    beyond = [character for character in text if character > "\x7f" and character not in _PUNCTUATION]
    inside = len(re.findall(f"[{letters}]", "".join(beyond)))
    # Words of an alphabet are written in it alone; accents stand between letters of the Latin one.
    words = [word for word in re.findall(rf"[a-zA-Z{letters}]+", text) if not word.isascii()]
    # A single letter now and then is an accent of a Latin language.
    if not beyond or inside < 0.7 * len(beyond) or max(map(len, words), default=0) < 3:
        return 0
    mixed = sum(re.search("[a-zA-Z]", word) is not None for word in words) / len(words)
    turned = sum(any(a.islower() and b.isupper() for a, b in pairwise(word)) for word in words) / len(words)
    return sum(letter in common for letter in beyond) / len(beyond) - mixed - turned


_PUNCTUATION = "\xa0«»„“”…№\u2013\u2014\u2018\u2019"
