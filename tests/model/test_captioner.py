"""The writing text encoder beside transformers' `generate`, on small random weights."""

from itertools import zip_longest

import pytest
import torch
from helpers.tiny_model import TINY
from transformers import GenerationConfig

from qwenimage_ref.captioner import Captioner
from qwenimage_ref.conditions import places_in_text
from qwenimage_ref.config import TextEncoderConfig
from qwenimage_ref.parity.reference import (
    copy_weights,
    random_weights,
    reference_text_encoder,
    run,
)
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.text_encoder import TextEncoder

CONFIG = TINY.text_encoder
PAD = 694  # of the pocket's tokenizer: a token of a picture


@pytest.fixture(scope="module")
def both():
    """Ours and transformers' with the same weights; it has a vision tower besides"""
    config = TextEncoderConfig(**CONFIG.to_dict() | {"image_token_id": PAD})
    with torch.device("meta"):
        ours = Captioner(config)
    random_weights(ours, seed=0)
    theirs = reference_text_encoder(config, TINY.vision)
    for parameter in theirs.model.visual.parameters():
        parameter.requires_grad_(False)
    theirs.model.visual.to_empty(device="cpu")
    return ours, copy_weights(ours, theirs, unused=("visual.",))


def question(length: int, seed: int = 0):
    ids = torch.randint(0, 600, (1, length), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(length).expand(3, 1, length)


def official(most: int, ends: list[int], penalty: float = 1.05) -> GenerationConfig:
    """The generation_config.json of the official text encoder"""
    return GenerationConfig(
        do_sample=True,
        temperature=0.1,
        top_k=1,
        top_p=0.001,
        repetition_penalty=penalty,
        max_new_tokens=most,
        eos_token_id=ends,
        pad_token_id=0,
    )


def generated(theirs, ids, most=40, ends=(638,), penalty=1.05) -> list[int]:
    settings = official(most, list(ends), penalty)
    return theirs.generate(ids, generation_config=settings)[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("length", [1, 2, 17])
def test_transformers_writes_the_same_tokens(both, length):
    ours, theirs = both
    ids, places = question(length, seed=length)
    pairs = zip_longest(ours.write(ids, places, None, 40, {638}), generated(theirs, ids))
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert len(wrong) <= within("tokens"), wrong[:3]


def test_tokens_that_occurred_are_less_likely(both):
    """Also those of the question; without the penalty other tokens are written."""
    ours, theirs = both
    ids, places = question(17)
    written = ours.write(ids, places, None, 40, {638})
    assert written != generated(theirs, ids, penalty=1.0)
    state = torch.randn(1, 1, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(CONFIG.vocab_size) % 2 == 0
    plain, lower = ours.scores(state, torch.zeros_like(seen)), ours.scores(state, seen)
    assert (lower[seen] < plain[seen]).all() and torch.equal(lower[~seen], plain[~seen])


def test_nothing_is_written_behind_an_end(both):
    ours, theirs = both
    ids, places = question(17)
    free = ours.write(ids, places, None, 40, set())
    stop = free[5]
    written = ours.write(ids, places, None, 40, {stop})
    assert written == free[: free.index(stop) + 1] == generated(theirs, ids, ends=(stop,))


def test_a_single_token_is_written_where_no_more_are_allowed(both):
    ours, _ = both
    ids, places = question(5)
    assert ours.write(ids, places, None, 1, set()) == ours.write(ids, places, None, 3, set())[:1]


def test_remembered_tokens_are_as_good_as_all_of_them_read_again(both):
    """With a picture in the question, whose tokens stand elsewhere than they are counted."""
    ours, theirs = both
    ids = torch.cat([question(4)[0], torch.full((1, 6), PAD), question(5, 1)[0]], dim=1)
    places = places_in_text(ids[0], [(2, 3)], PAD)
    states = torch.randn(6, CONFIG.hidden_size, generator=torch.Generator().manual_seed(2))
    written = ours.write(ids, places, states, 8, set())
    for count, id in enumerate(written):
        longer = torch.cat([ids, torch.tensor([written[:count]], dtype=torch.long)], dim=1)
        positions = places_in_text(longer[0], [(2, 3)], PAD)
        inputs = {"ids": longer, "positions": positions, "image_states": states}
        with torch.no_grad():
            state = run(theirs, inputs)[:, -1:]
        seen = torch.zeros(CONFIG.vocab_size, dtype=torch.bool)
        seen[longer.flatten()] = True
        assert ours.scores(state, seen).argmax().item() == id


def test_a_captioner_reads_like_any_text_encoder(both):
    ours, _ = both
    with torch.device("meta"):
        plain = TextEncoder(ours.config)
    weights = {k: v for k, v in ours.state_dict().items() if not k.startswith("lm_head")}
    plain.load_state_dict(weights, assign=True)
    ids, _ = question(9)
    mask = torch.arange(9).unsqueeze(0) < 7
    with torch.no_grad():
        assert torch.equal(ours(ids, mask), plain(ids, mask))
        assert torch.equal(ours(ids), plain(ids))
