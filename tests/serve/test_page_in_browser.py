"""The page in Chromium: a picture, a drawn mask, Stop, and not one request to another host."""

import importlib.util
import os

import numpy as np
import pytest
from helpers import chromium
from helpers.chromium import click, shown
from helpers.painting_over import POSTER
from helpers.served_page import page
from PIL import Image

from qwenimage_ref.png_settings import read_settings

pytestmark = pytest.mark.browser
PROMPT = "a green ring left of a blue star on a white background"


def missing(what: str):
    """On a reader's machine the test may be left out; where it must run, that is a failure."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what}; the page was not opened")


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None:
        missing("playwright is not installed")
    if chromium.executable() is None:
        missing("there is no chromium on the PATH")
    with chromium.launched() as launched:
        yield launched


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture
def opened(browser, served):
    """The page, and every address that it asks for"""
    tab = chromium.empty_tab(browser)
    tab.asked = []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(served.address)
    tab.wait_for_selector("#prompt textarea")
    yield tab
    tab.close()


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
    chromium.draw_mask(opened, tmp_path / "poster.png", (-30, 0), (30, 0))
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
