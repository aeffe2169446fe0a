"""Few steps: how straight a way is, a student on the plane, pictures in a hurry, a slider."""

import copy
from collections.abc import Callable

import ipywidgets
import matplotlib.pyplot as plt
import torch

from ...evaluate.few_steps import Sampling, applied
from ...posters.read import read
from ..charts import COLOURS
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Shown, describe, figure, png
from .flow_on_a_plane import STAR, Field, batch

STEPS = (1, 2, 4, 8)


# ---- ways through the latents


@torch.no_grad()
def walk(pipe, prompts: list[str], levels, seed: int = 0):
    """-> states (steps + 1, B, C, h, w) and the clean estimates before each step, unguided"""
    noise, seen = pipe.noise(len(prompts), 128, 128, [*range(seed, seed + len(prompts))]), []

    def watch(step, sigma, latents, velocity):
        seen.append((latents, latents - sigma * velocity))

    end = pipe.denoise(noise, levels, *pipe.encode_prompts([prompts]), callback=watch)
    states, clean = zip(*seen)
    return torch.stack([*states, end]), torch.stack(clean)


def beside_the_chord(states):
    """(steps + 1, ...) -> (steps + 1, 2): along the chord, and across it where the way bends most

    Both in lengths of the chord, which leads from the first state, (0, 0), to the last, (1, 0).
    """
    way = (states - states[0]).flatten(1)
    chord = way[-1]
    along = way @ chord / chord.dot(chord)
    across = way - along[:, None] * chord
    strongest = torch.linalg.svd(across, full_matrices=False).Vh[0]
    bend = across @ strongest / chord.norm()
    return torch.stack([along, bend * bend[bend.abs().argmax()].sign()], dim=1)


# ---- on the plane


def teach(field: Field, steps: int, generator: torch.Generator) -> None:
    """Flow matching, as in the chapter about the sampler: the field learns noise - data."""
    optimizer = torch.optim.Adam(field.parameters(), lr=6e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        data, label = batch(512, generator)
        noise = torch.randn(data.shape, generator=generator)
        sigma = torch.sigmoid(1.5 * torch.randn(512, generator=generator) - 0.7)
        x = (1 - sigma[:, None]) * data + sigma[:, None] * noise
        _descend(optimizer, (field(x, sigma, label) - (noise - data)).pow(2).mean())
        decay.step()


def distil(
    field: Field, loss: Callable, noise, target, levels, steps: int, generator: torch.Generator
) -> Field:
    """A copy of the field that learns to lead from noise[i] to target[i] along the levels.

    loss(student, noise, target, levels) -> (), where student(x, sigma) is the copy, asked for
    the star; its gradient has to come back through all the steps.
    """
    student = copy.deepcopy(field)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def asked(x, sigma):
        return student(x, sigma.expand(len(x)), torch.full((len(x),), STAR))

    for _ in range(steps):
        drawn = torch.randint(len(noise), (512,), generator=generator)
        _descend(optimizer, loss(asked, noise[drawn], target[drawn], levels))
        decay.step()
    return student


def _descend(optimizer, loss) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# ---- pictures


def paint(pipe, prompt: str, way: Sampling, seed: int = 0):
    """One picture, the way it says."""
    with applied(pipe, way):
        return pipe(
            prompt,
            negative_prompt=" ",
            true_cfg_scale=way.guidance,
            num_inference_steps=way.steps,
            seed=seed,
        )[0]


@torch.no_grad()
def paint_levels(pipe, prompt: str, levels, seed: int = 0, guidance: float = 1, scale: float = 1):
    """One picture along levels of one's own, with the LoRA at a scale -> it, its latents"""
    groups = [[prompt], [" "]] if guidance > 1 else [[prompt]]
    with applied(pipe, Sampling(4, lora=scale)):
        noise = pipe.noise(1, 128, 128, seed)
        encoded = pipe.encode_prompts(groups)
        end = pipe.denoise(noise, levels, *encoded, true_cfg_scale=guidance)
        return pipe.to_pictures(end)[0], end


# ---- cost against quality


def cost_and_quality(panels: dict[str, dict[str, list]], alt: str) -> Shown:
    """Panels by title; each {name: [(runs, share, low, high), ...]}, drawn with whiskers."""
    fig, axes = plt.subplots(1, len(panels), figsize=(10.5, 3.6), layout="constrained")
    for ax, (title, series) in zip(axes, panels.items()):
        for colour, mark, (name, points) in zip(COLOURS, "os^", series.items()):
            runs, share, low, high = zip(*points)
            ax.plot(runs, share, mark + "-", color=PALETTE[colour], label=name)
            ax.vlines(runs, low, high, color=PALETTE[colour], linewidth=1.5, alpha=0.6)
        ax.set_xscale("log", base=2)
        ticks = (1, 2, 4, 8, 16, 40, 100)
        ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
        ax.set(title=title, xlabel="runs of the transformer", ylim=(0, 103))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("right, in per cent")
    axes[0].legend(frameon=False, fontsize=9, loc="lower right")
    return figure(fig, alt)


# ---- the slider


class StepSlider(Panel):
    """Steps, and the LoRA on or off, over one unguided picture. `picture.value` holds its PNG."""

    summary = "a slider for steps and a box for the LoRA; run the notebook to move them"

    def __init__(self, pipe, prompt: str, seed: int = 0):
        self.pipe, self.prompt, self.seed = pipe, prompt, seed
        self.steps = slider("steps", STEPS, 4)
        self.lora = ipywidgets.Checkbox(True, description="LoRA")
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.steps, self.lora], [self.picture, self.words])

    def state(self, steps: int, lora: bool) -> tuple[bytes, str]:
        painted = paint(self.pipe, self.prompt, Sampling(steps, lora=float(lora)), self.seed)
        words = f"steps {steps}, LoRA {'on' if lora else 'off'}: {describe(read(painted))}"
        return png(painted), words
