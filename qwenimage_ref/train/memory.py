"""What a step of each mode of `qwenimage train` holds in memory, by formulas; nothing is loaded.

    base                      frozen weights: all, or what a streamed network has at once
    trained                   float32 weights with two moments and an average
    gradients                 float32
    kept activations          of forward passes that the backward pass has not reached
    activations of a block    of the one that runs
    stored                    what is computed once for several passes

The peak is at one of a few moments of a step. Each mode lists what is alive at them, and the
largest sum counts. A forward pass without gradients (a reference, a teacher, a rollout) holds less
than a block that runs backward, so it is listed only where kept activations lie beside it. Not
counted are data, and text encoder and VAE, which `--prepared` leaves out.
"""

import functools
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch

from ..adapt.control import BlockwiseConfig, BlockwiseControlNet
from ..adapt.lora import TARGETS, named_linears
from ..config import MMDiTConfig
from ..mmdit import MMDiT
from .recompute import UPCAST, activation_bytes

FLOAT32 = 4  # bytes of a number
KEPT = 4  # float32 numbers of a trained weight: itself, two moments, its average
# Tensors that a block saves unless it is recomputed, in units of one (I + T, D) activation: with an
# adapter on DiffSynth's layers; where every weight is trained; where gradients only pass through,
# because the gradient of a frozen layer does not need its input
SAVED = {"adapter": 21, "whole": 24, "frozen": 12}
# Tensors alive when gradients pass backward through a frozen block, as INSIDE and MLP of
# recompute.py, without those of adapters
PASSED, PASSED_MLP = 8, 3 * 4
# Tensors alive in a block's forward pass without gradients: streams, and the image's MLP
FORWARD, FORWARD_MLP = 5, 2 * 4
# Float32 image activations that a control block saves, and one more where it copies 16 bits; and
# those alive besides when gradients pass backward through it
CONTROL, PASSED_CONTROL = 6, 4
# Float32 image activations that DMD2's judge saves: upcast, normalised, before and after SiLU
JUDGED = 4


@dataclass(frozen=True)
class Sizes:
    """A network and its batch, and how both are held."""

    config: MMDiTConfig
    image_tokens: int  # in a picture
    text_tokens: int
    batch: int = 1  # pictures, pairs or prompts: what `--batch` of the mode counts
    rank: int = 16  # adapters are on DiffSynth's layers
    itemsize: int = 2  # bytes of a number of the base and of activations
    recompute: bool = True
    streamed: bool = False

    @property
    def adapter(self) -> int:
        """Parameters of an adapter"""
        return adapter_parameters(self.config, self.rank)


@dataclass(frozen=True)
class Moment:
    """What is alive at once besides weights."""

    passes: float  # forward passes whose activations are kept
    gradients: float = 0  # parameters that have a gradient
    runs: str = "backward"  # last: the last block of the last pass; backward; forward; nothing
    beside: float = 0  # bytes of activations outside the transformer


@dataclass(frozen=True)
class Step:
    """All that memory depends on in a mode."""

    moments: list[Moment]
    trained: int  # parameters
    pictures: int  # in a forward pass
    kind: str = "adapter"  # a key of SAVED
    stored: int = 0  # bytes


def memory_of(mode: str, choices, sizes: Sizes) -> dict[str, int]:
    """Bytes by part when a step of a mode, a name of `qwenimage train`, holds the most

    choices: the mode's own dataclass. Full training is in float32 whatever `sizes` says; raises
    ValueError where it would be of a streamed network.
    """
    if mode == "full":
        if sizes.streamed:
            raise ValueError("full training must have its weights in memory; leave out streaming")
        sizes = replace(sizes, itemsize=FLOAT32)
    step = STEPS[mode](choices, sizes)
    activations = _activations(step, sizes)
    parts = [
        {
            "base": 0 if step.kind == "whole" else base_bytes(sizes),
            "trained": KEPT * FLOAT32 * step.trained,
            "gradients": round(FLOAT32 * moment.gradients),
            "kept activations": round(moment.passes * activations["kept"] + moment.beside),
            "activations of a block": activations[moment.runs],
            "stored": step.stored,
        }
        for moment in step.moments
    ]
    return max(parts, key=lambda part: sum(part.values()))


