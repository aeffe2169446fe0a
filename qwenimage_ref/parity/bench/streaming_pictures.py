"""Peak memory of a streamed model that is given a picture, at official widths and 256x256 pixels.

python -m qwenimage_ref.parity.bench.streaming_pictures FOLDER edit      Edit-2511, a picture
python -m qwenimage_ref.parity.bench.streaming_pictures FOLDER control   a blockwise control network

A FOLDER that does not exist is forged with two blocks (about 6.2 GB) and deleted at the end: memory
does not depend on their number. The result is printed and written to data/measurements.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from ...adapt.control import BlockwiseConfig, BlockwiseControlNet
from ...adapt.control_files import load
from ...checkpoint import save
from ...checkpoint.forge import first_blocks, forge
from ...controlled import ControlledQwenImage
from ...pipeline import QwenImage
from ...repository import in_a_clone
from ...tasks.control import Control
from .streaming import interpreter_gb, keep
from .streaming_tasks import PROMPT, measure

BLOCKS, SIDE, STEPS = 2, 256, 2
MODEL = {"edit": "edit-2511", "control": "qwen-image"}
MOST_GB = {"edit": 1.5, "control": 1.6}  # above an interpreter that imported torch
NETWORK = "control"  # folder of the network beside the model's parts


def edit_task(folder: Path) -> list[Callable]:
    """Paints with one picture, which both paths take at 256x256"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    pipe.recommended |= {"sample_size": SIDE, "reading_size": SIDE}
    return [lambda: _paint(pipe, image=_picture())]


def control_task(folder: Path) -> list[Callable]:
    """Paints under a blockwise network"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    net = load(folder / NETWORK, pipe.transformer, torch.bfloat16, streamed=True)
    controlled = ControlledQwenImage(pipe, [Control(net, _picture())])
    return [lambda: _paint(controlled)]


TASKS = {"edit": edit_task, "control": control_task}


def _picture() -> Image.Image:
    return Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")


def _paint(pipe: QwenImage, **pictures) -> None:
    pipe(PROMPT, " ", 4.0, SIDE, SIDE, STEPS, seed=0, **pictures)


def forge_folder(folder: Path, task: str) -> None:
    forge(folder, first_blocks(BLOCKS, MODEL[task]))
    if task == "control":
        width = first_blocks(BLOCKS).transformer.inner_dim
        save(BlockwiseControlNet(BlockwiseConfig(BLOCKS, width)), folder / NETWORK, "model")


def measured(folder: Path, task: str) -> dict:
    """The peak of one painting in a process of its own, and what of it is above the imports"""
    command = [sys.executable, "-m", __spec__.name, str(folder), task, "--measure"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    result = json.loads(printed.splitlines()[-1])
    above = round(result["peak_gb"] - interpreter_gb(), 3)
    return result | {"above_gb": above, "most_gb": MOST_GB[task], "ok": above <= MOST_GB[task]}


@in_a_clone
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--measure", action="store_true", help="paint in this very process")
    arguments = parser.parse_args()
    folder, task = arguments.folder.expanduser().resolve(), arguments.task
    if arguments.measure:
        with torch.no_grad():
            print(json.dumps(measure(TASKS[task](folder), [folder])), flush=True)
        return
    forged_here = not folder.exists()
    try:
        if forged_here:
            forge_folder(folder, task)
        result = measured(folder, task)
        keep(**{f"streamed {task}": result})
        print(json.dumps(result, indent=1))
    finally:
        if forged_here:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
