"""The text of a file whose encoding nobody states: Unicode where it can be, else what its bytes look like."""

from __future__ import annotations

import codecs

from pipeline.speech.languages import base_of

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# The encodings that subtitles were written in before Unicode. Others, such as the code pages of DOS, only win by mistake.
_OLD = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp874",
    "koi8_r",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
]
# Languages whose encoding cannot be told by looking: their letters are others', in another code page.
_BY_LANGUAGE = {
    "tr": "cp1254",
    "az": "cp1254",
    "vi": "cp1258",
    "lt": "cp1257",
    "lv": "cp1257",
    "et": "cp1257",
} | dict.fromkeys(
    ("ca", "da", "de", "en", "es", "eu", "fi", "fo", "fr", "ga", "gl", "id", "is", "it", "nb", "nl", "nn", "no", "pt", "sv"),
    "cp1252",
)

# Bytes that are looked at to tell UTF-16 and old encodings.
_LOOK = 1 << 16
# Of bytes that should be one half of UTF-16's characters, as many are zero in times and line breaks, which are ASCII.
_ZEROS = 0.1
# Damaged characters for each sound one, above which a text is no UTF-8.
_DAMAGE = 0.05


def decode_text(raw: bytes, language: str | None = None) -> str:
    """The text of ``raw``, without a byte order mark and without NULs. Never fails: what cannot be read becomes U+FFFD.

    Args:
        raw: the bytes.
        language: what the text is in, where that is known; it decides between code pages that look alike.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _cleaned(raw[len(mark) :].decode(encoding, "replace"))
    return _cleaned(raw.decode(_utf16(raw) or _utf8(raw) or _old(raw, language), "replace"))


def _cleaned(text: str) -> str:
    return text.replace("\0", "").removeprefix("\ufeff")


def _utf16(raw: bytes) -> str | None:
    """UTF-16's name where every second byte is often zero, and the others nearly never."""
    look = raw[:_LOOK]
    even, odd = look[::2].count(0), look[1::2].count(0)
    if max(even, odd) < _ZEROS * (len(look) // 2 or 1) or 10 * min(even, odd) > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _utf8(raw: bytes) -> str | None:
    """UTF-8's name where the bytes are that, but for little damage."""
    text = raw.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if not damaged:
        return "utf-8"
    sound = sum(not char.isascii() for char in text) - damaged
    return "utf-8" if damaged <= _DAMAGE * sound else None


def _old(raw: bytes, language: str | None) -> str:
    """The name of the encoding from before Unicode; Windows-1252 where nothing fits better."""
    from charset_normalizer import from_bytes

    known = _BY_LANGUAGE.get(base_of(language) or "")
    if known:
        return known
    telling = b"\n".join(line for line in raw[: 8 * _LOOK].splitlines() if not line.isascii())[:_LOOK]
    best = from_bytes(telling, cp_isolation=_OLD).best()
    return best.encoding if best else "cp1252"
