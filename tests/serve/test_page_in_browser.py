"""The page in Chromium: a picture, a drawn mask, Stop, and not one request to another host."""

import importlib.util
import os
import shutil

import numpy as np
import pytest
from helpers import speed
from helpers.painting_over import POSTER
from helpers.served_page import page
from PIL import Image

from qwenimage_ref.png_settings import read_settings

pytestmark = pytest.mark.browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# a browser that calls nobody by itself, so that whatever leaves is the page's doing
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
PROMPT = "a green ring left of a blue star on a white background"


def missing(what: str):
    """On a reader's machine the test may be left out; where it must run, that is a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what}; the page was not opened")


def milliseconds(seconds: float) -> float:
    return 1000 * speed.wall_seconds(seconds)


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        missing("there is no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=executable, args=QUIET + root, timeout=milliseconds(60)
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture
def opened(browser, served):
    """The page, and every address that it asks for"""
    tab = browser.new_page(viewport={"width": 1280, "height": 1000})
    tab.set_default_timeout(milliseconds(60))
    tab.asked = []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(served.address)
    tab.wait_for_selector("#prompt textarea")
    yield tab
    tab.close()


def shown(tab) -> str:
    """The name of the picture that is shown, when it is"""
    tab.wait_for_selector("#result img")
    tab.wait_for_function("document.querySelector('#result img').naturalWidth > 0")
    return tab.get_attribute("#result img", "src").rpartition("/")[2]


def click(tab, name: str) -> None:
    tab.get_by_role("button", name=name, exact=True).click()


def test_a_picture_is_painted_and_no_request_leaves(opened, served):
    opened.fill("#prompt textarea", f"{PROMPT} <b>")
    opened.uncheck("#random input")
    opened.fill("#seed input", "11")
    click(opened, "Paint")
    settings = read_settings(served.history / shown(opened))
    assert settings["options"]["seed"] == 11
    assert opened.inner_text("#result figcaption").startswith(f"{PROMPT} <b>")
    opened.wait_for_selector("#shown img")
    here = (served.address, "data:", "blob:")
    assert [url for url in opened.asked if not url.startswith(here)] == []


def test_what_is_drawn_is_painted_anew_and_the_rest_stays(opened, served, tmp_path):
    POSTER.save(tmp_path / "poster.png")
    opened.fill("#prompt textarea", PROMPT)
    opened.get_by_role("tab", name="Inside a mask").click()
    opened.wait_for_selector("#mask canvas")
    with opened.expect_file_chooser() as chooser:
        opened.locator("#mask button[aria-label='Upload']").click()
    chooser.value.set_files(tmp_path / "poster.png")
    opened.get_by_text("select the draw tool to start").wait_for(state="hidden")
    opened.locator("#mask button[aria-label='Brush']").click()
    box = opened.locator("#mask canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.wait_for_timeout(1000)  # the editor fades its tools in
    opened.mouse.move(x - 30, y)
    opened.mouse.down()
    opened.mouse.move(x + 30, y, steps=3)
    opened.mouse.up()
    click(opened, "Paint inside")
    file = served.history / shown(opened)
    options = read_settings(file)["options"]
    mask = np.asarray(Image.open(served.history / options["mask"]))
    assert 0 < (mask == 255).mean() < 0.5 and set(np.unique(mask)) == {0, 255}
    pictures = (np.asarray(each).astype(int) for each in (Image.open(file), POSTER))
    changes = np.abs(np.subtract(*pictures)).mean(-1)
    far = np.asarray(Image.fromarray(mask).resize((8, 8), Image.Resampling.BOX).resize(mask.shape))
    assert changes[far == 0].mean() < 4 < changes[mask == 255].mean()


def test_stop_ends_a_picture(opened, served):
    before = len(list(served.history.glob("*.png")))
    opened.fill("#prompt textarea", PROMPT)
    opened.get_by_text("More settings").click()
    opened.get_by_label("number input for Steps").fill("50")
    opened.keyboard.press("Tab")
    click(opened, "Paint")
    opened.locator("#stop").click()
    opened.get_by_text("Cancelled.").wait_for()
    assert len(list(served.history.glob("*.png"))) == before


def test_nothing_to_paint_is_said_in_one_line(opened):
    click(opened, "Paint")
    alert = opened.get_by_role("alert").filter(has_text="the prompt must say")
    alert.wait_for()
    assert "\n" not in alert.inner_text()
