"""How far our numbers may lie from the reference's: one table, every entry with its reason.

All are relative to the largest absolute value of the reference tensor, in float32 on a CPU, unless
the reason says otherwise. Entries that end in " bf16" are for networks that compute in bfloat16:
`within(name, dtype)` finds them. Every stage is fed the reference's own input, or errors of the
stages before would be measured with it; only a picture is painted from end to end.
"""

from typing import NamedTuple

import torch


class Tolerance(NamedTuple):
    """A bound and why it is what it is."""

    value: float
    reason: str


# Correct ports that were published differ from the original by cosines of .9999 in float32 and
# .9985 in bf16: relative distances of 0.014 and 0.055. Where every operation is written as the
# original does it, far less is left, so the bounds below are tighter.
TOLERANCES = {
    # -- numbers that leave no room to differ
    "tokens": Tolerance(0.0, "texts with other ids: a token is right or wrong"),
    "sigmas": Tolerance(0.0, "absolute: the same float32 operations in the same order"),
    "times bf16": Tolerance(
        0.0, "absolute: the network was trained to be told the time rounded in this very way"
    ),
    "rope": Tolerance(0.0, "absolute: the same float32 formula on the same integers"),
    "noise": Tolerance(0.0, "absolute: the same generator asked for the same shape and type"),
    "euler bf16": Tolerance(0.0, "absolute: the same three roundings in the same places"),
    "preprocessing": Tolerance(
        0.0, "the same filter on the same bytes, then the same float32 formula: no room to differ"
    ),
    "resize variants": Tolerance(
        1.01 / 255 / 0.26130258,
        "absolute: PIL and torch round the same filter apart by one grey level at most, 1/255 "
        "before it is divided by the smallest standard deviation",
    ),
    "same kernels bf16": Tolerance(
        0.0, "a CPU runs the same kernels on the same shapes for both: every bit, 0 measured"
    ),
    "rotation": Tolerance(
        1e-6, "256 products in another order on other processors: bit for bit on one machine"
    ),
    # -- networks of a few layers
    "mmdit": Tolerance(1e-6, "same operations, another order of sums: 2.4e-7 measured"),
    "controlnet": Tolerance(
        1e-6,
        "the transformer's blocks with a linear layer behind each: 0 measured, last bits elsewhere",
    ),
    "controlnet bf16": Tolerance(
        3e-2, "bit for bit on one machine; six blocks of bf16 are at most 0.015 off, two twice"
    ),
    "text_encoder": Tolerance(1e-6, "same operations; 0 measured, last bits elsewhere"),
    "vae": Tolerance(
        1e-5, "a 2-D convolution beside a 3-D one with two zero frames: other kernels, other sums"
    ),
    "vision": Tolerance(
        1e-5, "patches embedded by a matrix product beside a 3-D convolution: other sums"
    ),
    "vision bf16": Tolerance(
        6e-2, "of the tower's output: bf16 is up to 0.03 off float32, two kernels at most twice"
    ),
    # -- stages of a whole model
    "text layer": Tolerance(
        1e-6, "bit for bit on one machine; another order of sums changes last bits"
    ),
    "text layer bf16": Tolerance(
        3e-2, "bit for bit on one machine; bf16 is 0.015 off float32, two kernels at most twice"
    ),
    "text states": Tolerance(
        1e-5,
        "bit for bit on one machine; 28 layers, each adding 1e-7 to 4e-7 by other sums elsewhere",
    ),
    "text states bf16": Tolerance(
        3e-2, "bit for bit on one machine; 28 layers of bf16 are 0.022 off float32"
    ),
    "vae encode": Tolerance(
        1e-5, "other convolution kernels, other sums: 1e-6 measured, 3e-6 worst"
    ),
    "vae encode bf16": Tolerance(
        5e-2,
        "other kernels round elsewhere: 0.016 measured on noise, 0.026 at 256x256 with forged "
        "weights, where ours is 0.023 and the reference's 0.026 off float32: at most both together",
    ),
    "vae inside": Tolerance(
        2e-5, "of any module: norms magnify where all channels are near zero, 4.6e-6 measured"
    ),
    "vae inside bf16": Tolerance(0.3, "of any module, as before: 0.07 measured at small widths"),
    "vae decode": Tolerance(1e-5, "other convolution kernels, other sums: 6e-6 measured (104 dB)"),
    "vae decode bf16": Tolerance(
        1e-1, "other kernels round elsewhere: 0.07 measured, and each is 0.05 off float32"
    ),
    "block": Tolerance(1e-6, "bit for bit on one machine; another order of sums, a few 1e-7"),
    "block bf16": Tolerance(
        1.5e-2, "bit for bit on one machine; bf16 is 0.006 off float32, two kernels at most twice"
    ),
    "stack": Tolerance(
        1e-5,
        "bit for bit on one machine, 1.3e-6 at most; changed last bits grow to 4e-6 through sixty "
        "blocks of random weights",
    ),
    "stack bf16": Tolerance(
        5e-2,
        "bit for bit on one machine; sixty blocks of bf16 are 0.02 off float32, two at most twice",
    ),
    "depth": Tolerance(
        5e-5, "streams after sixty free blocks: last bits changed before each block grow to 4e-6"
    ),
    "depth bf16": Tolerance(
        8e-2, "streams after sixty free blocks: bf16 is 0.04 off float32, two kernels at most twice"
    ),
    "guided step": Tolerance(
        1e-5, "two calls of the stack; guidance of scale 4 enlarges their difference, dt shrinks it"
    ),
    "guided step bf16": Tolerance(
        5e-2, "two calls of the stack in bf16, then three roundings of one Euler step"
    ),
    # -- public numbers of the released weights
    "latent rgb": Tolerance(
        0.3, "at least, of 1: .96 of its own photographs; wrong channels or statistics under .1"
    ),
    "velocity": Tolerance(
        0.1, "mean square: .017 to .058 published at these noise levels; a broken model far above"
    ),
    # -- from end to end
    "picture": Tolerance(
        1e-3, "mean of the absolute differences, white being 1: a quarter of a level, 2e-5 measured"
    ),
    "pixels over a picture": Tolerance(
        1.01 / 255, "of any pixel: a level that is nearly a half is rounded either way; 1/255 seen"
    ),
    "picture bf16": Tolerance(
        0.03, "as before; the gate that a published port sets itself for 50 free-running bf16 steps"
    ),
}


def within(name: str, dtype: torch.dtype = torch.float32) -> float:
    """The bound called `name`, for a network that computes in `dtype`."""
    return tolerance(name, dtype).value


def tolerance(name: str, dtype: torch.dtype = torch.float32) -> Tolerance:
    """The entry called `name`, for a network that computes in `dtype`."""
    return TOLERANCES[f"{name} bf16" if dtype == torch.bfloat16 else name]
