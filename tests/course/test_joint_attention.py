"""Chapter 06's instruments: what a block is told, what its tokens look at, and how it is drawn."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.course import check
from qwenimage_ref.course.figures import joint_attention
from qwenimage_ref.mmdit import MMDiT, modulate
from qwenimage_ref.parity.reference import random_weights

T, I = 3, 8  # noqa: E741
CONFIG = MMDiTConfig(
    num_layers=2,
    num_attention_heads=2,
    attention_head_dim=12,
    joint_attention_dim=10,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 4, 4),
)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net():
    return random_weights(MMDiT(CONFIG), 1)


def call(mask=None):
    return noise(2, I, 20), noise(2, T, 10, seed=1), torch.tensor([0.3, 0.8]), [(1, 2, 4)], mask


def test_what_each_block_is_told_is_what_the_one_before_gave(net):
    first, second = joint_attention.arguments_of_blocks(net, *call())
    with torch.no_grad():
        img, txt = net.transformer_blocks[0](*first)
    assert torch.equal(img, second[0]) and torch.equal(txt, second[1])
    assert not net.transformer_blocks[0]._forward_pre_hooks


@pytest.mark.parametrize("masked", [False, True])
def test_the_weights_times_the_values_are_what_the_block_computes(net, masked):
    mask = torch.tensor([[True, True, False], [True] * 3]) if masked else None
    told = joint_attention.arguments_of_blocks(net, *call(mask))[1]
    block, (img, txt, temb, *rest) = net.transformer_blocks[1], told
    weights = joint_attention.attention_weights(block, *told)
    with torch.no_grad():
        img_in = modulate(img, *block.img_mod(temb)[:2])
        txt_in = modulate(txt, *block.txt_mod(temb)[:2])
        v = torch.cat([block.attn.add_v_proj(txt_in), block.attn.to_v(img_in)], dim=1)
        out = torch.einsum("bhst,bthk->bshk", weights, v.unflatten(-1, (2, 12))).flatten(2)
        expected = block.attn(img_in, txt_in, *rest[:3])
    torch.testing.assert_close(block.attn.to_out(out[:, T:]), expected[0])
    torch.testing.assert_close(block.attn.to_add_out(out[:, :T]), expected[1])
    assert (weights[0, :, :, 2] == 0).all() == masked


def test_the_quarters_are_the_shares_that_each_stream_gives():
    weights = torch.tensor([[0.2, 0.8, 0.0], [0.1, 0.5, 0.4], [0.3, 0.7, 0.0]])
    shares = joint_attention.quarters(weights, 1)
    assert list(shares) == list(joint_attention.ACROSS)
    assert list(shares.values()) == pytest.approx([0.2, 0.8, 0.2, 0.8])


def test_a_picture_is_coloured_where_it_is_looked_at_and_gray_elsewhere():
    picture = Image.new("RGB", (32, 32), (0, 0, 255))
    amounts = torch.zeros(4, 4)
    amounts[3, 0] = 0.2
    pixels = np.asarray(joint_attention.overlay(picture, amounts)).astype(int)
    assert np.ptp(pixels[2, 30]) == 0, "gray"
    assert np.ptp(pixels[30, 2]) > 100, "coloured"


def test_a_moved_slider_shows_the_attention_of_another_block_or_level():
    weights = {
        sigma: [torch.eye(4).roll(n + int(10 * sigma), 0) for n in range(2)] for sigma in (0.9, 0.5)
    }
    looking = joint_attention.AttentionSliders(weights, ["red"], block=0, sigma=0.9)
    before = looking.picture.value
    looking.block.value = 1
    assert looking.picture.value != before
    assert looking.words.value.startswith("block 1, sigma 0.9: text looks at text 0%, ")
    looking.sigma.value = 0.5
    assert looking.words.value.startswith("block 1, sigma 0.5: ")
    looking.block.value, looking.sigma.value = 0, 0.9
    assert looking.picture.value == before


def test_where_no_widget_can_be_the_sliders_are_words():
    looking = joint_attention.AttentionSliders({0.5: [torch.eye(3)]}, ["red"], block=0, sigma=0.5)
    assert repr(looking).startswith("sliders for block and sigma over the attention map")


def test_other_right_ways_to_hide_padding_pass(capsys):
    def seen(k, real):
        image = torch.ones(len(real), k.shape[2] - real.shape[1], dtype=torch.bool)
        return torch.cat([real, image], dim=1)

    def by_torch(q, k, v, real):
        mask = seen(k, real)[:, None, None]
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def by_a_large_number(q, k, v, real):
        logits = torch.einsum("bhsk,bhrk->bhsr", q, k) * q.shape[-1] ** -0.5
        logits = logits - 1e9 * ~seen(k, real)[:, None, None]
        return logits.softmax(-1) @ v

    check.ex_06_mask(by_torch)
    check.ex_06_mask(by_a_large_number)
    assert capsys.readouterr().out.count("right") == 2


def test_a_modulation_written_out_passes(capsys):
    def residual(x, shift, scale, gate, part):
        centred = x - x.mean(-1, keepdim=True)
        size = (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        return x + part(shift + centred / size + scale * centred / size) * gate

    check.ex_06_modulation(residual)
    assert capsys.readouterr().out.startswith("right")


def test_a_clicked_word_colours_the_patches_that_look_at_it():
    weights = torch.full((6, 6), 0.1)
    weights[2, 0] = weights[5, 1] = 0.5  # patch 0 looks at the first word, patch 3 at the second
    poster = Image.new("RGB", (64, 64), "white")
    panel = joint_attention.WordOverPicture(poster, [weights, weights.T], ["a", "b"], "a", 0)
    first = np.asarray(Image.open(io.BytesIO(panel.picture.value)).convert("RGB"), int)
    panel.word.value = "b"
    second = np.asarray(Image.open(io.BytesIO(panel.picture.value)).convert("RGB"), int)
    blue = 2  # orange has little blue
    assert first[8, 8, blue] < 100 < first[56, 56, blue]
    assert second[56, 56, blue] < 100 < second[8, 8, blue]
    assert panel.words.value.startswith("'b' in block 0: 20.0% of a patch's attention in the mean")
    panel.block.value = 1
    assert "in block 1: 10.0%" in panel.words.value
