"""One name in two spellings."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.sources.paths import Paths, on_disk

COMPOSED, APART = "f\u00fcr", "fu\u0308r"


def test_a_known_path_is_found_in_any_spelling_and_the_exact_one_comes_first() -> None:
    assert Paths([f"/v/{APART}"]).find(f"/v/{COMPOSED}") == f"/v/{APART}"
    assert Paths([f"/v/{COMPOSED}"]).find("/other", f"/v/{APART}") == f"/v/{COMPOSED}"
    both = Paths([f"/v/{APART}", f"/v/{COMPOSED}"])
    assert [both.find(f"/v/{name}") for name in (APART, COMPOSED)] == [f"/v/{APART}", f"/v/{COMPOSED}"]
    mixed = f"/{APART}/{COMPOSED}"
    assert Paths([mixed]).find(f"/{COMPOSED}/{COMPOSED}") == mixed
    assert Paths([mixed, f"/{COMPOSED}/{APART}"]).find(f"/{COMPOSED}/{COMPOSED}") is None, "two that it may mean"
    assert Paths(["/v/caf\\xe9"]).find(os.fsdecode(b"/v/caf\xe9")) == "/v/caf\\xe9"


def test_what_there_is_instead_is_named() -> None:
    known = Paths(["/v/a.mp4", "/v/b.mp4", "/w/b.mp4"])
    assert known.instead("/x/B.mp4") == "the library has '/v/b.mp4' and 1 more of that name"
    assert known.instead("/x/c.mp4") == "the library has 3 others, such as '/v/a.mp4'"
    assert Paths([]).instead("/x/c.mp4") == "the library has no video at all"


def test_the_disk_says_how_a_name_is_spelled(tmp_path: Path) -> None:
    path = tmp_path / APART / f"{COMPOSED}.mp4"
    path.parent.mkdir()
    path.touch()
    for folder in (COMPOSED, APART):
        for name in (COMPOSED, APART):
            assert on_disk(str(tmp_path / folder / f"{name}.mp4")) == str(path)
    for nowhere in (str(tmp_path / "no" / COMPOSED), f"{tmp_path}/{COMPOSED}/gone", f"{path}/x", "", "/", "a\0b"):
        assert on_disk(nowhere) == nowhere
    (tmp_path / COMPOSED).mkdir()
    assert on_disk(str(tmp_path / COMPOSED)) == str(tmp_path / COMPOSED)
