"""Pictures of the page for the README, as Chromium shows it: data/pictures/page*.png.

python -m helpers.page_pictures     or `make page`, after a change of the page

One picture is painted from words, one inside a mask that is drawn, one along edges and one from
regions that are drawn; other weights edit a picture and take one apart.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import chromium, speed
from helpers.served_page import page
from qwenimage_ref.pictures import write_picture
from qwenimage_ref.pocket.variants import VARIANTS, assemble
from qwenimage_ref.posters.draw import Scene, Shape, draw, place
from qwenimage_ref.posters.understanding import edges

POSTER = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
PROMPT = "a green ring left of a blue star on a white background"
OTHER = "a red circle left of a green diamond on a white background"
RECOLOURED = "a green circle left of an orange star on a navy background"
HEIGHT = 1000
CORNERS = ((55, -60), (120, -60), (55, -30), (120, -30), (55, 0), (120, 0), (55, 30), (120, 30))


def main() -> None:
    if chromium.executable() is None:
        sys.exit("page_pictures: there must be a chromium on the PATH; install one")
    speed.calibrate()
    words = [f"--lora={VARIANTS / 'eligen.safetensors'}"]
    words.append(f"--control={VARIANTS / 'control_blockwise.safetensors'}")
    with tempfile.TemporaryDirectory() as folder, chromium.launched() as browser:
        home = Path(folder)
        Image.fromarray(draw(POSTER)).save(home / "poster.png")
        photograph(browser, home / "text", [], {"page": paint, "page_mask": paint_inside})
        offered = {"page_control": follow_edges, "page_regions": paint_regions}
        photograph(browser, home / "offers", words, offered)
        for name, do in {"edit": edit, "layered": take_apart}.items():
            weights = assemble(name, home / f"{name}_weights")
            photograph(browser, home / name, [f"--weights={weights}"], {f"page_{name}": do})


def photograph(browser, home: Path, words: list[str], tasks: dict) -> None:
    """Serve a page; do each task in a tab, and keep what it shows under the task's name."""
    home.mkdir()
    with page(home, *words) as served:
        for name, do in tasks.items():
            tab = chromium.empty_tab(browser, height=HEIGHT)
            tab.goto(served.address)
            tab.wait_for_selector("#prompt textarea")
            do(tab, home.parent / "poster.png")
            keep(tab, home, f"{name}.png")
            tab.close()


def paint(tab, poster: Path) -> None:
    ask(tab, PROMPT, 11)
    chromium.click(tab, "Paint")


def paint_inside(tab, poster: Path) -> None:
    """Draw over the right half of a poster, and paint another scene there."""
    chromium.draw_mask(tab, poster, *CORNERS)
    ask(tab, OTHER, 11)
    chromium.click(tab, "Paint inside")


def follow_edges(tab, poster: Path) -> None:
    """Paint other colours along the edges of a poster."""
    tab.get_by_role("tab", name="Control").click()
    drawn = poster.with_name("edges.png")
    Image.fromarray(edges(place(POSTER, 0))).save(drawn)
    upload(tab, drawn)
    ask(tab, RECOLOURED, 11)
    chromium.click(tab, "Paint")


def paint_regions(tab, poster: Path) -> None:
    """Draw two regions in the first colours, each with a prompt of its own."""
    tab.get_by_role("tab", name="Regions").click()
    for number, (region, across) in enumerate({"a red ring": -80, "a blue star": 80}.items()):
        chromium.choose_brush(tab, number)
        chromium.draw_line(tab, *((across + x, y) for y in (-30, 0, 30) for x in (-20, 20)))
        tab.get_by_label("What is").nth(number).fill(region)
    tab.get_by_text("More settings").click()
    tab.get_by_label("LoRA", exact=True).click()
    tab.get_by_role("option").first.click()
    tab.keyboard.press("Escape")
    ask(tab, "a red ring and a blue star on a white background", 11)
    chromium.click(tab, "Paint")


def edit(tab, poster: Path) -> None:
    upload(tab, poster)
    ask(tab, "make the background navy", 1)
    chromium.click(tab, "Edit")


def take_apart(tab, poster: Path) -> None:
    upload(tab, poster)
    tab.get_by_label("number input for Layers").fill("3")
    tab.keyboard.press("Tab")
    ask(tab, "a red circle left of a blue star on a white background", 1)
    chromium.click(tab, "Take apart")


def ask(tab, prompt: str, seed: int) -> None:
    tab.fill("#prompt textarea", prompt)
    tab.uncheck("#random input")
    tab.fill("#seed input", f"{seed}")


def upload(tab, picture: Path) -> None:
    """Put a picture into the frame of the tab that is shown."""
    with tab.expect_file_chooser() as chooser:
        tab.locator("button.upload-container:visible").first.click()
    chooser.value.set_files(picture)


def keep(tab, home: Path, name: str) -> None:
    """Write what the tab shows, once there is a result and the history has it too."""
    chromium.shown(tab)
    tab.wait_for_selector("#shown img")
    tab.evaluate("scrollTo(0, 0)")
    tab.mouse.move(0, 0)
    tab.wait_for_timeout(1000)  # fading ends
    tab.screenshot(path=home / name)
    write_picture(np.asarray(Image.open(home / name).convert("RGB")), name)


if __name__ == "__main__":
    main()
