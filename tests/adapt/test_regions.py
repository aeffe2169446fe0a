"""The mask of regions and the positions of their texts, beside plain loops and DiffSynth's."""

import itertools
import math

import pytest
import torch
from helpers import regions_case
from helpers.live_memory import LiveMemory
from helpers.nets import SMALL, model
from safetensors.torch import load_file

from qwenimage_ref import mmdit
from qwenimage_ref.adapt.regions import attention_mask, inside, text_positions, with_regions
from qwenimage_ref.conditions import Branch
from qwenimage_ref.parity.record import difference
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.rope import positions

GRID = (1, 3, 4)
TOKENS = math.prod(GRID)
SEEN = {
    "one": [[0, 1, 5]],
    "apart": [[0, 1], [6, 7, 11]],
    "overlapping": [[0, 1, 5], [1, 5, 6]],
    "empty": [[], [3]],
    "full": [list(range(TOKENS)), [2]],
    "all empty": [[], [], []],
}
LENGTHS = [3, 1, 4, 2]  # text tokens of each region; a prompt of 5 comes behind them
in_each_case = pytest.mark.parametrize("case", SEEN)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def table(case: str) -> torch.Tensor:
    """(R, I), which image tokens are inside each region"""
    return torch.tensor([[i in each for i in range(TOKENS)] for each in SEEN[case]])


def branch(case: str, width: int = SMALL.joint_attention_dim) -> Branch:
    regions = len(SEEN[case])
    texts = [noise(1, LENGTHS[n], width, seed=n) for n in range(regions)]
    return with_regions(Branch(noise(1, 5, width, seed=9)), GRID, texts, table(case))


def plain_sees(case: str, query: int, key: int) -> bool:
    """The rule, token by token"""
    lengths = [*LENGTHS[: len(SEEN[case])], 5]
    owner = [n for n, length in enumerate(lengths) for _ in range(length)]
    regions = [set(each) for each in SEEN[case]] + [set(range(TOKENS))]
    texts = len(owner)
    if query < texts and key < texts:
        return owner[query] == owner[key]
    if query >= texts and key >= texts:
        return True
    text, image = (query, key) if query < texts else (key, query)
    return image - texts in regions[owner[text]]


# -- the mask -------------------------------------------------------------------------------------


@in_each_case
def test_the_mask_is_what_a_plain_loop_over_all_pairs_gives(case):
    mask = branch(case).mask
    assert mask.shape[:2] == (1, 1) and mask.dtype == torch.bool
    for query, key in itertools.product(range(mask.shape[2]), range(mask.shape[3])):
        assert mask[0, 0, query, key] == plain_sees(case, query, key), (query, key)


def test_a_token_is_inside_if_any_of_its_four_latents_is():
    mask = torch.zeros(4, 6)
    for latent in ((0, 1), (3, 4), (2, 5)):
        mask[latent] = 1
    assert inside(mask, 2, 3).tolist() == [True, False, False, False, False, True]


def test_the_memory_of_the_mask_grows_in_a_straight_line_with_the_regions():
    sizes = {}
    for regions in (4, 8, 16):
        seen = torch.ones(regions + 1, 4096, dtype=torch.bool)  # 1024x1024 pixels
        with LiveMemory() as live:
            mask = attention_mask([20] * (regions + 1), seen)
        assert live.peak <= 1.2 * mask.nbytes
        sizes[regions] = live.peak
    growth = (sizes[16] - sizes[8]) / (sizes[8] - sizes[4])
    assert growth == pytest.approx(2, rel=0.1)


# -- positions ------------------------------------------------------------------------------------


def test_each_text_has_the_positions_that_it_would_have_alone():
    grids = [(1, 6, 4), (1, 9, 3)]
    together = text_positions(grids, [3, 5, 2]).split([3, 5, 2])
    for text in together:
        assert torch.equal(text, positions(grids, len(text))[1])


# -- in the network -------------------------------------------------------------------------------


def plain_attention(case: str):
    """Joint attention, one token at a time, over the keys that it sees and no others"""

    def attend(q, k, v, attn_mask=None):
        out = torch.zeros_like(q)
        for query in range(q.shape[2]):
            keys = [key for key in range(k.shape[2]) if plain_sees(case, query, key)]
            logits = torch.einsum("bhk,bhsk->bhs", q[:, :, query], k[:, :, keys])
            shares = (logits / math.sqrt(q.shape[-1])).softmax(dim=-1)
            out[:, :, query] = torch.einsum("bhs,bhsk->bhk", shares, v[:, :, keys])
        return out

    return attend


@torch.no_grad()
@in_each_case
def test_the_network_computes_what_a_plain_loop_over_seen_keys_computes(case, monkeypatch):
    network, call = model(), branch(case).call(noise(1, TOKENS, 64), torch.tensor([0.4]), GRID)
    ours = network(*call)
    monkeypatch.setattr(mmdit.F, "scaled_dot_product_attention", plain_attention(case))
    assert torch.isfinite(ours).all()
    assert difference(ours, network(*call))[1] <= within("mmdit")


@torch.no_grad()
def test_a_region_changes_its_own_tokens_first_and_none_outside_within_a_block():
    network, img = model(), noise(1, TOKENS, 64)
    network.transformer_blocks = network.transformer_blocks[:1]
    velocities = []
    for seed in (0, 1):
        text = noise(1, 3, SMALL.joint_attention_dim, seed=seed)
        prompt = Branch(noise(1, 5, SMALL.joint_attention_dim, seed=9))
        one = with_regions(prompt, GRID, [text], table("one"))
        velocities.append(network(*one.call(img, torch.tensor([0.4]), GRID)))
    changed = (velocities[0] != velocities[1]).any(dim=-1)
    assert changed[0].tolist() == table("one")[0].tolist()


CONTEXT = [name for name, (_, context) in regions_case.RUNS.items() if context]


def assert_diffsynths_velocities(runs: list[str]) -> None:
    theirs = load_file(regions_case.FILE)
    ours = regions_case.ours(runs)
    assert len(runs) >= 2 and list(ours) == runs
    for name, velocity in ours.items():
        assert difference(velocity, theirs[name])[1] <= within("stack"), name


def test_regions_give_diffsynths_numbers():
    assert_diffsynths_velocities([name for name in regions_case.RUNS if name not in CONTEXT])


def test_a_context_picture_alone_and_with_regions_gives_diffsynths_numbers():
    assert_diffsynths_velocities(CONTEXT)


def test_masks_are_read_as_diffsynth_reads_them():
    theirs = load_file(regions_case.FILE)
    for name, mask in regions_case.read_masks().items():
        ours = torch.from_numpy(mask).float()
        assert ours.shape == theirs[name][0, 0].shape
        assert difference(ours, theirs[name])[1] <= within("preprocessing"), name
