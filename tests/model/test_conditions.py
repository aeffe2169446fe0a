"""What a branch of guidance may hold besides its text, and that each part of it has its effect."""

import pytest
import torch
from helpers.nets import model

from qwenimage_ref.conditions import Branch
from qwenimage_ref.mmdit import Call
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.rope import positions
from qwenimage_ref.sampler import pack

LEVELS = torch.tensor([1.0, 0.5, 0.0])
GRIDS = [(1, 3, 4)]


def random(*shape, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def pipe() -> QwenImage:
    """A pipeline that can do nothing but denoise."""
    return QwenImage(None, None, model().eval().requires_grad_(False), None, None)


def call(**conditions) -> Call:
    return Call(random(2, 12, 64), random(2, 5, 40), torch.tensor([0.7, 0.3]), GRIDS, **conditions)


@pytest.fixture
def latents():
    return random(2, 16, 6, 8)


def test_a_condition_picture_stands_behind_the_target_in_every_step(pipe, latents):
    condition, txt = random(2, 6, 64, seed=1), random(2, 5, 40)
    branch = Branch(txt, img=condition, grids=((1, 2, 3),))
    img = torch.cat([pack(latents), condition], dim=1)
    velocity = pipe.transformer(img, txt, torch.ones(2), [(1, 3, 4), (1, 2, 3)])
    stepped = pipe.denoise(latents, LEVELS[:2], branch)
    assert torch.equal(pack(stepped), pack(latents) + (0.5 - 1.0) * velocity)


def test_every_branch_has_conditions_of_its_own(pipe, latents):
    seen = {"cond": [], "uncond": []}

    def hook(name):
        return lambda i, img: seen[name].append(i) or img

    cond, uncond = (Branch(random(2, 5, 40), after_block=hook(name)) for name in seen)
    pipe.denoise(latents, LEVELS, cond, uncond)
    assert seen == {"cond": [0, 1, 0, 1], "uncond": [0, 1, 0, 1]}


def test_keep_is_called_behind_each_step_with_the_level_that_it_reached(pipe, latents):
    reached = []

    def keep(sigma, x):
        reached.append(sigma)
        return torch.full_like(x, sigma)

    end = pipe.denoise(latents, LEVELS, Branch(random(2, 5, 40)), keep=keep)
    assert reached == [0.5, 0.0] and not end.any()
    assert {type(sigma) for sigma in reached} == {float}


def test_a_region_mask_that_hides_the_padding_is_the_mask_of_the_text(pipe):
    real = torch.arange(5) < torch.tensor([[3], [5]])
    columns = torch.cat([real, torch.ones(2, 12, dtype=bool)], dim=1)
    mask = columns[:, None, None].expand(2, 1, 17, 17)
    by_text, by_region, both = pipe.transformer.many(
        [call(txt_mask=real), call(mask=mask), call(txt_mask=real, mask=mask)]
    )
    assert torch.equal(by_region, by_text) and torch.equal(both, by_text)
    assert not torch.equal(by_text, pipe.transformer(*call()))


def test_a_region_mask_and_padding_hide_what_either_of_them_hides(pipe):
    real = torch.arange(5) < torch.tensor([[3], [5]])
    mask = torch.ones(2, 1, 17, 17, dtype=bool)
    mask[..., 0] = False  # nobody sees the first token of the text
    text = call(txt_mask=real, mask=mask)
    changed = text._replace(txt=text.txt.clone())
    changed.txt[:, 0], changed.txt[0, 3:] = 9.0, 9.0
    assert torch.equal(*pipe.transformer.many([text, changed]))


def test_text_positions_take_the_place_of_those_of_msrope(pipe):
    _, own = positions(GRIDS, 5)
    usual, same, other = pipe.transformer.many(
        [call(), call(txt_positions=own), call(txt_positions=own + 3)]
    )
    assert torch.equal(same, usual) and not torch.equal(other, usual)


def test_calls_of_different_lengths_are_answered_as_each_alone(pipe):
    long = call(txt_mask=torch.ones(2, 5, dtype=bool))
    short = call()._replace(img=random(2, 6, 64), grids=[(1, 2, 3)], txt=random(2, 3, 40))
    for ours, one in zip(pipe.transformer.many([long, short]), (long, short)):
        assert torch.equal(ours, pipe.transformer(*one))
