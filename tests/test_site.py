"""The built book, opened from the file system with the network off.

Without a fresh book, or without Chromium on PATH, these tests skip and say why; TFTUTOR_REQUIRE_BROWSER=1 makes them
fail instead.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
from built_site import (
    GENERATED,
    HTML,
    ROOT,
    browser_path,
    demand,
    is_external,
    missing_book,
    missing_browser,
    pages,
    parse,
    target,
)

PAGES = [path.relative_to(HTML).as_posix() for path in pages()]
every_page = pytest.mark.parametrize("name", PAGES or ["no book"])
MAX_OWN, MAX_COLD = 1_000_000, 4_000_000  # bytes: a page with its pictures; a page with all that it loads


@pytest.fixture(scope="module", autouse=True)
def book():
    demand(missing_book())
    return HTML


# ---- what the files say


def test_every_entry_of_the_table_of_contents_has_a_page():
    toc = (ROOT / "_toc.yml").read_text("utf8")
    wanted = re.findall(r"(?:file|root): (\S+)", toc)
    assert {f"{name}.html" for name in wanted} <= set(PAGES)


@every_page
def test_links_inside_the_book_lead_somewhere(name):
    page = HTML / name
    broken = []
    for link in parse(page).links:
        if is_external(link) or link.startswith("javascript:"):
            continue
        file, fragment = target(page, link)
        if file.is_dir():
            file /= "index.html"
        if not file.exists() or (fragment and file.suffix == ".html" and fragment not in parse(file).ids):
            broken.append(link)
    assert broken == []


@every_page
def test_nothing_is_loaded_from_elsewhere(name):
    page = HTML / name
    assert [address for address in parse(page).loads if is_external(address)] == []
    for address in parse(page).loads:
        assert address.startswith("data:") or target(page, address)[0].exists(), address


@every_page
def test_pictures_have_alt_text(name):
    for image in parse(HTML / name).images:
        assert image.get("alt"), image.get("src")


@every_page
def test_a_page_is_small(name):
    page = HTML / name
    images = {target(page, image["src"])[0] for image in parse(page).images if not image["src"].startswith("data:")}
    assert page.stat().st_size + sum(image.stat().st_size for image in images) <= MAX_OWN


def test_every_public_name_is_in_the_api_pages():
    import ast

    from test_architecture import EXERCISE_CHAPTERS, MODULES, public

    inventory = (HTML / "objects.inv").read_bytes().split(b"\n", 4)[4]
    named = {line.split(" ", 1)[0] for line in zlib.decompress(inventory).decode().splitlines()}
    for module, path in MODULES.items():
        if module.startswith("tftutor.exercises.") and module.split(".")[2] in EXERCISE_CHAPTERS:
            continue
        wanted = {f"{module}.{node.name}" for node in public(ast.parse(path.read_text("utf8")))}
        assert wanted <= named, sorted(wanted - named)


# ---- what a browser sees


class Visit:
    """A page opened in the browser, and what went wrong with it."""

    def __init__(self, context, address: str) -> None:
        self.problems: list[str] = []
        self.loaded: set[Path] = set()
        self.page = context.new_page()
        self.page.on("console", lambda m: m.type == "error" and self.problems.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", lambda request: self.problems.append(f"request: {request.url}"))
        self.page.on("request", self._note)
        self.page.goto(address, wait_until="load")
        self.page.evaluate("window.MathJax?.startup?.promise")

    def _note(self, request) -> None:
        if request.url.startswith("file:"):
            self.loaded.add(target(HTML, request.url.removeprefix("file://"))[0])
        elif not request.url.startswith(("data:", "blob:")):
            self.problems.append(f"network: {request.url}")

    def see(self, script: str):
        """What a script returns in the page."""
        return self.page.evaluate(script)


@pytest.fixture(scope="module")
def browser():
    demand(missing_browser())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def visiting(browser, scheme: str, width: int):
    """A function that opens pages in one kind of window."""
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 800})
    context.set_default_timeout(30_000)
    opened = []

    def visit(name: str) -> Visit:
        while opened:
            opened.pop().page.close()
        opened.append(Visit(context, f"{HTML.as_uri()}/{name}"))
        return opened[0]

    return visit


@pytest.fixture(scope="module")
def light(browser):
    return visiting(browser, "light", 1280)


@pytest.fixture(scope="module")
def phone(browser):
    return visiting(browser, "dark", 360)


UNRENDERED = """
[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).map(e => e.textContent)
"""
FAILED_MATH = "[...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.parentElement.outerHTML)"
SEARCH_BOXES = """
[...document.querySelectorAll('input[type=search], .search-button-field')].filter(e => e.offsetParent).length
"""
OPEN_SOLUTIONS = """
[...document.querySelectorAll('.solution.dropdown, .admonition.dropdown')]
  .filter(e => !e.classList.contains('toggle-hidden')).map(e => e.textContent.slice(0, 60))
