"""Pictures of the page for the README, as Chromium shows it: data/pictures/page*.png.

python -m helpers.page_pictures     or `make page`, after a change of the page

One picture is painted from words, one inside a mask that is drawn.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import chromium, speed
from helpers.served_page import page
from qwenimage_ref.pictures import write_picture
from qwenimage_ref.posters.draw import Scene, Shape, draw

POSTER = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
PROMPT = "a green ring left of a blue star on a white background"
OTHER = "a red circle left of a green diamond on a white background"
CORNERS = ((55, -60), (120, -60), (55, -30), (120, -30), (55, 0), (120, 0), (55, 30), (120, 30))


def main() -> None:
    if chromium.executable() is None:
        sys.exit("page_pictures: there must be a chromium on the PATH; install one")
    speed.calibrate()
    with tempfile.TemporaryDirectory() as home, page(Path(home)) as served:
        with chromium.launched() as browser:
            tab = chromium.empty_tab(browser, height=880)
            tab.goto(served.address)
            tab.wait_for_selector("#prompt textarea")
            paint(tab)
            keep(tab, Path(home), "page.png")
            paint_inside(tab, Path(home))
            keep(tab, Path(home), "page_mask.png")


def paint(tab) -> None:
    tab.fill("#prompt textarea", PROMPT)
    tab.uncheck("#random input")
    tab.fill("#seed input", "11")
    chromium.click(tab, "Paint")
    chromium.shown(tab)


def paint_inside(tab, home: Path) -> None:
    """Draw over the right half of a poster, and paint another scene there."""
    before = chromium.shown(tab)
    Image.fromarray(draw(POSTER)).save(home / "poster.png")
    chromium.draw_mask(tab, home / "poster.png", *CORNERS)
    tab.fill("#prompt textarea", OTHER)
    chromium.click(tab, "Paint inside")
    tab.wait_for_function(
        "name => document.querySelector('#result img')?.naturalWidth > 0"
        " && !document.querySelector('#result img').src.endsWith(name)",
        arg=before,
    )


def keep(tab, home: Path, name: str) -> None:
    """Write what the tab shows, once the history has it too."""
    tab.wait_for_selector("#shown img")
    tab.mouse.move(0, 0)
    tab.wait_for_timeout(1000)  # fading ends
    tab.screenshot(path=home / name)
    write_picture(np.asarray(Image.open(home / name).convert("RGB")), name)


if __name__ == "__main__":
    main()
