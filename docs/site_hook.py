"""Puts the top folder's pages into the site: README.md as its home, CONTRIBUTING.md, CHANGELOG.md, LICENSE and NOTICE.

mkdocs.yml names this file. Links from those pages into ``docs/`` become links within the site, and the other way round.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "NOTICE": "notice.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the top folder's pages to those in ``docs/``."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            text = f"# {source}\n\n```text\n{text}```\n"
        text = re.sub(r"\]\(docs/", "](", text)
        files.append(File.generated(config, name, content=_links_to_pages(text, "")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the top folder's pages at their pages in the site."""
    up = "../" * page.file.src_uri.count("/")
    return _links_to_pages(markdown, f"{up}../", up)


def _links_to_pages(text: str, prefix: str, up: str = "") -> str:
    for source, name in PAGES.items():
        text = re.sub(rf"\]\({re.escape(prefix + source)}(?=[)#])", f"]({up}{name}", text)
    return text
