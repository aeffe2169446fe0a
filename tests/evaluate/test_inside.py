"""Hooks that hide text tokens and exchange their states: what they change, and what they leave."""

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.evaluate.inside import (
    hiding,
    marked,
    patched,
    patching,
    places_of,
    span,
    text_tokens,
    visible_text,
)
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.posters.draw import caption, sample_scene
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tokenizer import Tokenizer

BLOCKS, T, GRID = range(8), 5, [(1, 3, 2)]


@pytest.fixture(scope="module")
def mmdit() -> MMDiT:
    with torch.device("meta"):
        empty = MMDiT(TINY.transformer)
    return random_weights(empty, 0).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(POCKET / "tokenizer")


def call(batch=2, seed=0) -> tuple:
    rng = torch.Generator().manual_seed(seed)
    img = torch.randn(1, 6, 64, generator=rng).expand(batch, -1, -1)
    txt = torch.randn(batch, T, TINY.transformer.joint_attention_dim, generator=rng)
    return img, txt, torch.full((batch,), 0.7), GRID


@torch.no_grad()
def velocity(mmdit, *arguments):
    return mmdit(*arguments)


def apart(a, b) -> float:
    return ((a - b).norm() / b.norm()).item()


# -- which tokens


def test_tokens_of_a_part_are_those_that_overlap_it(tokenizer):
    prompt = 'a red circle with the text "CAT"'
    tokens = text_tokens(tokenizer, prompt)
    for part in ("red", "red circle", "CAT", "A"):
        places = places_of(tokenizer, prompt, *span(prompt, part))
        joined = "".join(tokens[n] for n in places)
        assert part in joined and places == list(range(places[0], places[-1] + 1))
        for edge in (places[1:], places[:-1]):
            assert part not in "".join(tokens[n] for n in edge)


def test_tokens_of_all_characters_of_a_caption_are_all_but_the_templates_end(tokenizer):
    for seed in range(20):
        prompt = caption(sample_scene(seed), "zh" if seed % 2 else "en")
        tokens = text_tokens(tokenizer, prompt)
        places = places_of(tokenizer, prompt, 0, len(prompt))
        assert places == list(range(len(places))) and tokens[len(places)] == "<|im_end|>"


def test_every_token_of_a_character_is_counted_where_it_takes_several(tokenizer):
    prompt = "a 蟹 b"  # in no caption, so it is three bytes
    places = places_of(tokenizer, prompt, 2, 3)
    ids = tokenizer.encode_prompt(prompt)[tokenizer.prefix_length :]
    assert len(places) >= 2 and "蟹" in tokenizer.decode([ids[n] for n in places])


def test_a_part_that_is_not_there_is_refused():
    assert span("a red red", "red") == (6, 9)
    with pytest.raises(ValueError):
        span("a red circle", "blue")


def test_places_are_marked_row_by_row():
    marks = marked([[1], [0, 2]], 3)
    assert marks.tolist() == [[False, True, False], [True, False, True]]


# -- hiding


def test_only_image_rows_lose_only_the_hidden_text_columns():
    hidden = torch.tensor([[True, False], [False, False]])
    seen = visible_text(hidden, 3, 2)
    assert seen.shape == (2, 2, 5, 5)
    blocked = (~seen).nonzero().tolist()
    assert blocked == [[0, head, row, 0] for head in (0, 1) for row in (2, 3, 4)]
    one = visible_text(hidden, 3, 2, of=[1])
    assert one[0, 0].all() and torch.equal(one[0, 1], seen[0, 1])


def test_without_its_text_a_velocity_does_not_depend_on_it(mmdit):
    img, txt, *rest = call()
    assert apart(*velocity(mmdit, img, txt, *rest)) > 0.01
    with hiding(mmdit, [list(range(T))] * 2, BLOCKS):
        first, second = velocity(mmdit, img, txt, *rest)
    assert apart(first, second) < 1e-6


def test_what_is_hidden_in_one_block_is_still_seen_in_the_others(mmdit):
    plain = velocity(mmdit, *call())
    with hiding(mmdit, [[1, 2]] * 2, [3]):
        one = velocity(mmdit, *call())
    with hiding(mmdit, [[1, 2]] * 2, BLOCKS):
        every = velocity(mmdit, *call())
    assert 1e-4 < apart(one, plain) < apart(every, plain)


def test_heads_of_a_block_are_hidden_one_by_one(mmdit):
    with hiding(mmdit, [[1]] * 2, [7]):
        both = velocity(mmdit, *call())
    with hiding(mmdit, [[1]] * 2, [7], heads=[0, 1]):
        named = velocity(mmdit, *call())
    with hiding(mmdit, [[1]] * 2, [7], heads=[0]):
        one = velocity(mmdit, *call())
    assert torch.equal(both, named) and apart(one, both) > 1e-5


def test_steps_are_counted_from_the_first_call(mmdit):
    plain = velocity(mmdit, *call())
    with hiding(mmdit, [[1, 2]] * 2, BLOCKS, steps=[1]):
        steps = [velocity(mmdit, *call()) for _ in range(3)]
    assert [torch.equal(step, plain) for step in steps] == [True, False, True]


def test_padding_stays_hidden(mmdit):
    img, txt, *rest = call()
    real = torch.tensor([[True] * T, [True] * (T - 2) + [False] * 2])
    with hiding(mmdit, [[0], [0]], BLOCKS):
        padded = velocity(mmdit, img, txt, *rest, real)
        txt[1, -2:] = 9
        assert apart(velocity(mmdit, img, txt, *rest, real), padded) < 1e-6


def test_after_the_context_nothing_is_left(mmdit):
    plain = velocity(mmdit, *call())
    with pytest.raises(KeyError), hiding(mmdit, [[1]] * 2, BLOCKS):
        raise KeyError("an error inside")
    with patching(mmdit, [[1], [2]], 0):
        pass
    assert torch.equal(velocity(mmdit, *call()), plain)


# -- patching


def test_states_come_from_the_donors_places():
    txt = torch.arange(8.0).view(4, 2, 1)
    new = patched(txt, [[0], [1], [1], [0]])
    assert new.flatten().tolist() == [5, 1, 2, 6, 4, 5, 6, 7]
    assert txt.flatten().tolist() == list(range(8)), "the argument is left as it was"


def test_all_states_before_the_first_block_make_the_donors_picture(mmdit):
    everything = [list(range(T))] * 2
    with patching(mmdit, everything, 0):
        receiver, donor = velocity(mmdit, *call())
    assert apart(receiver, donor) < 1e-6
    assert torch.allclose(donor, velocity(mmdit, *call())[1], atol=1e-6)


def test_the_later_the_block_the_less_a_patch_changes(mmdit):
    plain, changes = velocity(mmdit, *call())[0], []
    for block in (0, 4, 7):
        with patching(mmdit, [[1, 2]] * 2, block):
            changes.append(apart(velocity(mmdit, *call())[0], plain))
    assert changes[0] > changes[1] > changes[2] > 1e-5


def test_unequal_numbers_of_pictures_are_refused(mmdit):
    with pytest.raises(ValueError), patching(mmdit, [[1], [1], [1]], 0):
        velocity(mmdit, *call())
