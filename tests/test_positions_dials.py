"""The dials of the chapter on positions: sliders that work from the file system, and a drawing without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from built_site import browser_path, demand, missing_browser

ROOT = Path(__file__).resolve().parent.parent
PAGE = """<!doctype html><html lang="en"><head><link rel="stylesheet" href="{static}/positions.css">
<script src="{static}/positions.js"></script></head><body><figure id="fig-positions-rope">
<a href="#"><img alt="Four dials" src="{images}/positions_rope.svg" width="700"></a>
<figcaption>Caption</figcaption></figure></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    demand(missing_browser())
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


def shown(browser, tmp_path, **options):
    """The figure on a page of its own, and what the browser complained about."""
    file = tmp_path / "page.html"
    file.write_text(PAGE.format(static=(ROOT / "_static").as_uri(), images=(ROOT / "images").as_uri()), "utf8")
    context = browser.new_context(offline=True, **options)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    return page, complaints


def said(page) -> tuple[int, int, float]:
    """The positions and the score in the line below the sliders."""
    line = page.locator(".positions-dials p").inner_text().replace("\u2212", "-")
    found = re.search(r"at (\d+), key .* at (\d+): q . k = (-?[\d.]+)", line)
    return int(found[1]), int(found[2]), float(found[3])


def test_the_score_stays_while_both_move_and_changes_with_the_distance(browser, tmp_path):
    page, complaints = shown(browser, tmp_path, viewport={"width": 360, "height": 700})
    assert not page.locator("img").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert said(page) == (5, 3, 2.13)  # the first row of the drawing
    key, distance = page.get_by_label("key stands at"), page.get_by_label("query stands this much later")
    hand = page.locator(".positions-dials line").first
    before = hand.get_attribute("x2")
    key.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert said(page) == (25, 23, 2.13)  # the second row
    assert hand.get_attribute("x2") != before
    distance.focus()
    page.keyboard.press("ArrowLeft")
    assert said(page)[:2] == (24, 23)
    assert said(page)[2] != 2.13
    assert "at 24" in page.locator(".positions-dials svg").get_attribute("aria-label")
    assert complaints == []


def test_without_scripts_there_is_a_drawing(browser, tmp_path):
    page, _ = shown(browser, tmp_path, java_script_enabled=False)
    assert page.locator("img").is_visible()
    assert page.locator(".positions-dials").count() == 0
