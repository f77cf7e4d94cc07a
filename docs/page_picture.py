"""Makes docs/page.png, the picture of the page in the README: ``python -m docs.page_picture``.

It renders films, ingests them with the pocket models, serves the library and asks. Needs Chromium and its driver.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from demo.render import render_all
from demo.world import plan
from jobs.ingest.ingest import ingest

_PICTURE = Path(__file__).parent / "page.png"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,860", "--disable-background-networking")


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for _ in render_all(plan(6, 4, 3, "base"), folder / "videos"):
            pass
        library = folder / "library"
        ingest([folder / "videos"], library, classifier="pocket", embedder="pocket", window_s=2.4, stride_s=0.8)
        command = [sys.executable, "-m", "cli", "serve", "--library", str(library), "--port", "0"]
        with subprocess.Popen([*command, "--cache", str(folder / "cache")], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                _take(server.stdout.readline().strip())
            finally:
                server.terminate()
    print(_PICTURE)


def _take(address: str) -> None:
    """Take the picture of a search at the page."""
    options = Options()
    for flag in _FLAGS:
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get(f"{address}?text=someone+in+a+blue+shirt+juggling&all=1")
        time.sleep(3)
        driver.save_screenshot(str(_PICTURE))
    finally:
        driver.quit()
    with Image.open(_PICTURE) as picture:
        picture.convert("RGB").quantize(128).save(_PICTURE, optimize=True)


if __name__ == "__main__":
    main()
