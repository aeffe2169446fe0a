"""Chromium on the page of `qwenimage serve`: what a visitor clicks, draws and sees."""

import contextlib
import os
import shutil
from pathlib import Path

from helpers import speed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# a browser that calls nobody by itself, so that whatever leaves is the page's doing
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


def milliseconds(seconds: float) -> float:
    return 1000 * speed.wall_seconds(seconds)


def executable() -> str | None:
    """The first browser of that kind on the PATH"""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def launched():
    """Yields playwright's browser, without a window."""
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=executable(), args=QUIET + root, timeout=milliseconds(60)
        )


def empty_tab(browser, height: int = 1000):
    tab = browser.new_page(viewport={"width": 1280, "height": height})
    tab.set_default_timeout(milliseconds(60))
    return tab


def shown(tab) -> str:
    """The name of the picture that is shown, when it is"""
    tab.wait_for_selector("#result img")
    tab.wait_for_function("document.querySelector('#result img').naturalWidth > 0")
    return tab.get_attribute("#result img", "src").rpartition("/")[2]


def click(tab, name: str) -> None:
    tab.get_by_role("button", name=name, exact=True).click()


def draw_mask(tab, picture: Path, *corners: tuple[float, float]) -> None:
    """Open the tab "Inside a mask" with a picture, and draw a line; corners: from the middle."""
    tab.get_by_role("tab", name="Inside a mask").click()
    tab.wait_for_selector("#mask canvas")
    with tab.expect_file_chooser() as chooser:
        tab.locator("#mask button[aria-label='Upload']").click()
    chooser.value.set_files(picture)
    tab.get_by_text("select the draw tool to start").wait_for(state="hidden")
    choose_brush(tab)
    draw_line(tab, *corners)


def choose_brush(tab, colour: int = 0) -> None:
    """Take the brush of the editor that is shown, in one of its colours."""
    tab.locator("button[aria-label='Brush']:visible").click()
    tab.wait_for_timeout(1000)  # the editor fades its tools in
    if colour:
        tab.locator("button[aria-label='Color']:visible").click()
        tab.locator(".swatch button:visible").nth(colour).click()
        tab.locator("button[aria-label='Brush']:visible").click()
        tab.wait_for_timeout(1000)


def draw_line(tab, *corners: tuple[float, float]) -> None:
    """Draw a line in the editor that is shown; corners: from the middle."""
    box = tab.locator("canvas:visible").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x + corners[0][0], y + corners[0][1])
    tab.mouse.down()
    for across, down in corners[1:]:
        tab.mouse.move(x + across, y + down, steps=3)
    tab.mouse.up()
