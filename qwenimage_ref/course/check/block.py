"""Chapter 06: a whole block, half by half."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from ...mmdit import Block
from ..answers import EX_06_BLOCK
from .common import exercise, need, need_all, need_none
from .joint_attention import both_near, demand_shape, numbers, turns


class _Case:
    """A small block of random weights and what it is called with; `gates` are left open."""

    def __init__(self, heads=3, width=8, text=4, image=7, batch=2, gates=(2, 5)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(heads)
            self.block = Block(heads * width, heads).requires_grad_(False)
        D = heads * width
        for number, weight in enumerate(self.block.parameters()):
            weight.add_(numbers(*weight.shape, seed=number) / 3)
        for mod in (self.block.img_mod, self.block.txt_mod):
            for gate in {2, 5} - {*gates}:
                mod[1].weight[gate * D : (gate + 1) * D] = 0
                mod[1].bias[gate * D : (gate + 1) * D] = 0
        self.streams = numbers(batch, image, D), numbers(batch, text, D, seed=1)
        self.others = numbers(batch, 1, D, seed=2), turns(image, width), turns(text + 1, width)[1:]

    def called(self, my_block):
        """Both streams as the answer gives them, with a block that cannot do it by itself."""
        block, refuse = self.block, _refuse
        parts = (block, block.attn)
        for part in parts:
            part.forward = refuse
        try:
            given = my_block(block, *self.streams, *self.others)
        finally:
            for part in parts:
                del part.forward
        need(isinstance(given, (tuple, list)) and len(given) == 2, "give two tensors: image, text")
        for one, stream, name in zip(given, self.streams, ("image", "text")):
            demand_shape(one, stream.shape, f"for the {name} of the shape that came in")
        return given

    def right(self, **slips):
        return self.block(*(slips.get(name, value) for name, value in self._arguments().items()))

    def _arguments(self) -> dict:
        names = ("img", "txt", "temb", "img_rotation", "txt_rotation")
        return dict(zip(names, (*self.streams, *self.others)))


def _refuse(*_args, **_kwargs):
    need(False, "the block's and the attention's own forward are what you are to write")


def _other_norms(case):
    """What comes out where the text's queries and keys are normalised by the image's weights."""
    attn = case.block.attn
    kept = attn.norm_added_q, attn.norm_added_k
    attn.norm_added_q, attn.norm_added_k = attn.norm_q, attn.norm_k
    try:
        return case.right()
    finally:
        attn.norm_added_q, attn.norm_added_k = kept


def _other_out(case):
    """What comes out where both streams leave attention through the image's last layer."""
    attn = case.block.attn
    kept, attn.to_add_out = attn.to_add_out, attn.to_out
    try:
        return case.right()
    finally:
        attn.to_add_out = kept


def _first_three(case):
    """The MLP's half with the three numbers that belong to attention."""
    block, (img, txt), temb = case.block, case.streams, case.others[0]
    halves = ((img, block.img_mod, block.img_mlp), (txt, block.txt_mod, block.txt_mlp))
    results = []
    for x, mod, mlp in halves:
        shift, scale, _, _, _, gate = mod(temb)
        normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        results.append(x + gate * mlp(normed * (1 + scale) + shift))
    return results


ATTENTION_HALF = (
    (
        _other_norms,
        "the text's queries and keys have norms of their own, and yours uses the image's",
    ),
    (_other_out, "the text leaves attention through a linear layer of its own, not the image's"),
    (
        lambda case: case.right(txt_rotation=torch.ones_like(case.others[2])),
        "the text's queries and keys are not rotated",
    ),
    (
        lambda case: case.right(img_rotation=torch.ones_like(case.others[1])),
        "the image's queries and keys are not rotated",
    ),
)
MLP_HALF = (
    (
        _first_three,
        "the MLP's half uses the shift and scale of attention; its own are the second three",
    ),
)
BLOCK = (  # what must hold of an answer on blocks with some gates closed
    (
        lambda seen: both_near(seen.closed, seen.streams),
        "with all gates at 0 both streams have to come out as they came in",
    ),
    (
        lambda seen: both_near(seen.mlp, seen.right_mlp),
        "with attention's gates at 0 the result is wrong, so the fault is in the MLP's half: it is "
        "a residual line with the second three of the six, for each stream with its own MLP",
    ),
    (
        lambda seen: both_near(seen.attention, seen.right_attention),
        "with the MLP's gates at 0 the result is wrong, so the fault is in attention's half: norm, "
        "scale and shift, heads, joint attention, each stream's last layer, gate, sum",
    ),
    (
        lambda seen: both_near(seen.whole, seen.right_whole),
        "each half alone is right, and together they are not: the MLP works on what attention has "
        "already changed",
    ),
)


@exercise
def ex_06_block(my_block) -> str:
    """my_block(block, img, txt, temb, img_rotation, txt_rotation): a whole block."""
    closed, attention, mlp = _Case(gates=()), _Case(gates=(2,)), _Case(gates=(5,))
    whole = _Case()
    seen = SimpleNamespace(
        streams=closed.streams,
        **{"closed": closed.called(my_block), "mlp": mlp.called(my_block)},
        **{"attention": attention.called(my_block), "whole": whole.called(my_block)},
        **{"right_mlp": mlp.right(), "right_attention": attention.right()},
        right_whole=whole.right(),
    )
    need_none(seen.mlp, MLP_HALF, both_near, mlp)
    need_none(seen.attention, ATTENTION_HALF, both_near, attention)
    need_all(seen, BLOCK)
    other = _Case(heads=2, width=12, text=9, image=4, batch=3)
    need(
        both_near(other.called(my_block), EX_06_BLOCK(other.block, *other.streams, *other.others)),
        "right for one size and not for another one; take H, T and I from what you are given",
    )
    return "both halves of both streams; the transformer is sixty of these"