def _activations(step: Step, sizes: Sizes) -> dict[str, int]:
    """Bytes that a pass keeps, and those inside a block that runs, by what it does"""
    image, text = step.pictures * sizes.image_tokens, step.pictures * sizes.text_tokens
    token = sizes.config.inner_dim * sizes.itemsize
    stream = (image + text) * token
    upcast = UPCAST * (sizes.itemsize == 2)
    copies = 0  # an adapter's float32 weights in the type of the base
    if step.kind == "adapter" and sizes.itemsize != FLOAT32:
        copies = sizes.itemsize * sizes.adapter // sizes.config.num_layers
    saved = (SAVED[step.kind] + upcast) * stream + copies
    if step.kind == "frozen":
        backward = (PASSED + upcast) * stream + PASSED_MLP * image * token
    else:
        backward = activation_bytes(sizes.config, sizes.itemsize, image, text)[1] + copies
    # the block before the first control needs no gradient
    blocks = sizes.config.num_layers - (step.kind == "frozen")
    return {
        "kept": blocks * (stream if sizes.recompute else saved),
        "last": backward - (0 if sizes.recompute else saved),
        "backward": backward,
        "forward": FORWARD * stream + FORWARD_MLP * image * token,
        "nothing": 0,
    }


# -- weights --------------------------------------------------------------------------------------


@functools.cache
def network_parameters(config: MMDiTConfig) -> tuple[int, int]:
    """Of the network, and of one of its blocks"""
    with torch.device("meta"):
        network = MMDiT(config)
    total, block = (
        sum(p.numel() for p in each.parameters())
        for each in (network, network.transformer_blocks[0])
    )
    return total, block


def base_bytes(sizes: Sizes) -> int:
    """Of the frozen weights; of a streamed network one block counts"""
    total, block = network_parameters(sizes.config)
    absent = sizes.config.num_layers - 1 if sizes.streamed else 0
    return sizes.itemsize * (total - absent * block)


@functools.cache
def adapter_parameters(config: MMDiTConfig, rank: int) -> int:
    """Of a LoRA on the layers that DiffSynth adapts"""
    with torch.device("meta"):
        linears = named_linears(MMDiT(config))
    return sum(
        rank * (layer.in_features + layer.out_features)
        for name, layer in linears.items()
        if any(fnmatchcase(name, pattern) for pattern in TARGETS["DiffSynth"])
    )


# -- modes ----------------------------------------------------------------------------------------


def _backward(passes: int, trained: int, batches: int = 1) -> list[Moment]:
    """From where all passes are kept to where the last of them has given its gradients

    batches: that are averaged into a step; the later ones find the gradients of the first.
    """
    earlier = trained if batches > 1 else 0
    return [Moment(passes, earlier, "last"), Moment(passes - 1, trained)]


def _lora(choices, sizes: Sizes) -> Step:
    adapter = sizes.adapter
    return Step(_backward(1, adapter, choices.accumulate), adapter, sizes.batch)


def _full(choices, sizes: Sizes) -> Step:
    total, _ = network_parameters(sizes.config)
    return Step(_backward(1, total, choices.accumulate), total, sizes.batch, "whole")


def _dpo(choices, sizes: Sizes) -> Step:
    """Winner and loser share a pass; the reference runs before it."""
    adapter = sizes.adapter
    return Step(_backward(1, adapter, choices.accumulate), adapter, 2 * sizes.batch)


def _differential(choices, sizes: Sizes) -> Step:
    """In the second run, whose network has the first one's adapter with all that belongs to it"""
    adapter = sizes.adapter
    return Step(_backward(1, adapter, choices.accumulate), 2 * adapter, sizes.batch)


