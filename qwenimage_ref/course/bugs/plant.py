"""A gallery of bugs: each is a change of a few lines, planted while it is looked at, then undone.

No file of the package changes. `planted` takes the source of a function, replaces the lines,
compiles the result and puts it in the function's place, wherever it has been imported.
"""

import contextlib
import difflib
import importlib
import inspect
import sys
import textwrap
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from ... import pictures, pipeline
from ...parity.record import difference
from ..show import PALETTE, Markdown, Shown, figure, pocket_folder

PACKAGE = __name__.split(".")[0]
PROMPT = 'a red star left of a blue circle on a beige background with the text "HI"'
STEPS = 8


@dataclass(frozen=True)
class Change:
    """In the function called `where`, "mmdit.Block.forward", the text `old` becomes `new`."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A change that is easy to make by mistake, and what reveals it."""

    name: str
    says: str  # the bug in words
    changes: tuple[Change, ...]
    below: float  # dB: under this lies the PSNR of what is painted to what should be
    test: str  # a test of this repository that catches it, as file::name
    shows: bool = True  # whether a picture shows it; else the scene is painted as asked for
    reload: bool = False  # the bug sits where weights are read, so they are read again
    size: int = 128  # pixels along a side


# ---- planting a bug


def _find(where: str):
    """Of "mmdit.Block.forward": the module, the owner (module or class), the name, the thing"""
    module, *names = where.split(".")
    module = owner = importlib.import_module(f"{PACKAGE}.{module}")
    for name in names[:-1]:
        owner = vars(owner)[name]
    return module, owner, names[-1], vars(owner)[names[-1]]


def _sources(change: Change) -> tuple[str, str]:
    """The function's source without and with the change. LookupError where it does not apply."""
    thing = _find(change.where)[-1]
    source = textwrap.dedent(inspect.getsource(getattr(thing, "__func__", thing)))
    if source.count(change.old) != 1:
        raise LookupError(
            f"{change.where} must hold {change.old!r} once, got {source.count(change.old)} times"
        )
    return source, source.replace(change.old, change.new)


def _places(owner, name: str, thing) -> list:
    """A method's class; of a function of a module, every module that has imported it."""
    if inspect.isclass(owner):
        return [owner]
    return [module for module in [*sys.modules.values()] if vars(module).get(name) is thing]


@contextlib.contextmanager
def planted(bug: Bug):
    """While entered, the package has this bug."""
    with contextlib.ExitStack() as undo:
        for change in bug.changes:
            module, owner, name, thing = _find(change.where)
            changed = {}
            _, source = _sources(change)
            exec(compile(source, f"<{bug.name}>", "exec"), vars(module), changed)
            for place in _places(owner, name, thing):
                undo.callback(setattr, place, name, thing)
                setattr(place, name, changed[name])
        yield


# ---- painting with it


@dataclass(frozen=True)
class Painted:
    """A picture and the latents that it was decoded from, (1, C, h, w)."""

    picture: Image.Image
    latents: torch.Tensor


@torch.no_grad()
def paint(pipe, bug: Bug | None = None, prompt=PROMPT, seed=0, size=128, steps=STEPS) -> Painted:
    """One guided picture, with a bug, at the size of that bug, or without."""
    with planted(bug) if bug else contextlib.nullcontext():
        if bug:
            size = bug.size
            pipe = pipeline.QwenImage.from_pretrained(pocket_folder()) if bug.reload else pipe
        levels = pipeline.sigmas(steps, (size // pipeline.TOKEN) ** 2, pipe.scheduler)
        cond, uncond = pipe.encode_prompts([[prompt], [" "]])
        latents = pipe.denoise(pipe.noise(1, size, size, seed), levels, cond, uncond)
        return Painted(pipe.to_pictures(latents)[0], latents)


def psnr(a: Image.Image, b: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB: 6 more for half the error, infinite for equal pictures."""
    if a.size != b.size:
        raise ValueError(f"pictures must be of one size, got {a.size} and {b.size}")
    a, b = (torch.tensor(np.asarray(p.convert("RGB"))).double().unsqueeze(0) for p in (a, b))
    return pictures.psnr(a, b, span=255).item()


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """(...), (...) -> the largest difference, relative to the largest number of b"""
    return difference(a, b)[1]


def diff(bug: Bug) -> str:
    """The lines that the bug changes, as a version control system shows them."""
    lines = []
    for change in bug.changes:
        before, after = (source.splitlines() for source in _sources(change))
        lines.append(f"# {change.where}")
        changed = difflib.unified_diff(before, after, n=0, lineterm="")
        lines += [line for line in changed if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(lines)


def exhibit(*bugs: Bug) -> Markdown:
    """For each bug its name, what it does in words and in lines, and the test that catches it."""
    parts = [
        f"**{bug.name}**: {bug.says}\n\n```diff\n{diff(bug)}\n```\n\n"
        f"caught by `{bug.test.replace('::', '`, `')}`"
        for bug in bugs
    ]
    return Markdown("\n\n".join(parts))


def chart(distances: dict[str, float], shown: set[str], alt: str, bound: float = 80) -> Shown:
    """Bars in dB, the nearest to the right picture last; a colour for bugs that a picture shows"""
    names = sorted(distances, key=distances.get)
    fig, ax = plt.subplots(figsize=(8, 0.22 * len(names) + 0.8))
    for place, name in enumerate(names):
        value = distances[name]
        role = "joint" if value > bound else "image" if name in shown else "text"
        ax.barh(place, value, color=PALETTE[role], height=0.7)
        ax.text(value + 0.8, place, f"{value:.0f}", va="center", fontsize=8)
    ax.axvline(bound, color=PALETTE["ink"], linewidth=1, linestyle="dashed")
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set(xlabel="PSNR to the right picture, in dB", xlim=(0, 100))
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)
