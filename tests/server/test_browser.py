"""The page in a real browser: what a person does, from typing a query to the exported file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.videos import write_video
from tests.server.conftest import FilmLibrary, ingested, serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is not installed"),
]

# Quiet, without a network, and as root in a container.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,1000",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"

_WAIT_S = 20

# Share of pixels of the video's picture that are not black.
_NOT_BLACK = """
const video = document.querySelector("article.player video"), canvas = document.createElement("canvas");
canvas.width = 64; canvas.height = 48;
const context = canvas.getContext("2d");
context.drawImage(video, 0, 0, 64, 48);
const pixels = context.getImageData(0, 0, 64, 48).data;
let bright = 0;
for (let i = 0; i < pixels.length; i += 4) bright += pixels[i] + pixels[i + 1] + pixels[i + 2] > 60;
return bright / (64 * 48);
"""


class Page:
    """A browser at the page."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver, self.address = driver, address

    def go(self, path: str) -> None:
        self.driver.get(self.address + path)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def first(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def until(self, script: str) -> Any:
        """The value of a script once it is true; while a page is loading, what it looks for may not be there."""
        waiting = WebDriverWait(self.driver, _WAIT_S, ignored_exceptions=[JavascriptException])
        return waiting.until(lambda driver: driver.execute_script(f"return {script}"))

    def axe(self, script: str, run: str) -> Any:
        """What axe finds on this page: rules that are broken, and by what."""
        self.driver.execute_script(script)
        return self.driver.execute_async_script(run)

    def text_of(self, selector: str) -> str:
        return str(self.first(selector).text)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def odd_videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server over videos of 10 bit, HEVC and H.264, and one of 10 frames per second."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "videos").mkdir()
    for name, codec in (("ten.mp4", "libx265"), ("tenh264.mp4", "libx264")):
        write_video(folder / "videos" / name, 125, codec=codec, pixel_format="yuv420p10le")
    write_video(folder / "videos" / "slow.mp4", 50, codec="libx264", fps=10)
    library = ingested(folder / "videos", folder / "library")
    with serving(library, tmp_path_factory.mktemp("cache")) as address:
        yield address


@pytest.fixture(scope="module")
def talks(talking_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server over a library that knows what is said in a film."""
    with serving(talking_library, tmp_path_factory.mktemp("cache")) as address:
        yield address


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Page]:
    options = Options()
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield Page(driver, address)
    logged: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    errors = [line["message"] for line in logged if "status of 400" not in line["message"]]
    driver.quit()
    assert errors == [], "the browser's console"


def ask(page: Page, text: str) -> None:
    page.go("/")
    page.first("input[name=text]").send_keys(text, Keys.ENTER)
    page.until("document.querySelectorAll('#moments .moment').length")


def test_a_query_shows_the_right_film_first_and_its_address_is_the_query(page: Page, film_library: FilmLibrary) -> None:
    ask(page, "someone juggling")
    assert "juggling" in page.text_of("#moments .moment .labels")
    assert "text=someone+juggling" in page.driver.current_url
    assert "where=" not in page.driver.current_url, "what was left empty is not in the address"
    page.until("[...document.querySelectorAll('#moments img')].slice(0, 3).every((img) => img.complete && img.naturalWidth)")
    first = page.first("#moments .moment").get_attribute("data-clip")
    page.driver.refresh()
    assert page.first("#moments .moment").get_attribute("data-clip") == first


def test_a_click_plays_the_moment_and_escape_goes_back(page: Page) -> None:
    ask(page, "someone juggling")
    moment = page.first("#moments .moment")
    start_s, end_s = (float(moment.get_attribute(f"data-{name}")) for name in ("start", "end"))
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    page.until(f"document.querySelector('dialog[open] video').currentTime > {start_s}")
    assert start_s <= page.until("document.querySelector('dialog[open] video').currentTime") <= end_s + 0.3
    assert page.driver.execute_script(_NOT_BLACK) > 0.5
    page.driver.execute_script(f"document.querySelector('dialog[open] video').currentTime = {end_s + 0.05}")
    page.until(f"document.querySelector('dialog[open] video').currentTime < {end_s}")
    assert len(page.all("dialog[open] .timeline a")) > 10
    body = page.first("body")
    body.send_keys(" ")
    page.until("document.querySelector('dialog[open] video').paused")
    at_s = page.until("document.querySelector('dialog[open] video').currentTime")
    body.send_keys(",")
    assert page.until("document.querySelector('dialog[open] video').currentTime") == pytest.approx(at_s - 0.04, abs=0.02)
    body.send_keys(Keys.ESCAPE)
    page.until("!document.querySelector('dialog[open]')")
    assert page.all("#moments .moment")


def test_back_closes_the_player_whose_address_can_be_sent(page: Page) -> None:
    ask(page, "someone juggling")
    searched, title = page.driver.current_url, page.driver.title
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')")
    opened, clip = page.driver.current_url, page.first("dialog[open] article").get_attribute("data-clip")
    assert f"/moment/{clip}?start=" in opened
    page.first("dialog[open] .grid .picture").click()  # another moment in the same dialog
    page.until(f"location.href !== '{opened}' && document.querySelector('dialog[open] video')")
    page.driver.back()
    page.until("!document.querySelector('dialog[open]')")
    assert (page.driver.current_url, page.driver.title) == (searched, title)
    assert page.all("#moments .moment")
    page.driver.forward()
    page.until("document.querySelector('dialog[open] video')")
    page.first("body").send_keys(Keys.ESCAPE)
    page.until(f"!document.querySelector('dialog[open]') && location.href === '{searched}'")
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')")
    page.driver.refresh()
    page.until("document.querySelector('#main article.player video')?.readyState >= 3")
    page.driver.back()
    page.until("document.querySelector('#moments .moment')")
    page.driver.get(opened)
    page.until("document.querySelector('article.player video')?.readyState >= 3")
    assert page.first("article.player").get_attribute("data-clip") == clip


def test_an_avi_file_plays_as_a_moment(page: Page) -> None:
    page.go("/sql?query=select clip_id from clips join videos using (video_id, path) where codec = 'mpeg4' limit 1")
    page.first("a[data-play]").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    assert page.first("dialog[open] video").get_attribute("src").split("?")[0].endswith(".mp4")
    assert "Browsers do not play mpeg4 in avi" in page.text_of("dialog[open] .note")
    page.until("document.querySelector('dialog[open] video').currentTime > 0")


def test_ten_bit_hevc_plays_as_a_moment(page: Page, odd_videos: str) -> None:
    page.driver.get(f"{odd_videos}/sql?query=select clip_id from clips where path like '%ten.mp4' limit 1")
    page.first("a[data-play]").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    page.until("document.querySelector('dialog[open] video').currentTime > 0")
    assert page.driver.execute_script(_NOT_BLACK) > 0.3


def test_ten_bit_h264_is_not_given_as_a_file(page: Page, odd_videos: str) -> None:
    """The catalogue knows h264 in mp4, which browsers play; only the file itself says that they do not play this one."""
    page.driver.get(f"{odd_videos}/sql?query=select clip_id from clips where path like '%tenh264.mp4' limit 1")
    page.first("a[data-play]").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    assert ".mp4?" in page.first("dialog[open] video").get_attribute("src")


def test_a_step_is_a_frame_of_the_video(page: Page, odd_videos: str) -> None:
    page.driver.get(f"{odd_videos}/sql?query=select clip_id from clips where path like '%slow.mp4' limit 1")
    page.first("a[data-play]").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    body, time_s = page.first("body"), "document.querySelector('dialog[open] video').currentTime"
    body.send_keys(" ")
    page.until("document.querySelector('dialog[open] video').paused")
    page.driver.execute_script(f"{time_s} = 1.05")
    for key, expected_s in ((".", 1.15), (".", 1.25), (",", 1.15)):
        body.send_keys(key)
        assert page.until(time_s) == pytest.approx(expected_s, abs=0.005)


def test_the_pointer_makes_a_film_strip_of_a_picture(page: Page) -> None:
    ask(page, "someone juggling")
    picture = page.first("#moments .picture")
    webdriver.ActionChains(page.driver).move_to_element(picture).perform()
    page.until("document.querySelector('#moments img').src.includes('.webp')")
    page.until("document.querySelector('#moments img').complete && document.querySelector('#moments img').naturalWidth")


def test_arrow_keys_and_enter(page: Page) -> None:
    ask(page, "someone juggling")
    page.first("input[name=text]").send_keys(Keys.ARROW_DOWN)
    page.until("document.activeElement === document.querySelectorAll('#moments .picture')[0]")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.until("document.activeElement === document.querySelectorAll('#moments .picture')[1]")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until("document.querySelector('dialog[open] article.player')")


def test_a_filter_writes_the_condition(page: Page) -> None:
    page.go("/?text=someone&all=1")
    page.driver.execute_script("document.querySelector('.chips details').open = true")
    chip = page.first(".chips .chip")
    name = chip.text.rsplit(" ", 1)[0]
    chip.click()
    page.until("document.querySelector('input[name=where]').value")
    assert page.first("input[name=where]").get_attribute("value") == f"(label = '{name}')"
    assert page.first(".chip[aria-current]").text.startswith(name)
    page.first(".chip[aria-current]").click()
    page.until("document.querySelector('input[name=where]').value === ''")


def test_marks_change_the_list_and_are_in_the_address(page: Page) -> None:
    page.go("/?text=someone&all=1")
    wrong = page.first("#moments .moment").get_attribute("data-clip")
    page.first("#moments [data-mark=wrong]").click()
    page.until("location.search.includes('wrong=')")
    assert f"wrong={wrong}" in page.driver.current_url
    assert wrong not in [moment.get_attribute("data-clip") for moment in page.all("#moments .moment")]
    page.first("#moments [data-mark=right]").click()
    page.until("document.querySelector('.moment.is-right')")
    assert page.driver.current_url.count("right=") == 1
    page.first(".moment.is-right [data-mark=right]").click()
    page.until("!location.search.includes('right=')")


def test_what_is_in_the_basket_is_exported(page: Page, downloads: Path) -> None:
    ask(page, "someone juggling")
    page.first("#moments [data-basket]").click()
    page.first("#basket-open").click()
    page.until("document.querySelector('#basket[open] img')?.naturalWidth")
    page.first("[data-export=csv]").click()
    WebDriverWait(page.driver, _WAIT_S).until(lambda _: (downloads / "moments.zip").is_file())
    page.first("#basket-clear").click()
    page.until("document.querySelector('#basket-open').hidden")


def test_a_picture_is_the_query(page: Page, tmp_path: Path, address: str) -> None:
    from urllib.request import urlopen

    ask(page, "someone juggling")
    moment = page.first("#moments .moment")
    source = page.first("#moments img").get_attribute("src")
    with urlopen(source) as answer:
        (tmp_path / "seen.jpg").write_bytes(answer.read())
    clip = moment.get_attribute("data-clip")
    page.go("/")
    page.first("#drop input").send_keys(str(tmp_path / "seen.jpg"))
    page.until("document.querySelectorAll('#moments .moment').length")
    assert page.all("#moments .moment")[0].get_attribute("data-clip")
    assert clip
    assert "Like the file seen.jpg." in page.text_of(".like")
    leading = ".chip, [data-mark], #keep, .more a, .took a"
    assert page.all(leading) == [], "their addresses would not hold the picture"
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')")
    page.driver.back()
    page.until("!document.querySelector('dialog[open]')")
    assert page.all("#moments .moment"), "the answer is still there"
    page.first("input[name=text]").send_keys("someone juggling", Keys.ENTER)
    page.until("location.search.includes('text=') && document.querySelector('[data-mark]')")
    assert "where=" not in page.driver.current_url, "the new form leaves out what is empty"
    (tmp_path / "broken.jpg").write_text("no picture")
    page.first("#drop input").send_keys(str(tmp_path / "broken.jpg"))
    page.until("document.querySelector('.error')")
    assert page.text_of(".error").startswith("file: 'broken.jpg' cannot be read as a picture")


def test_sql_shows_a_table_whose_clips_play(page: Page) -> None:
    page.go("/sql")
    page.first("#query").send_keys("sel")
    page.until("!document.querySelector('#completions').hidden")
    page.first("#query").send_keys(Keys.TAB)
    assert page.first("#query").get_attribute("value") == "select"
    page.first("#query").send_keys(" count(*) as n, min(clip_id) as clip_id from clips", Keys.CONTROL + Keys.ENTER)
    page.until("document.querySelector('tbody tr')")
    assert [cell.text for cell in page.all("thead th")] == ["play", "n", "clip_id"]
    page.go("/sql?query=selekt")
    assert page.text_of(".error").startswith("query: ")


def test_a_completion_is_chosen_by_keys(page: Page) -> None:
    page.go("/sql")
    query = page.first("#query")
    active = "document.getElementById(document.querySelector('#query').getAttribute('aria-activedescendant'))"
    query.send_keys("select cl")
    words = [item.text for item in page.all("#completions li")]
    assert {"clip_id", "clips"} < set(words)
    assert page.until(f"{active}.textContent") == words[0]
    query.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert page.until(f"{active}.textContent") == words[1]
    assert [item.text for item in page.all("#completions [aria-selected=true]")] == [words[1]]
    query.send_keys(Keys.ENTER)
    assert query.get_attribute("value") == f"select {words[1]}"
    assert query.get_attribute("aria-activedescendant") is None
    query.send_keys(Keys.ENTER, "cl", Keys.ARROW_UP, Keys.TAB)
    assert query.get_attribute("value") == f"select {words[1]}\n{words[-1]}"
    query.send_keys(" cl", Keys.ESCAPE, Keys.ENTER)
    assert query.get_attribute("value") == f"select {words[1]}\n{words[-1]} cl\n"


def test_the_library_page_names_what_failed(page: Page) -> None:
    page.go("/library")
    assert "broken.mp4" in page.text_of("main")
    assert "3 indexed, 0 partial, 1 failed" in page.text_of("main")


def test_what_is_said_is_found_and_its_card_says_so(page: Page, talks: str) -> None:
    page.driver.get(talks)
    for channel in ("pictures", "text"):
        page.first(f"[name=in][value={channel}]").click()
    page.first("input[name=text]").send_keys("the budget is gone", Keys.ENTER)
    page.until("document.querySelectorAll('#moments .moment').length")
    assert page.text_of("#moments .reason").startswith("says")
    assert [mark.text for mark in page.all("#moments .reason mark")] == ["budgets", "gone"]
    assert "in=speech" in page.driver.current_url
    assert "then_in" not in page.driver.current_url, "all channels are the same as none"
    page.first("[name=in][value=text]").click()
    page.first("[name=in][value=pictures]").click()
    page.first("button[type=submit]").click()
    page.until("!location.search.includes('in=')")


def test_a_line_of_the_transcript_leads_to_its_time(page: Page, talks: str) -> None:
    page.driver.get(f"{talks}/?text=budget&in=speech")
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    assert [line.text for line in page.all("dialog[open] .transcript")[0].find_elements(By.CSS_SELECTOR, ".words")] == [
        "Good morning, everybody.", "The budgets are <gone>,\nall of them.", "Die Häuser sind verkauft."
    ]  # fmt: skip
    current = "[...document.querySelectorAll('dialog[open] [aria-current] .words')].map((line) => line.textContent)"
    page.until(f"{current}.join().includes('budgets')")
    last = page.all("dialog[open] .transcript a")[2]
    last.click()
    page.until("document.querySelector('dialog[open] video').currentTime >= 6")
    assert page.until("document.querySelector('dialog[open] video').currentTime") < 8
    assert page.first("dialog[open] [data-loop]").get_attribute("aria-pressed") == "false"
    page.until(f"{current}.join() === 'Die Häuser sind verkauft.'")
    page.first("dialog[open] [data-filter]").send_keys("budget")
    page.until("document.querySelector('[data-filtered]').textContent === '2 of 4 lines'")
    assert [line.is_displayed() for line in page.all("dialog[open] .transcript li")] == [False, True, False, True]
    assert len(page.all("dialog[open] .timeline .shot")) == 1


def test_a_line_of_a_file_that_browsers_do_not_play_is_a_moment(page: Page, talks: str) -> None:
    page.driver.get(f"{talks}/?text=zero&in=speech")
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] video')?.readyState >= 3")
    page.until("document.querySelector('dialog[open] [aria-current] .words')?.textContent === 'zero'")
    page.all("dialog[open] .transcript a")[1].click()
    page.until("document.querySelector('dialog[open] article').dataset.start === '1.2'")
    page.until("document.querySelector('dialog[open] [aria-current] .words')?.textContent === 'one'")


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.driver.set_window_size(390, 800)
    try:
        for path in ("/?text=juggling&all=1", "/sql", "/library"):
            page.go(path)
            width, inner = page.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert width <= inner, path
    finally:
        page.driver.set_window_size(1280, 1000)


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: npm install --no-save axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, talks: str, scheme: str) -> None:
    """Contrast, labels, landmarks, focus, by the rules of WCAG 2.1 AA."""
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    script = AXE.read_text(encoding="utf-8")
    run = """
    const done = arguments[0];
    axe.run({resultTypes: ["violations"]}).then((found) =>
      done(found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html.slice(0, 120))])));
    """
    ask(page, "someone juggling")
    page.first("#moments [data-mark=right]").click()
    page.until("document.querySelector('.moment.is-right')")
    found = {"marked": page.axe(script, run)}
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] article.player')")
    found["player"] = page.axe(script, run)
    for path in ("/", "/?text=nonsense", "/?text=a&where=x", "/sql?query=select clip_id from clips limit 3", "/library"):
        page.go(path)
        found[path] = page.axe(script, run)
    page.driver.get(f"{talks}/?text=budget gone&then=houses&then_in=speech")
    found["channels"] = page.axe(script, run)
    page.driver.get(f"{talks}/?text=budget gone&in=speech")
    page.first("#moments .picture").click()
    page.until("document.querySelector('dialog[open] [aria-current]')")
    found["transcript"] = page.axe(script, run)
    assert {path: violations for path, violations in found.items() if violations} == {}


def test_every_control_has_a_name(page: Page) -> None:
    """What axe would say first: controls without a name, pictures without a text, and duplicate ids."""
    script = """
    const nameless = [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea")]
      .filter((one) => !one.closest("dialog:not([open])"))
      .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length || one.title))
      .filter((one) => !one.querySelector("title"));
    const pictures = [...document.images].filter((img) => !img.hasAttribute("alt"));
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    const repeated = ids.length - new Set(ids).size;
    return [nameless.map((one) => one.outerHTML), pictures.length, repeated, document.documentElement.lang];
    """
    for path in ("/?text=juggling&all=1", "/sql", "/library"):
        page.go(path)
        assert page.driver.execute_script(script) == [[], 0, 0, "en"], path
