"""Peak memory of a streamed model that is given pictures, at official widths and 256x256 pixels.

python -m qwenimage_ref.parity.bench.streaming_pictures FOLDER TASK

edit      Edit-2511, a picture
control   a blockwise control network
instantx  InstantX's Union, all of its five blocks
regions   two regions and a picture in context, each kind with its LoRA
layers    a layered model, a picture in RGBA, four layers, a prompt

A FOLDER that does not exist is forged and deleted at the end, with two blocks (about 6.2 GB), for
instantx with five (11.7 GB). Memory does not depend on their number, except for LoRAs, whose
tensors are not streamed. The result is printed and written to data/measurements. Exit status 1: the
memory is above its limit.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from ...adapt import lora
from ...adapt.control import BlockwiseConfig, BlockwiseControlNet
from ...adapt.control_files import load
from ...adapt.control_forge import forge_control
from ...checkpoint import save
from ...checkpoint.forge import STD, first_blocks, forge
from ...checkpoint.model_folder import empty_network
from ...config import MMDiTConfig
from ...controlled import ControlledQwenImage
from ...files import CheckpointError
from ...pipeline import QwenImage
from ...repository import in_a_clone
from ...tasks.control import Control
from ...tasks.layers import decompose
from .streaming_tasks import PROMPT, measure, streamed

# careful: streaming.py imports diffusers, whose memory would count in the process that measures

SIDE, STEPS = 256, 2
MODEL = {"edit": "edit-2511", "layers": "layered"}  # those of the other tasks are qwen-image
BLOCKS = {"instantx": 5}  # a control network has at most as many as its transformer; others: 2
# limits above an interpreter that imported torch
MOST_GB = {"edit": 1.5, "control": 1.6, "instantx": 1.6, "regions": 1.6, "layers": 1.6}
NETWORK, ADAPTERS = "control", "loras"  # folders beside the model's parts
RANKS = {"eligen": 32, "in_context": 64}  # official ranks of the LoRAs
REGIONS = ("a red circle", "a blue star")  # left and right


def edit_task(folder: Path) -> list[Callable]:
    """Paints with one picture, which both paths take at 256x256"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    pipe.recommended |= {"sample_size": SIDE, "reading_size": SIDE}
    return [lambda: _paint(pipe, image=_picture())]


def control_task(folder: Path) -> list[Callable]:
    """Paints under a control network of either kind"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    net = load(folder / NETWORK, pipe.transformer, torch.bfloat16, streamed=True)
    controlled = ControlledQwenImage(pipe, [Control(net, _picture())])
    return [lambda: _paint(controlled)]


def regions_task(folder: Path) -> list[Callable]:
    """Paints in two regions, whose prompts hold in the negative branch, too, and in context"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    for name in RANKS:
        lora.load(pipe.transformer, folder / ADAPTERS / f"{name}.safetensors")
    regions, half = [], SIDE // 2
    for text, left in zip(REGIONS, (0, half)):
        mask = Image.new("L", (SIDE, SIDE))
        mask.paste(255, (left, 0, left + half, SIDE))
        regions.append((text, mask))
    arguments = {"regions": regions, "regions_on_negative": True, "context_image": _picture()}
    return [lambda: _paint(pipe, **arguments)]


def layers_task(folder: Path) -> list[Callable]:
    """Takes a transparent picture apart into four layers of 256x256"""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    pipe.recommended |= {"sample_size": SIDE}
    picture = _picture()
    picture.putalpha(picture.convert("L").rotate(90))
    return [lambda: decompose(pipe, picture, PROMPT, num_inference_steps=STEPS, seed=0)]


TASKS = {
    "edit": edit_task, "control": control_task, "instantx": control_task,
    "regions": regions_task, "layers": layers_task,
}  # fmt: skip


def _picture() -> Image.Image:
    return Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")


def _paint(pipe: QwenImage, **pictures) -> list[Image.Image]:
    return pipe(PROMPT, " ", 4.0, SIDE, SIDE, STEPS, seed=0, **pictures)


def forge_folder(folder: Path, task: str) -> None:
    """Write the model of a task and what goes with it. Raises CheckpointError."""
    configs = first_blocks(2, MODEL.get(task, "qwen-image"))
    mmdit = replace(configs.transformer, num_layers=BLOCKS.get(task, 2))
    configs = replace(configs, transformer=mmdit)
    forge(folder, configs)
    if task == "control":
        numbers = BlockwiseConfig(mmdit.num_layers, mmdit.inner_dim)
        save(BlockwiseControlNet(numbers), folder / NETWORK, "model")
    elif task == "instantx":
        forge_control(folder / NETWORK, "union", mmdit)
    elif task == "regions":
        forge_loras(folder)


def forge_loras(folder: Path) -> None:
    """Write LoRAs of random numbers in bf16 for the transformer of a folder."""
    mmdit, _ = streamed(folder)
    (folder / ADAPTERS).mkdir()
    for seed, (name, rank) in enumerate(RANKS.items()):
        adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], rank, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        for pair in adapter.pairs.values():
            torch.nn.init.normal_(pair.lora_B, std=STD, generator=generator)
        adapter.bfloat16()
        lora.save(mmdit, folder / ADAPTERS / f"{name}.safetensors")
        adapter.remove()


def lora_sizes(folder: Path) -> dict[str, float]:
    """GB of the LoRAs in a folder, and of such LoRAs for all official blocks; {} without any"""
    size = sum(file.stat().st_size for file in (folder / ADAPTERS).glob("*.safetensors")) / 1e9
    if not size:
        return {}
    blocks = len(empty_network(folder, "transformer").transformer_blocks)
    whole = size * MMDiTConfig.official().num_layers / blocks
    return {"lora_gb": round(size, 3), "lora_gb_of_all_blocks": round(whole, 3)}


def measured(folder: Path, task: str) -> dict:
    """The peak of one painting in a process of its own, and what of it is above the imports"""
    from . import streaming

    command = [sys.executable, "-m", __spec__.name, str(folder), task, "--measure"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    result = json.loads(printed.splitlines()[-1])
    above = round(result["peak_gb"] - streaming.interpreter_gb(), 3)
    return result | {"above_gb": above, "most_gb": MOST_GB[task], "ok": above <= MOST_GB[task]}


def measure_here(folder: Path, task: str) -> dict:
    """The same in this very process, without the comparison"""
    with torch.no_grad():
        return measure(TASKS[task](folder), [folder]) | lora_sizes(folder)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--measure", action="store_true", help="paint in this very process")
    options = parser.parse_args(arguments)
    folder, task = options.folder.expanduser().resolve(), options.task
    if options.measure:
        print(json.dumps(measure_here(folder, task)), flush=True)
        return 0
    forged_here = not folder.exists()
    try:
        if forged_here:
            forge_folder(folder, task)
        result = measured(folder, task)
    except CheckpointError as error:
        return _refuse(str(error))
    except subprocess.CalledProcessError as error:
        return _refuse(f"{task} stopped with status {error.returncode}; its error is above")
    finally:
        if forged_here:
            shutil.rmtree(folder, ignore_errors=True)
    from . import streaming

    streaming.keep(**{f"streamed {task}": result})
    print(json.dumps(result, indent=1))
    return int(not result["ok"])


def _refuse(line: str) -> int:
    print(f"streaming_pictures: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