"""
MISSING_ICONS = """
[...document.querySelectorAll('i[class*=fa-]')].filter(e => e.offsetParent)
  .filter(e => ['none', 'normal'].includes(getComputedStyle(e, '::before').content)).map(e => e.className)
"""
UNSEEN = "[...document.querySelectorAll('.bd-article img')].filter(e => !e.naturalWidth).map(e => e.src)"
COPYABLE = "[document.querySelectorAll('.highlight pre').length, document.querySelectorAll('button.copybtn').length]"


@every_page
def test_a_page_works_in_a_light_window(light, name):
    visit = light(name)
    assert visit.problems == []
    assert visit.see(UNRENDERED) == []
    assert visit.see(FAILED_MATH) == []
    assert visit.see(UNSEEN) == []
    assert visit.see(MISSING_ICONS) == []
    assert visit.see(OPEN_SOLUTIONS) == []
    assert visit.see(SEARCH_BOXES) == 1
    blocks, buttons = visit.see(COPYABLE)
    assert buttons >= min(blocks, 1)
    assert visit.see("document.documentElement.dataset.theme") == "light"
    assert sum(path.stat().st_size for path in visit.loaded) <= MAX_COLD


BRIGHTNESS = """
(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
         return (r + g + b) / 3; })()
"""


@every_page
def test_a_page_works_on_a_dark_phone(phone, name):
    visit = phone(name)
    assert visit.problems == []
    assert visit.see("document.documentElement.scrollWidth") <= 360
    assert visit.see("document.documentElement.dataset.theme") == "dark"
    assert visit.see(BRIGHTNESS) < 60


def test_the_book_opens_at_its_first_page(light):
    page = light("search.html").page
    page.goto(f"{HTML.as_uri()}/index.html")
    page.wait_for_url("**/chapters/index.html")


@pytest.mark.parametrize("name", sorted(GENERATED & {path.name for path in HTML.glob("*.html")}))
def test_a_generated_page_works(light, phone, name):
    assert light(name).problems == []
    visit = phone(name)
    assert visit.problems == []
    assert visit.see("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("query", ["softmax", "causal mask", "padding_mask", "掩码"])
def test_the_search_finds(light, query):
    visit = light(f"search.html?q={query}")
    visit.page.wait_for_selector("#search-results li a")
    visit.page.wait_for_function("!document.querySelector('#search-results h2')?.textContent.includes('Searching')")
    assert visit.see("document.querySelectorAll('#search-results li a').length") > 0
    assert visit.problems == []


def test_the_search_can_find_nothing(light):
    visit = light("search.html?q=zyzzyva")
    visit.page.wait_for_function("document.querySelector('#search-results').textContent.includes('did not match')")


def test_a_solution_opens(light):
    folded = [name for name in PAGES if " dropdown admonition" in (HTML / name).read_text("utf8")]
    if not folded:
        pytest.skip("no page with something folded yet")
    visit = light(folded[0])
    first = visit.page.locator(".admonition.dropdown").first
    first.locator(".admonition-title").click()
    assert "toggle-hidden" not in first.get_attribute("class")
