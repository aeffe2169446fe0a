"""Chapter 07: the end of the transformer, and the whole of it."""

import torch
import torch.nn.functional as F

from ...config import MMDiTConfig
from ...mmdit import MMDiT
from ...rope import positions, rotations
from ..answers import EX_07_END, EX_07_MMDIT, EX_07_PATCHIFY, EX_07_UNPATCHIFY
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers
from .stack_steps import close

# ---- the end


def _norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _parts(temb, linear):
    return linear(F.silu(temb)).chunk(2, dim=-1)


def _ended(x, scale, shift, proj_out):
    return proj_out(x * (1 + scale) + shift)


END = (  # wrong answers
    (
        lambda img, temb, linear, proj_out: _ended(
            _norm(img), *reversed(_parts(temb, linear)), proj_out
        ),
        "the first half is taken for the shift; after the last block the scale comes first",
    ),
    (
        lambda img, temb, linear, proj_out: _ended(
            _norm(img), *linear(temb).chunk(2, dim=-1), proj_out
        ),
        "temb goes into the linear layer without an activation; SiLU comes before it",
    ),
    (
        lambda img, temb, linear, proj_out: _ended(
            _norm(img), *F.silu(linear(temb)).chunk(2, dim=-1), proj_out
        ),
        "the activation comes behind the linear layer; it belongs before it",
    ),
    (
        lambda img, temb, linear, proj_out: _ended(img, *_parts(temb, linear), proj_out),
        "the tokens are not normalised before they are scaled",
    ),
    (
        lambda img, temb, linear, proj_out: _ended(
            img / (img.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt(), *_parts(temb, linear), proj_out
        ),
        "the mean is not subtracted; this norm is a LayerNorm, as in the blocks",
    ),
    (
        lambda img, temb, linear, proj_out: _ended(
            _norm(img), *(part - n for part, n in zip(_parts(temb, linear), (1, 0))), proj_out
        ),
        "the scale alone multiplies; it is 1 + scale, so that a scale of 0 changes nothing",
    ),
    (
        lambda img, temb, linear, proj_out: proj_out(_norm(img)),
        "the noise level plays no part; temb makes the scale and the shift",
    ),
)


@exercise
def ex_07_end(leave) -> str:
    """leave(img, temb, linear, proj_out): the norm after the last block, and the projection."""
    for batch, tokens, D, out in ((2, 5, 8, 12), (1, 3, 6, 64), (3, 1, 10, 4)):
        img, temb = 1 + 2 * numbers(batch, tokens, D), numbers(batch, 1, D, seed=1)
        arguments = img, temb, _linear(D, 2 * D), _linear(D, out)
        given = leave(*arguments)
        demand_shape(given, (batch, tokens, out), "as wide as what proj_out gives")
        need_none(given, END, near, *arguments)
        need(
            near(given, EX_07_END(*arguments)),
            "not yet the end of the transformer: norm, 1 + scale, shift, proj_out",
        )
        need_same(
            *(leave, EX_07_END, near, (img / 1000, *arguments[1:])),
            "right for numbers of usual size, not for tiny ones: 1e-6 is added to the variance",
        )
    return "only the image leaves, as wide as it came"


def _linear(width: int, out: int):
    """A linear layer of random weights, as a function."""
    weight, bias = numbers(out, width, seed=out) / width**0.5, numbers(out, seed=2)
    return lambda x: F.linear(x, weight, bias)


# ---- the whole


class _Case:
    """A small transformer of random weights, and what it is called with."""

    def __init__(self, rows=3, cols=2, text=5, sigma=(0.37, 0.91), layers=3, axes=(2, 4, 6)):
        config = MMDiTConfig(
            num_layers=layers, num_attention_heads=2, attention_head_dim=sum(axes),
            joint_attention_dim=10, in_channels=12, out_channels=3, axes_dims_rope=axes,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.mmdit = MMDiT(config).requires_grad_(False)
        for number, weight in enumerate(self.mmdit.parameters()):
            weight.add_(numbers(*weight.shape, seed=number) / 8)
        self.latents = numbers(len(sigma), 3, 2 * rows, 2 * cols)
        self.txt = numbers(len(sigma), text, 10, seed=1)
        self.sigma, self.rows, self.cols = torch.tensor(sigma), rows, cols

    def called(self, my_mmdit):
        """What the answer gives, with a transformer that cannot do it by itself."""
        names = ("forward", "many", "embed", "velocity")
        for name in names:
            setattr(self.mmdit, name, _refuse)
        try:
            given = my_mmdit(self.mmdit, self.latents, self.txt, self.sigma)
        finally:
            for name in names:
                delattr(self.mmdit, name)
        demand_shape(given, self.latents.shape, "of the shape of the latents")
        return given

    def right(self):
        return EX_07_MMDIT(self.mmdit, self.latents, self.txt, self.sigma)


def _refuse(*_args, **_kwargs):
    need(False, "forward, many, embed and velocity of the transformer are what you are to write")


def _machine(case, blocks=None, txt_norm=True, turned=True, grid=None, text_kept=False,
             factor=1, image_kept=False):  # fmt: skip
    """The transformer of a case with one thing changed."""
    mmdit, T = case.mmdit, case.txt.shape[1]
    img = start = mmdit.img_in(EX_07_PATCHIFY(case.latents))
    txt = entry = mmdit.txt_in(mmdit.txt_norm(case.txt) if txt_norm else case.txt)
    temb = mmdit.time_text_embed(factor * case.sigma.unsqueeze(1))
    places = positions([grid or (1, case.rows, case.cols)], T)
    turns = [rotations(pos if turned else 0 * pos, mmdit.config.axes_dims_rope) for pos in places]
    for block in mmdit.transformer_blocks if blocks is None else blocks(mmdit.transformer_blocks):
        img, txt = block(start if image_kept else img, entry if text_kept else txt, temb, *turns)
    tokens = EX_07_END(img, temb, mmdit.norm_out.linear, mmdit.proj_out)
    return EX_07_UNPATCHIFY(tokens, case.rows, case.cols)


MMDIT = (  # wrong answers
    (lambda case: _machine(case, blocks=lambda all: all[:1]), "only the first block is used"),
    (lambda case: _machine(case, blocks=lambda all: all[:-1]), "the last block is left out"),
    (
        lambda case: _machine(case, blocks=lambda all: all[:0]),
        "the image reaches the end as it came in: no block runs, or what it returns is dropped",
    ),
    (lambda case: _machine(case, blocks=reversed), "the blocks are in reverse order"),
    (
        lambda case: _machine(case, text_kept=True),
        "every block gets the text as it came in; it gets the text that the block before returned",
    ),
    (
        lambda case: _machine(case, image_kept=True),
        "every block gets the image as it came in; it gets what the block before returned",
    ),
    (
        lambda case: _machine(case, txt_norm=False),
        "the text states are not normalised before their projection",
    ),
    (
        lambda case: _machine(case, turned=False),
        "all tokens have position 0: nothing is rotated",
    ),
    (
        lambda case: _machine(case, grid=(1, case.cols, case.rows)),
        "rows and columns of the grid have changed places in the positions",
    ),
    (
        lambda case: _machine(case, grid=(1, 1, case.rows * case.cols)),
        "the positions are those of one long row of tokens; give them rows and columns",
    ),
    (
        lambda case: _machine(case, factor=1000),
        "sigma is multiplied by 1000 twice; the time embedding does it already",
    ),
    (lambda case: -case.right(), "the sign is turned; the velocity is what comes out"),
    (
        lambda case: case.latents + case.right(),
        "the velocity is added to the latents; that is the sampler's work",
    ),
)


@exercise
def ex_07_mmdit(my_mmdit) -> str:
    """my_mmdit(mmdit, latents, txt_states, sigma): the whole transformer."""
    case = _Case()
    given = case.called(my_mmdit)
    need_none(given, MMDIT, close, case)
    need(
        close(given, case.right()),
        "not yet the transformer: patches, three projections, positions, every block in order, the "
        "end, and back to latents",
    )
    for sizes in ({"rows": 1, "cols": 4, "text": 2, "sigma": (0.6,), "axes": (4, 2, 4)},
                  {"rows": 4, "cols": 3, "text": 7, "layers": 5}):  # fmt: skip
        other = _Case(**sizes)
        need(
            close(other.called(my_mmdit), other.right()),
            f"right for one size, not for {sizes}; take sizes and widths from what you are given",
        )
    return "latents, text and noise level in, a velocity out: this is the 20-billion machine"
