"""`qwenimage export`: a folder of weights in the layout of another program."""

import argparse
from pathlib import Path

from .console import say
from .places import demand_folder
from .pocket import POCKET

ABOUT = (
    "Writes three single files as ComfyUI loads them: diffusion_models/, text_encoders/ and vae/ "
    "below the folder of -o, which may be ComfyUI's own models. Numbers are copied as they are."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    about = "folder in the official layout, or a hub id in the local cache; default data/pocket"
    parser.add_argument("folder", nargs="?", default=POCKET, metavar="FOLDER", help=about)
    parser.add_argument("--to", required=True, choices=("comfy",), help="which program reads it")
    about = "folder to write; default comfy"
    parser.add_argument("-o", "--output", type=Path, default=Path("comfy"), help=about)
    parser.set_defaults(run=run)


def run(options) -> None:
    demand_folder("-o", options.output)
    from tqdm import tqdm

    from ..checkpoint import locate
    from ..formats.comfy_export import export, fits

    folder = locate.resolve(options.folder)
    with tqdm(desc="exporting", unit="B", unit_scale=True, delay=0.1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        files = export(folder, options.output, show)
    if not fits(folder):
        say("note: ComfyUI loads models of the released widths only, and this one has others")
    for file in files:
        print(file)
