"""What a visitor entered on the page -> the arguments of `qwenimage paint` or `layers`.

Every check is that of the command. Here only what cannot be said to the command is refused.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from .history import History
from .jobs import QueueError

MOST_SEED = 2**31 - 1  # largest seed of the official demo
MOST_CHARACTERS = 10_000  # longest text
OFFICIAL_SIZES = {
    "1:1": (1328, 1328), "16:9": (1664, 928), "9:16": (928, 1664), "4:3": (1472, 1104),
    "3:4": (1104, 1472), "3:2": (1584, 1056), "2:3": (1056, 1584),
}  # fmt: skip
IN_CONTEXT = "in context, by its LoRA"  # in place of a control network
REGION_COLOURS = {"red": "#e63946", "green": "#2a9d8f", "blue": "#3a5fcd"}


def sizes_of(abilities: dict) -> dict[str, str]:
    """What the weights can do -> {what the page calls a size: WIDTHxHEIGHT}

    Those of the official demo; for models of another area the same proportions, and of a pocket
    model only what it was trained at. Squares come first: the first size is chosen at the start.
    """
    if abilities["sizes"]:
        squares_first = sorted(abilities["sizes"], key=lambda size: size[0] != size[1])
        return {f"{w} × {h}": f"{w}x{h}" for w, h in squares_first}
    scale = abilities.get("sample_size", 1328) / 1328
    sides = {
        ratio: [max(16, round(side * scale / 16) * 16) for side in pair]
        for ratio, pair in OFFICIAL_SIZES.items()
    }
    return {f"{ratio} ({w} × {h})": f"{w}x{h}" for ratio, (w, h) in sides.items()}


def named(files: list[str]) -> list[tuple[str, str]]:
    """Files that a server offers, each with its name on the page before it

    Where they lie does not concern visitors. Files of one name are told apart by whole paths.
    """
    names = [Path(file).name for file in files]
    return [(name if names.count(name) == 1 else file, file) for name, file in zip(names, files)]


def common(wish: dict) -> list[str]:
    """The arguments that all tasks share. Raises QueueError."""
    for name in ("prompt", "negative"):
        if len(wish.get(name) or "") > MOST_CHARACTERS:
            raise QueueError(f"a text must be at most {MOST_CHARACTERS:,} characters; shorten it")
    arguments = [f"--seed={int(wish['seed'])}", f"--negative={wish['negative'] or ' '}"]
    if not wish.get("lightning"):
        arguments += [f"--steps={int(wish['steps'])}", f"--cfg={float(wish['cfg'])}"]
    arguments += [f"--lora={file}={float(wish['lora_scale'])}" for file in wish.get("lora") or []]
    return arguments


def painting(wish: dict) -> list[str]:
    """The arguments that all tasks of `qwenimage paint` share, but for the prompt behind them"""
    switches = {"lightning": "--lightning", "rewrite": "--rewrite"}
    return [*common(wish), *(option for name, option in switches.items() if wish.get(name))]


def over_picture(wish: dict, history: History) -> list[str]:
    """One picture or several that were uploaded, and the strength where one is asked for"""
    files = [file for file in wish["pictures"] if file]
    if not files:
        raise QueueError("a picture must be given; put one into the frame")
    arguments = [f"--image={_kept(file, history)}" for file in files]
    return arguments + ([f"--strength={wish['strength']}"] if "strength" in wish else [])


def inside_mask(wish: dict, history: History) -> list[str]:
    """A picture and what was drawn over it"""
    editor = wish["editor"]
    if not editor or editor["background"] is None:
        raise QueueError("a picture must be given; put one into the frame")
    picture = editor["background"].convert("RGB")
    mask = drawn(editor, picture.size)
    if mask.getbbox() is None:
        raise QueueError("the part to be painted anew must be drawn; use the brush on the picture")
    files = {"image": picture, "mask": mask}
    arguments = [f"--{name}={history.keep_picture(each)}" for name, each in files.items()]
    arguments.append(f"--strength={wish['strength']}")
    return arguments + (["--padding-mask-crop=32"] if wish.get("crop") else [])


def in_regions(wish: dict, history: History) -> list[str]:
    """Prompts of their own for what was drawn in each colour"""
    width, height = map(int, wish["size"].split("x"))
    masks = by_colour(wish["editor"], (width, height))
    pairs = [(prompt, masks[name]) for name, prompt in wish["regions"].items() if prompt]
    if not pairs:
        raise QueueError("at least one region must have a prompt; say what is where")
    return [f"--region={prompt}={history.keep_picture(mask)}" for prompt, mask in pairs]


def controlled(wish: dict, history: History) -> list[str]:
    """A picture of edges, depth or poses, and what reads it: a network, or the model itself"""
    (file,) = wish["pictures"]
    if not file or not wish["net"]:
        raise QueueError("a control picture must be given; put one into the frame")
    if wish["net"] == IN_CONTEXT:
        return [f"--context={_kept(file, history)}"]
    numbers = ",".join(str(float(wish[name])) for name in ("scale", "start", "end"))
    return [f"--control={wish['net']}={_kept(file, history)}@{numbers}"]


def taken_apart(wish: dict, history: History) -> list[str]:
    """The arguments of `qwenimage layers`"""
    (file,) = wish["pictures"]
    if not file:
        raise QueueError("a picture must be given; put one into the frame")
    arguments = [*common(wish), f"--layers={int(wish['layers'])}"]
    if (wish["prompt"] or "").strip():
        arguments.append(f"--prompt={wish['prompt']}")
    return [*arguments, "--", str(_kept(file, history))]


def _kept(file: str, history: History) -> Path:
    return history.keep(Path(file).read_bytes(), Path(file).suffix.lower()[:5])


def drawn(editor: dict, size: tuple[int, int]) -> Image.Image:
    """Layers of the editor -> a mask of that size, white where anything was drawn"""
    mask = np.zeros(size[::-1], bool)
    for layer in editor["layers"] or []:
        alpha = layer.convert("RGBA").getchannel("A").resize(size, Image.Resampling.NEAREST)
        mask |= np.asarray(alpha) >= 128
    return Image.fromarray(mask.astype(np.uint8) * 255)


def by_colour(editor: dict | None, size: tuple[int, int]) -> dict[str, Image.Image]:
    """Layers of the editor -> a mask for each of REGION_COLOURS; a stroke has the nearest colour"""
    names = list(REGION_COLOURS)
    palette = np.array([_rgb(colour) for colour in REGION_COLOURS.values()])
    masks = np.zeros((len(names), *size[::-1]), bool)
    for layer in (editor or {}).get("layers") or []:
        pixels = np.asarray(layer.convert("RGBA").resize(size, Image.Resampling.NEAREST)).astype(
            int
        )
        distances = ((pixels[..., None, :3] - palette) ** 2).sum(-1)  # (h, w, colours)
        nearest, there = distances.argmin(-1), pixels[..., 3] >= 128
        masks[:, there] = False  # what lies above covers what is below
        masks |= (nearest == np.arange(len(names))[:, None, None]) & there
    return {n: Image.fromarray(mask.astype(np.uint8) * 255) for n, mask in zip(names, masks)}


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def checked_seed(seed) -> int:
    """Raises QueueError for a seed that the page cannot have."""
    if seed is None or not math.isfinite(seed) or not 0 <= seed <= MOST_SEED:
        raise QueueError(f"the seed must be a whole number from 0 to {MOST_SEED:,}, got {seed}")
    return int(seed)
