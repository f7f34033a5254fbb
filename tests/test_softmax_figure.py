"""The softmax with sliders: a picture without scripts, labelled controls for mouse and keyboard with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from built_site import browser_path, demand, missing_browser

ROOT = Path(__file__).resolve().parent.parent
PAGE = """<!doctype html><html data-theme="{theme}"><head><style>
:root {{ --pst-color-text-base: {ink}; }} body {{ background: {paper}; margin: 0; }} {css}</style></head><body>
<figure id="fig-symbols-softmax"><img alt="bars of logits and probabilities" src="{picture}" width="300">
<figcaption>Caption.</figcaption></figure><script>{script}</script></body></html>"""


@pytest.fixture(scope="module")
def browser():
    demand(missing_browser())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, tmp_path: Path, *, scripts: bool = True, width: int = 800, dark: bool = False):
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(
        theme="dark" if dark else "light", ink="#eeeeee" if dark else "#222222", paper="#111" if dark else "#fff",
        css=(ROOT / "_static" / "tftutor.css").read_text("utf8"),
        picture=(ROOT / "images" / "symbols_softmax.svg").as_uri(),
        script=(ROOT / "_static" / "softmax_figure.js").read_text("utf8"),
    ), "utf8")  # fmt: skip
    context = browser.new_context(java_script_enabled=scripts, offline=True, viewport={"width": width, "height": 700})
    view = context.new_page()
    view.problems = []
    view.on("pageerror", lambda error: view.problems.append(str(error)))
    view.goto(page.as_uri())
    return view


def told(view) -> tuple[float, list[str]]:
    """log Z and the probabilities, as the page says them."""
    log_z, shares = view.inner_text("output").split("; ")
    return float(log_z.removeprefix("log Z = ").replace("\u2212", "-")), shares.split(", ")


def test_without_scripts_the_picture_stays(browser, tmp_path) -> None:
    view = opened(browser, tmp_path, scripts=False)
    assert view.get_by_alt_text("bars of logits").is_visible()
    assert view.locator(".tf-softmax").count() == 0


def test_a_shift_moves_log_z_only_and_a_temperature_the_choice(browser, tmp_path) -> None:
    view = opened(browser, tmp_path)
    assert not view.get_by_alt_text("bars of logits").is_visible()
    start, shares = told(view)
    shift, heat = view.locator("#tf-softmax-shift"), view.locator("#tf-softmax-temperature")
    shift.focus()
    for _ in range(4):
        view.keyboard.press("ArrowRight")
    moved, same = told(view)
    assert moved == pytest.approx(start + 2.0, abs=0.011)
    assert same == shares
    assert shift.get_attribute("aria-valuetext") == "shift 2.0"
    heat.focus()
    view.keyboard.press("Home")  # the coldest
    _, sharp = told(view)
    assert sharp[0] > shares[0]
    assert sharp[-1] == "AA 0.00"
    assert view.problems == []


@pytest.mark.parametrize(("width", "dark"), [(360, False), (800, True)])
def test_it_fits_a_phone_and_takes_the_colour_of_the_page(browser, tmp_path, width, dark) -> None:
    view = opened(browser, tmp_path, width=width, dark=dark)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    ink = view.evaluate("getComputedStyle(document.querySelector('.tf-softmax svg')).fill")
    assert ink == ("rgb(238, 238, 238)" if dark else "rgb(34, 34, 34)")
    for x in view.locator(".tf-softmax input").all():
        assert view.evaluate("input => input.labels.length", x.element_handle()) == 1
