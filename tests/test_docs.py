"""The documentation agrees with the code: generated pages, the tables' columns, the tree, and every link within it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import REGENERATE, pages, stale_pages, tables_page
from index.search.hits import hits_table
from index.snapshot.catalog_build import write_videos
from index.snapshot.publish import places_of
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from schemas.sql import HITS, TABLES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])


def prose_of(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links_of(page: Path) -> Iterator[tuple[str, str]]:
    """The links of a page to files: the path as written, and the heading after #; either may be empty."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors_of(page: Path) -> set[str]:
    """What a page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_generated_pages_are_what_the_code_says() -> None:
    assert stale_pages() == [], f"docs/reference is not what the commands and tables say; run: {REGENERATE}"


def test_the_generated_pages_name_every_command_and_column() -> None:
    import cli

    commands, tables, _ = pages().values()
    names = [*cli.main.commands]
    assert len(names) >= 21
    assert [name for name in names if f"\n## {name}\n" not in commands] == []
    assert "| `--library DIR` |" in commands
    for table in (*TABLES, HITS):
        section = tables.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(table.column_names)


def test_the_tables_have_the_columns_that_the_page_says(tmp_path: Path) -> None:
    documented = {
        section.split("\n")[0]: re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
        for section in tables_page().split("\n## ")[1:]
    }
    assert list(documented) == [*(table.name for table in TABLES), "hits"]
    write_videos(tmp_path / "v.duckdb", [], places_of([]))
    catalog = Catalog(CatalogFiles(tmp_path / "v.duckdb"))
    catalog.show_hits(hits_table([]))
    for table, columns in documented.items():
        described = catalog.sql(f"describe {table}").to_pydict()
        assert list(zip(described["column_name"], described["column_type"], strict=True)) == columns
    catalog.close()


def test_the_tree_names_every_folder() -> None:
    tree = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for part in ("schemas", "pipeline", "index", "jobs", "commands"):
        for folder in (path.parent for path in (ROOT / part).rglob("__init__.py")):
            assert re.search(rf"^ *{folder.relative_to(ROOT)}/ ", tree, re.MULTILINE), folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in links_of(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), path
        if anchor:
            assert anchor in anchors_of(target), f"{path}#{anchor}"


def test_every_page_is_in_the_sites_navigation() -> None:
    navigation = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    from_the_top = {"index.md", "contributing.md", "changelog.md", "license.md", "notice.md"}
    assert sorted(navigation) == sorted({str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | from_the_top)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_picture_is_small() -> None:
    assert all((DOCS / name).stat().st_size < 150_000 for name in ("moments.png", "page.png"))
