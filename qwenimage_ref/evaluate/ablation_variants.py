"""The variants of the ablation study: one design choice changed at a time, from outside the model.

ablations.py trains each variant, or samples from weights that another one trained.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .. import pipeline
from ..pocket.train import CAPTION_DROPOUT, SIGMA_SHIFT
from ..rope import positions, rotations
from ..tasks.layers import without_rescale

GUIDANCE = 4.0


def unchanged(thing):
    return thing


# -- changes: to an untrained network, or to noise levels after sampling --------------------------


def text_at_origin(painter) -> None:
    """Every text token at (0, 0, 0), the centre of the picture: no order, no separate place."""
    _place_text(painter, lambda pos: torch.zeros_like(pos))


def text_in_a_row(painter) -> None:
    """Text positions advance along the columns only, as if the text were a row of the picture."""
    _place_text(painter, lambda pos: pos * torch.tensor([0, 0, 1]))


def _place_text(painter, move: Callable) -> None:
    stack = painter.transformer

    def rotations_of(grids, text_length, *_):  # device, and positions that no training gives
        img, txt = positions(grids, text_length)
        axes = stack.config.axes_dims_rope
        return rotations(img, axes), rotations(move(txt), axes)

    stack.rotations = rotations_of


def without_qk_norm(painter) -> None:
    """Attention without RMSNorm on queries and keys."""
    for block in painter.transformer.transformer_blocks:
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(block.attn, name, nn.Identity())


def one_mlp(painter) -> None:
    """The text stream uses the image stream's MLP in every block."""
    for block in painter.transformer.transformer_blocks:
        block.txt_mlp = block.img_mlp


def words_alone(painter) -> None:
    """The text tower has no layers: a token's state is its embedding, without context."""
    painter.text_encoder.model.layers = nn.ModuleList()


def without_zero_init(painter) -> None:
    """Xavier initialisation in place of zeros: gates and the first velocity are random."""
    for parameter in painter.parameters():
        if parameter.ndim == 2 and not parameter.any():
            nn.init.xavier_uniform_(parameter)


def unshifted(sigma):
    """(B,) -> (B,): shifted logit-normal levels without their shift"""
    return sigma / (SIGMA_SHIFT - (SIGMA_SHIFT - 1) * sigma)


def uniform(sigma):
    """(B,) -> (B,): shifted logit-normal levels, transformed to be uniform by their own CDF"""
    return torch.special.ndtr(torch.logit(unshifted(sigma)))


# -- variants ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One difference from the baseline, in the network, its training or its sampling."""

    description: str
    change: Callable = unchanged  # applied in place to the untrained network
    recipe: tuple = ()  # (field, value) pairs that replace the baseline's
    muon: bool = True
    dropout: float = CAPTION_DROPOUT
    levels: Callable = unchanged  # (B,) -> (B,), applied to the sampled sigmas
    small: int = 0  # number of steps on small pictures, before the others
    retrained: bool = True  # False: painted with the baseline's weights
    guidance: float = GUIDANCE
    rescale: bool = True
    scheduler: tuple = ()  # (field, value) pairs that replace the sampler's
    averaged: bool = True


VARIANTS = {
    "baseline": Variant("the recipe of the pocket model, small"),
    "text at the origin": Variant("all text tokens at one position", text_at_origin),
    "no QK-norm": Variant("queries and keys as they come", without_qk_norm),
    "one MLP": Variant("text and image streams share it", one_mlp),
    "no norm rescale": Variant("guidance as first published", retrained=False, rescale=False),
    "AdamW": Variant("instead of Muon, at half the rate", muon=False, recipe=(("lr", 3e-3),)),
    "sigma unshifted": Variant("logit-normal, shift 1 instead of 2", levels=unshifted),
    "sigma uniform": Variant("every noise level as often", levels=uniform),
    "no caption dropout": Variant("the empty prompt is never trained", dropout=0.0),
    "no guidance": Variant("scale 1", retrained=False, guidance=1.0),
    "sampler unshifted": Variant(
        "noise levels of the sampler without their shift",
        retrained=False,
        scheduler=(("base_shift", 1e-6), ("max_shift", 1e-6)),  # e^0 is 1; 0 itself is refused
    ),
    "no average": Variant("the last weights themselves", retrained=False, averaged=False),
    "constant rate": Variant("never falls", recipe=(("decay_from", 1.0),)),
    "usual start": Variant("no layer starts at zero", without_zero_init),
    "words alone": Variant("a text tower without layers", words_alone),
    "text in a row": Variant("text positions along one axis", text_in_a_row),
    # 300 steps of 36 image tokens and some 20 of text cost as much as 200 of 65 and 20
    "small pictures first": Variant(
        "300 steps on 96x96, 200 steps fewer later", recipe=(("steps", 700),), small=300
    ),
}


@contextlib.contextmanager
def guided_as(variant: Variant):
    """The pipeline with the guidance of a variant; its own is restored on exit."""
    own = pipeline.guide
    if not variant.rescale:
        pipeline.guide = without_rescale
    try:
        yield
    finally:
        pipeline.guide = own
