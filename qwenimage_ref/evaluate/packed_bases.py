"""The same heart on packed bases: the LoRA of chapter 10, trained on weights of fewer bits.

The frozen base is a file in one of the formats that are in use, and its layers stay packed while
the adapter learns. Data, recipe and settings are the chapter's. All bases see the same batches,
noise and levels, so that their losses can be compared; and all paint the same pictures: the ten
prompts that training never shows, each from several noises.
"""

import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ..adapt.streaming import named_linears
from ..checkpoint.packed_linear import BLOCKS
from ..checkpoint.write import save_file
from ..formats.comfy_packing import fields_of, pack
from ..formats.fp8 import save_fp8
from ..formats.fp8_dialects import METADATA
from ..formats.gguf import save_gguf
from ..mmdit import MMDiT
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters import heart
from ..train.dataset import Encoded
from ..train.loop import Recipe, Run
from ..train.lora import Settings, train
from .intervals import interval, paired
from .score import Trial, paint
from .seed_by_seed import log_of

RECIPE = Recipe(steps=70, batch=8, lr=4e-3, warmup=10, decay_from=0.4, ema=0.9)
SETTINGS = Settings(rank=8, alpha=8, targets="Lightning", sigma="shift", shift=2.0)
STEPS = 8  # sampling steps, unguided
EXACT = "float32"


def save_int8(mmdit: MMDiT, file: Path) -> None:
    """Write the blocks' linear layers as ComfyUI's int8 with a scale for each output"""
    kind, layers = "int8 by row", {}
    tensors = {name: weight.detach() for name, weight in mmdit.named_parameters()}
    for name in named_linears(mmdit):
        if name.startswith(BLOCKS):
            parts = pack(tensors[f"{name}.weight"].float(), kind)
            tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
            layers[name] = fields_of(kind)
    formats = json.dumps({"format_version": "1.0", "layers": layers})
    save_file(tensors, file, metadata={METADATA: formats})


# base: how its file is written, if its layers are packed, and how that file's name ends
PACKED: dict[str, tuple[Callable[[MMDiT, Path], object], str]] = {
    "scaled fp8": (save_fp8, ".safetensors"),
    "int8 by row": (save_int8, ".safetensors"),
    "Q4_0": (lambda mmdit, file: save_gguf(mmdit, file, "Q4_0"), ".gguf"),
}
BASES = (EXACT, "bf16", *PACKED)


@contextlib.contextmanager
def opened(name: str, pipe: QwenImage, folder: Path) -> Iterator[QwenImage]:
    """The folder's pipeline with its transformer as the base of that name, of BASES

    pipe: the same in float32, from which the base is packed.
    """
    if name == EXACT:
        yield pipe
    elif name not in PACKED:
        yield QwenImage.from_pretrained(folder, torch.bfloat16)
    else:
        write, ending = PACKED[name]
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / f"base{ending}"
            write(pipe.transformer, file)
            yield QwenImage.from_pretrained(folder, torch.float32, transformer=file)


def linear_bytes(mmdit: MMDiT) -> int:
    """Bytes in memory of the weights of the blocks' linear layers, scales with them"""
    return sum(
        tensor.nbytes
        for name, layer in named_linears(mmdit).items()
        if name.startswith(BLOCKS)
        for key, tensor in layer.named_parameters()
        if key != "bias"
    )


@torch.no_grad()
def encoded(pipe: QwenImage, pictures: list, captions: list[str]) -> list[Encoded]:
    """Pictures (H, W, 3) uint8 of one size and their captions, as training needs them"""
    latents = pipe.vae.normalize(pipe.vae.encode(to_input(pictures))[0])
    states = [pipe.encode_prompt([caption])[0][0] for caption in captions]
    return [Encoded(*pair) for pair in zip(latents, states)]


def lessons(pipe: QwenImage) -> list[Encoded]:
    """The chapter's 32 drawn hearts"""
    scenes, _ = heart.scenes()
    drawn = [heart.draw(scene, number) for number, scene in enumerate(scenes)]
    return encoded(pipe, drawn, [heart.prompt(scene) for scene in scenes])


def asked(count: int) -> list[Trial]:
    """So many pictures to paint: the ten new scenes take turns, each time from another noise"""
    _, wanted = heart.scenes()
    turns = itertools.islice(itertools.cycle(wanted), count)
    return [Trial(scene, "en", heart.prompt(scene), seed) for seed, scene in enumerate(turns)]


def hearts(pipe: QwenImage, captions: int) -> str:
    """Paint what is asked -> a 1 for each picture that shows a heart, a 0 for each other"""
    pictures = paint(pipe, asked(captions), STEPS, 1.0, quiet=True)
    return "".join("01"[heart.recognised(picture) == heart.NAME] for picture in pictures)


def alone(pipe: QwenImage, captions: int) -> dict:
    """What the base paints without an adapter"""
    return {"hearts": hearts(pipe, captions)}


class Clock:
    """Seconds of the processor since the last reading, for the end of a run's log."""

    def __init__(self):
        self.start = time.process_time()

    def __call__(self) -> dict[str, float]:
        start, self.start = self.start, time.process_time()
        return {"processor": self.start - start}


def timed() -> dict:
    """What Run.fit is given here: the last line of the log has the seconds of the training

    A training takes about half a minute and is stored at its end alone, so that the seconds are
    those of all its steps, also where the measurement was interrupted.
    """
    never = sys.maxsize
    return {"measure": Clock(), "measure_every": never, "save_seconds": never, "quiet": True}


def cost(run: Run, folder: Path) -> dict:
    """A finished run -> the mean loss of its last steps, and the seconds of all in the folder"""
    seconds = sum(log_of(file)[-1]["processor"] for file in folder.rglob(run.log_file.name))
    return {"loss": log_of(run.log_file)[-1]["loss"], "seconds": round(seconds, 2)}


def measure(
    name: str, pipe: QwenImage, base: Path, examples: list[Encoded], recipe: Recipe,
    folder: Path, captions: int,
) -> dict:  # fmt: skip
    """Train the heart on one base and paint with it -> pictures that show it, loss, seconds, bytes

    pipe: the base folder's, in float32. examples: of `lessons`. folder: where the run is kept.
    """
    with opened(name, pipe, base) as packed:
        empty = packed.encode_prompt([" "])[0][0]
        run = train(packed.transformer, examples, empty, recipe, SETTINGS, folder, name, **timed())
        try:
            row = {"hearts": hearts(packed, captions)} | cost(run, folder)
        finally:
            run.model.remove()
        return row | {"bytes": linear_bytes(packed.transformer)}


def rows(of_base: dict[str, dict]) -> dict[str, dict]:
    """{base: what `measure` returned} of one seed -> shares with intervals, each less float32's"""
    table = {}
    for name, result in of_base.items():
        mine = [bit == "1" for bit in result["hearts"]]
        table[name] = {key: value for key, value in result.items() if key != "hearts"}
        table[name]["hearts"] = interval(sum(mine), len(mine))
        if name != EXACT:
            exact = [bit == "1" for bit in of_base[EXACT]["hearts"]]
            table[name]["hearts less float32's"] = paired(mine, exact)
    return table
