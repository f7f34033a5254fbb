"""Take the picture of a page that the README shows: `make book`, then run this. Needs Chromium and Playwright."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write images/page.png: the attention maps of the encoder-decoder chapter, as the book shows them."""
    page_file = ROOT / "_build/html/chapters/10_encoder_decoder.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(page_file.as_uri(), wait_until="load")
        page.wait_for_timeout(3000)  # formulas
        page.screenshot(path=ROOT / "images/page.png")
        browser.close()


if __name__ == "__main__":
    main()
