"""data/pictures/edits_of_several.png: what an editor makes of instructions for several pictures.

python -m qwenimage_ref.course.publish.edits_of_several FOLDER     FOLDER: the editor's
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from ...evaluate import editing
from ...evaluate.score import contact_sheet
from ...pictures import sheet, write_picture
from ...pipeline import QwenImage
from ...posters.edits import SEVERAL_PICTURES
from ...repository import in_a_clone
from .derive import labelled

SHOWN = 3 * len(SEVERAL_PICTURES)  # instructions: the first held-out ones, three of each kind
MOST = max(count for count, _ in SEVERAL_PICTURES.values())


def tiles(pipe: QwenImage, count: int = SHOWN) -> list[np.ndarray]:
    """Of each instruction the pictures that it is given, then the answer, (H, W, 3) uint8 each"""
    drawn = []
    for i, each in enumerate(editing.instructions_of_several(count)):
        answer = editing.paint(pipe, each.prompt, each.pictures, each.target.size, i)
        blank = [Image.new("RGB", answer.size, "white")] * (MOST - len(each.pictures))
        row = sheet([*each.pictures, *blank, answer], columns=MOST + 1, gap=4)
        label = each.prompt if each.prompt.isascii() else f"[zh] {each.kind}"
        drawn.append(labelled(row, label, size=row.size))
    return drawn


@in_a_clone
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.publish.edits_of_several")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an editor of several pictures")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.folder)
    write_picture(contact_sheet(tiles(pipe), columns=2), "edits_of_several.png")


if __name__ == "__main__":
    main()
