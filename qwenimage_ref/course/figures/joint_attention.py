"""What the tokens of a block look at: the weights of joint attention, drawn."""

import math

import ipywidgets
import numpy as np
import torch
from PIL import Image
from torch import nn

from ...mmdit import Block, modulate
from ...rope import rotate
from ..heat_maps import heat
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Shown, png

SIGMAS = (0.9, 0.7, 0.5, 0.3)  # noise levels that the slider offers
ACROSS = ("text looks at text", "text at image", "image at text", "image at image")


@torch.no_grad()
def arguments_of_blocks(transformer: nn.Module, *call) -> list[tuple]:
    """Run the transformer -> for every block the arguments that it was called with"""
    calls = []

    def note(_block, arguments):
        calls.append(arguments)

    hooks = [block.register_forward_pre_hook(note) for block in transformer.transformer_blocks]
    try:
        transformer(*call)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


@torch.no_grad()
def attention_weights(
    block: Block, img, txt, temb, img_rotation, txt_rotation, mask=None, times=None
) -> torch.Tensor:
    """Arguments of a block -> (B, H, S, S): the attention of each token (row) to each (column)"""
    attn = block.attn
    img_shift, img_scale, *_ = block.img_mod(temb, times)
    txt_shift, txt_scale, *_ = block.txt_mod(temb[:, :1])
    img, txt = modulate(img, img_shift, img_scale), modulate(txt, txt_shift, txt_scale)

    def heads(x, norm, rotation):
        return rotate(norm(x.unflatten(-1, (attn.heads, -1))), rotation)

    img_q = heads(attn.to_q(img), attn.norm_q, img_rotation)
    img_k = heads(attn.to_k(img), attn.norm_k, img_rotation)
    txt_q = heads(attn.add_q_proj(txt), attn.norm_added_q, txt_rotation)
    txt_k = heads(attn.add_k_proj(txt), attn.norm_added_k, txt_rotation)
    q, k = torch.cat([txt_q, img_q], dim=1), torch.cat([txt_k, img_k], dim=1)
    logits = torch.einsum("bshk,bthk->bhst", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return logits.softmax(-1)


def quarters(weights: torch.Tensor, text_length: int) -> dict[str, float]:
    """(S, S) -> the mean share that each stream gives to each stream, text first"""
    cut = (slice(None, text_length), slice(text_length, None))
    shares = [weights[a, b].sum(-1).mean().item() for a in cut for b in cut]
    return dict(zip(ACROSS, shares))


def attention_map(weights: torch.Tensor, words: list[str], title: str, alt: str) -> Shown:
    """(S, S): rows ask, columns are looked at; square roots, or all but a few would be white

    words: the text tokens, which come first.
    """
    panel = {
        "values": weights.sqrt(), "title": title, "colour": "joint", "cut": len(words),
        "x": "looked at: words, then patches", "y": "looking: words, then patches",
        "names": words, "bar": "square root of the weight",
    }  # fmt: skip
    return heat([panel], alt, side=7.5)


def overlay(picture: Image.Image, amounts: torch.Tensor) -> Image.Image:
    """A picture in gray, coloured where the (rows, cols) amounts are large."""
    share = (amounts / amounts.max()).numpy()
    small = Image.fromarray((255 * share).round().astype(np.uint8))
    mask = small.resize(picture.size, Image.Resampling.BICUBIC)
    pale = Image.blend(
        picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "white"), 0.4
    )
    return Image.composite(Image.new("RGB", picture.size, PALETTE["image"]), pale, mask)


class AttentionSliders(Panel):
    """Sliders for block and sigma over the attention map. `picture.value` holds its PNG."""

    summary = "sliders for block and sigma over the attention map; run the notebook to move them"

    def __init__(self, weights_at: dict, words: list[str], block: int, sigma: float):
        """weights_at[sigma][block]: (S, S), the mean over the heads; words: the text tokens"""
        self.weights_at, self.text = weights_at, words
        self.block = slider("block", tuple(range(len(weights_at[sigma]))), block)
        self.sigma = slider("sigma", tuple(weights_at), sigma)
        self.picture, self.words = picture_box(520, None), ipywidgets.Label()
        super().__init__([self.block, self.sigma], [self.picture, self.words])

    def state(self, block: int, sigma: float) -> tuple[bytes, str]:
        weights, title = self.weights_at[sigma][block], f"block {block}, sigma {sigma}"
        alt = f"the attention of {title}"
        drawn = attention_map(weights, self.text, title, alt).data
        shares = quarters(weights, len(self.text)).items()
        return drawn, f"{title}: {', '.join(f'{name} {x:.0%}' for name, x in shares)}"


class WordOverPicture(Panel):
    """A word to click and a block: how much each patch attends to the word, over the poster.

    `picture.value` holds a PNG.
    """

    summary = "words to click and a slider for the block, over the poster; run the notebook first"

    def __init__(self, poster: Image.Image, weights: list, words: list[str], word: str, block: int):
        """weights[block]: (S, S), the mean over the heads; words: the text tokens, which come first

        Patches are a square grid. Of a word that stands there twice, the first is shown.
        """
        self.poster, self.weights, self.text = poster, weights, words
        self.word = ipywidgets.ToggleButtons(
            options=[*filter(None, dict.fromkeys(words))], value=word
        )
        self.word.style.button_width = "auto"
        self.block = slider("block", tuple(range(len(weights))), block)
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.word, self.block], [self.picture, self.words])

    def state(self, word: str, block: int) -> tuple[bytes, str]:
        amounts = self.weights[block][len(self.text) :, self.text.index(word)]
        side = math.isqrt(len(amounts))
        drawn = overlay(self.poster, amounts.view(side, side))
        return png(drawn), (
            f"{word!r} in block {block}: {amounts.mean():.1%} of a patch's attention in the mean, "
            f"{amounts.max():.1%} at most"
        )
