"""Names of files: what stays, what goes, and how long they get."""

from __future__ import annotations

import unicodedata

import pytest

from jobs.export.file_names import distinct, safe_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/a b?;rm -rf $(x).mp4", "a-b-rm-rf-x"),
        ("/x/Встреча 2024.mp4", "Встреча-2024"),
        ("/x/会议、记录.mp4", "会议、记录"),
        ("/x/ประชุมที่.mp4", "ประชุมที่"),
        ("/x/हिन्दी.mp4", "हिन्दी"),
        ("/x/می‌خواهم.mp4", "می‌خواهم"),
        ("/x/🎂.mp4", "🎂"),
        ("/x/" + unicodedata.normalize("NFD", "été") + ".mp4", "été"),
        ("/x/a\x1b[31m\u202eb\u2028c\u00a0d\\e.mp4", "a-31m-b-c-d-e"),
        ("/x/caf\udce9.mp4", "caf-xe9"),
        ("/x/??.mp4", "video"),
        ("/x/--to.mp4", "to"),
        ("/x/CON.mp4", "CON-"),
        ("/x/com1.x.mp4", "com1-x"),
        ("/x/" + "a" * 200 + ".mp4", "a" * 60),
        ("/x/" + "🎂" * 60 + ".mp4", "🎂" * 50),
        ("/x/" + "a" * 58 + "हिन्दी.mp4", "a" * 58 + "हि"),
        ("/x/" + "a" * 59 + "हि.mp4", "a" * 59),
    ],
)
def test_names_of_every_script(path: str, name: str) -> None:
    assert safe_name(path) == name
    assert len(f".0000001-{name}-999.mp4".encode()) <= 255


def test_no_two_names_are_one_to_a_file_system() -> None:
    assert distinct(["a", "A", "a-2", "Straße", "STRASSE", "ё", "Ё"]) == [
        "a", "A-2", "a-2-2", "Straße", "STRASSE-2", "ё", "Ё-2",
    ]  # fmt: skip
