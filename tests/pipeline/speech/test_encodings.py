"""The encodings of subtitles: none states its own."""

# ruff: noqa: RUF001 - letters of other scripts look like Latin ones

from __future__ import annotations

import pytest

from pipeline.speech.encodings import decode_text

TEXTS = {
    "fr": (
        "cp1252",
        "Où êtes-vous allé ? Je ne sais pas.\nÇa va être très difficile, mon frère.\nC'est déjà arrivé à Noël.\n",
    ),
    "de": ("cp1252", "Wir müssen für die Prüfung üben.\nDas ist mir völlig egal, schöne Grüße!\n"),
    "pl": ("cp1250", "Gdzie jesteś? Nie wiem, co się stało.\nMyślę, że już późno, proszę cię.\n"),
    "ru": ("cp1251", "Где ты был? Я не знаю, что случилось.\nЭто слишком трудно, мой друг.\nЖизнь прекрасна.\n"),
    "ru ": ("koi8-r", "Где ты был? Я не знаю, что случилось.\nЭто слишком трудно, мой друг.\nЖизнь прекрасна.\n"),
    "el": ("cp1253", "Πού ήσουν; Δεν ξέρω τι έγινε.\nΕίναι πολύ δύσκολο, φίλε μου.\n"),
    "tr": ("cp1254", "Neredeydin? Ne olduğunu bilmiyorum.\nBu çok zor, arkadaşım. Şimdi gidiyoruz.\n"),
    "ar": ("cp1256", "أين كنت؟ لا أعرف ماذا حدث.\nهذا صعب جدا يا صديقي.\n"),
    "ja": ("cp932", "どこにいたの？何が起こったのか分からない。\nそれは難しすぎるよ、友よ。\n"),
    "zh": ("gb18030", "你去哪儿了？我不知道发生了什么事。\n这太难了，我的朋友。\n"),
    "ko": ("cp949", "어디 있었어? 무슨 일이 일어났는지 모르겠어.\n너무 어려워, 친구야.\n"),
}
UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
# Without a language, French and Turkish of two lines look like Czech.
TOLD_BY_LOOKING = sorted(set(TEXTS) - {"fr", "tr"})


def subtitles(lines: str) -> str:
    return "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{line}\n\n" for n, line in enumerate(lines.splitlines()))


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("language", TEXTS)
def test_unicode_is_told_from_its_bytes(language: str, encoding: str) -> None:
    text = subtitles(TEXTS[language][1])
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize("language", TEXTS)
def test_old_encodings_are_told_by_the_language_in_the_name(language: str) -> None:
    encoding, lines = TEXTS[language]
    assert decode_text(subtitles(lines).encode(encoding), language.strip()) == subtitles(lines)


@pytest.mark.parametrize("language", TOLD_BY_LOOKING)
def test_old_encodings_are_told_from_their_bytes(language: str) -> None:
    encoding, lines = TEXTS[language]
    assert decode_text(subtitles(lines).encode(encoding)) == subtitles(lines)


def test_a_damaged_character_leaves_the_others() -> None:
    text = subtitles(TEXTS["ru"][1])
    assert decode_text(text.encode() + b"\xff") == text + "\ufffd"


@pytest.mark.parametrize("raw", [b"", b"\0", b"\xff", b"\xff\xfe\0", b"\x81\x8d\x8f", bytes(range(256)) * 300])
def test_no_bytes_are_too_odd(raw: bytes) -> None:
    assert "\0" not in decode_text(raw)