def _grpo(choices, sizes: Sizes) -> Step:
    """Guidance takes two passes, both kept; the reference runs while they are."""
    adapter, passes = sizes.adapter, 1 if choices.guidance == 1 else 2
    batches = sizes.batch * choices.trained
    moments = _backward(passes, adapter, batches)
    if choices.beta:
        moments.append(replace(moments[0], runs="forward"))
    states = sizes.batch * (choices.steps + 1) * choices.group
    return Step(moments, adapter, choices.group, stored=states * _latents(sizes) * FLOAT32)


def _latents(sizes: Sizes) -> int:
    """Numbers of a picture's packed latents"""
    return sizes.image_tokens * sizes.config.in_channels


def _distill(choices, sizes: Sizes) -> Step:
    """All of the student's steps are kept: the gradient runs through them."""
    adapter = sizes.adapter
    return Step(_backward(choices.steps, adapter, choices.accumulate), adapter, sizes.batch)


def _imitate(choices, sizes: Sizes) -> Step:
    """As distillation, because the backward pass waits for all steps; and the teacher's states"""
    states = (choices.steps + 1) * sizes.batch * _latents(sizes)
    return replace(_distill(choices, sizes), stored=states * sizes.itemsize)


def _dmd2(choices, sizes: Sizes) -> Step:
    """The student's step and the fake's; in the first, fake and teacher run beside what is kept."""
    adapter, steps, many = sizes.adapter, choices.steps, choices.accumulate
    student = _backward(steps, adapter, many)
    if choices.adversarial:
        return _judged(choices, sizes, student)
    moments = [*student, replace(student[0], runs="forward"), *_backward(1, adapter, many)]
    return Step(moments, 2 * adapter, sizes.batch)


def _judged(choices, sizes: Sizes, student: list[Moment]) -> Step:
    """With the judge, which reads the fake's tokens behind the middle block

    Its slope needs the fake's pass, whose upper part stays until the student's loss is known; in
    the fake's own step there is one more pass, of real pictures, of which the lower part stays.
    """
    adapter, width = sizes.adapter, sizes.config.inner_dim
    judge = width * width + 2 * width + 1
    lower = ((sizes.config.num_layers - 1) // 2 + 1) / sizes.config.num_layers
    judged = JUDGED * FLOAT32 * sizes.batch * sizes.image_tokens * width
    earlier = adapter + judge if choices.accumulate > 1 else 0
    before, steps = student[0].gradients, choices.steps
    slope = [
        Moment(steps + 1, before, "last", judged),
        Moment(steps + 1 - lower, before, "forward", judged),
    ]
    fake = [
        Moment(2, earlier, "forward", judged),
        # the judge's gradients of both kinds of pictures, and their sum
        Moment(1 + lower, earlier + 3 * judge, "forward", judged),
        Moment(1 + lower, max(earlier, judge), "last"),
        Moment(1, max(earlier, judge + lower * adapter), "last"),
        Moment(0, adapter + judge),
    ]
    return Step([*student, *slope, *fake], 2 * adapter + judge, sizes.batch)


def _control(choices, sizes: Sizes) -> Step:
    """Its blocks are not recomputed, and keep what they save whatever --recompute does."""
    config = sizes.config
    with torch.device("meta"):
        network = BlockwiseControlNet(
            BlockwiseConfig(config.num_layers, config.inner_dim, config.in_channels)
        )
        trained = sum(p.numel() for p in network.parameters())
    copied = sizes.itemsize != FLOAT32
    one = FLOAT32 * sizes.batch * sizes.image_tokens * config.inner_dim
    saved = (CONTROL + copied) * one
    share = trained / config.num_layers
    earlier = trained if choices.accumulate > 1 else 0
    moments = [
        Moment(1, earlier, "nothing", config.num_layers * saved + PASSED_CONTROL * one),
        Moment(1, max(earlier, share), "last", (config.num_layers - 1) * saved),
        Moment(0, trained, beside=saved),
    ]
    return Step(moments, trained, sizes.batch, "frozen")


STEPS = {
    "lora": _lora, "full": _full, "control": _control, "dpo": _dpo, "grpo": _grpo,
    "distill": _distill, "imitate": _imitate, "dmd2": _dmd2, "differential": _differential,
}  # fmt: skip
