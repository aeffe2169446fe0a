"""Chapter 01: the ledger's formulas against torch's counter, the bars and the napkin."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig
from qwenimage_ref.course.figures import cost_slider, costs, nested_bars
from qwenimage_ref.course.figures.costs import Machine, Work
from qwenimage_ref.course.figures.nested_bars import Bar, Slice
from qwenimage_ref.mmdit import MMDiT, Modulation
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from tests.helpers.pixels import painted, pixels, where

TEXT = TextEncoderConfig(
    num_hidden_layers=3, hidden_size=48, num_attention_heads=6, num_key_value_heads=2,
    intermediate_size=50, vocab_size=97, mrope_section=(2, 1, 1),
)  # fmt: skip
HALF = Bar("all", (Slice("a", 3), Slice("b", 1)), "b")


def empty(*shape, dtype=None):
    return torch.empty(*shape, dtype=dtype, device="meta")


# ---- operations


@pytest.mark.parametrize("layers", [1, 3])
def test_a_pass_costs_what_torch_counts(layers):
    config = replace(MMDiTConfig.official(), num_layers=layers)
    with torch.device("meta"):
        net = MMDiT(config)
    img, txt, sigma = empty(1, 77, 64), empty(1, 5, 3584), empty(1)
    counted = costs.counted(lambda: net(img, txt, sigma, [(1, 7, 11)]))
    assert costs.pass_flops(config, 77, 5) == counted


def test_modulation_costs_what_torch_counts():
    with torch.device("meta"):
        layer = Modulation(40)
    counted = costs.counted(lambda: layer(empty(1, 1, 40)))
    assert costs.block_flops(40, 21, 5)["modulation"] == 2 * counted, "one for each stream"


def test_reading_costs_what_torch_counts():
    with torch.device("meta"):
        net = TextEncoder(TEXT)
    counted = costs.counted(lambda: net(torch.zeros(1, 13, dtype=torch.long, device="meta")))
    assert costs.text_encoder_flops(TEXT, 13) == counted


@pytest.mark.parametrize("config", [VAEConfig(), VAEConfig(base_dim=16)], ids=["full", "narrow"])
def test_decoding_costs_what_torch_counts_but_for_the_folding_of_kernels(config):
    with torch.device("meta"):
        net = VAE(config)
    counted = costs.counted(lambda: net.decode(empty(1, 16, 58, 104)))
    # torch also counts how UpConv adds up its weights, which no pixel multiplies
    assert 0 <= counted / costs.decode_flops(config, 832, 464) - 1 < 1e-4


# ---- pictures and machines


def test_guidance_doubles_the_passes_and_reads_the_negative_prompt():
    plain, guided = (costs.picture((1328, 1328), 20, guided) for guided in (False, True))
    assert guided["MMDiT"].bytes == 2 * plain["MMDiT"].bytes == 2 * 20 * 40_860_802_176
    # a little less than double, because the negative prompt is shorter
    assert 1.98 < guided["MMDiT"].flops / plain["MMDiT"].flops < 2
    assert guided["text encoder"].flops > plain["text encoder"].flops
    assert guided["VAE decoder"] == plain["VAE decoder"]


def test_a_picture_on_its_side_costs_the_same():
    assert costs.picture((1664, 928)) == costs.picture((928, 1664))


def test_the_official_sizes_are_whole_tokens():
    assert len(costs.SIZES) == 7
    assert all(width % 16 == height % 16 == 0 for width, height in costs.SIZES)


def test_text_to_image_reads_these_numbers():
    assert costs.weights() == {
        "text encoder": 7_070_619_136,
        "MMDiT": 20_430_401_088,
        "VAE decoder": 25_291_683 + 272,
    }


def test_a_machine_waits_for_the_slower_of_its_two_hands():
    machine = Machine("toy", flops=10, bandwidth=2)
    assert machine.seconds(Work(100, 4)) == 10
    assert machine.seconds(Work(100, 40)) == 20


def test_two_measured_threads_are_at_most_twice_as_fast_as_one():
    two = costs.measured().flops
    block = sum(costs.block_flops(3072, 256, 64).values())
    one = block / costs.bench("MMDiT, one block, 256 + 64 tokens, bfloat16")
    assert one < two <= 2 * one


def test_what_was_not_measured_is_said():
    with pytest.raises(KeyError, match="what must be one of VAE, decode.*, got 'a dream'"):
        costs.bench("a dream")


@pytest.mark.parametrize(
    "seconds, words",
    [(0.0532, "53 ms"), (1.24, "1.2 s"), (119, "120 s"), (2800, "47 min"), (24_800, "6.9 hours")],
)
def test_a_duration_is_said_in_a_persons_unit(seconds, words):
    assert costs.duration(seconds) == words


# ---- pictures of them


def test_the_slices_of_a_bar_share_its_width():
    assert HALF.spans() == {"a": (0, 0.75), "b": (0.75, 1)}


def test_a_slice_is_as_wide_as_its_share_and_opens_to_the_whole_width():
    slices = (Slice("a", 3, "text", named=False), Slice("b", 1, "image", named=False))
    opened = Bar("b", (Slice("c", 2000, "accent", named=False),))
    shown = nested_bars.bars([Bar("all", slices, "b"), opened], "b is a quarter of all")
    three, one, whole = (
        where(shown, role, opacity=1 / 3).sum(1).max() for role in ("text", "image", "accent")
    )
    assert three == pytest.approx(3 * one, rel=0.05)
    assert whole == pytest.approx(three + one, rel=0.05)
    assert shown.alt == "b is a quarter of all" and plt.get_fignums() == []


def test_a_bar_cannot_open_what_it_does_not_have():
    with pytest.raises(ValueError, match="opened must be a slice of all, got 'z'"):
        nested_bars.bars([replace(HALF, opened="z"), HALF], "nothing of the kind")


@pytest.mark.parametrize(
    "amount, words",
    [(20_430_401_088, "20.43 B"), (339_831_296, "339.8 M"), (1933, "1.933 k"), (7, "7")],
)
def test_large_amounts_are_said_shortly(amount, words):
    assert nested_bars.short(amount) == words


def test_the_bars_of_a_pass_are_as_long_as_its_operations():
    shown = cost_slider.chart("the costs in two charts")
    left = where(shown, "joint")[:, : pixels(shown).shape[1] // 3]  # without the legend
    lengths = left.sum(1)
    runs = np.split(lengths, np.nonzero(lengths == 0)[0])
    rows = [run.max() for run in runs if run.max(initial=0) > 10]
    blocks = [
        costs.block_flops(3072, costs.image_tokens(*size), 64)["matrices"] for size in costs.SIZES
    ]
    drawn, expected = rows[-len(blocks) :], [count / max(blocks) for count in blocks]
    assert [row / max(drawn) for row in drawn] == pytest.approx(expected, rel=0.05)
    assert painted(shown, "image") > 0 and painted(shown, "text") > 0
    assert shown.alt == "the costs in two charts"


# ---- the napkin


def test_the_napkin_says_what_a_picture_waits_for():
    toy = Machine("toy", 1e12, 1e12)
    assert cost_slider.words((1328, 1328), 50, True, toy).endswith("spent on multiplying")
    assert cost_slider.words((256, 256), 50, True, replace(toy, bandwidth=1e6)).endswith(
        "on fetching"
    )


def test_each_knob_of_the_napkin_changes_its_line():
    knobs = cost_slider.CostPanel()
    lines = {knobs.line.value}
    knobs.size.value = (1664, 928)
    lines.add(knobs.line.value)
    knobs.steps.value = 8
    lines.add(knobs.line.value)
    knobs.guided.value = False
    lines.add(knobs.line.value)
    knobs.machine.index = 1
    lines.add(knobs.line.value)
    assert len(lines) == 5


def test_where_no_widget_can_be_the_napkin_is_words():
    bundle = cost_slider.CostPanel()._repr_mimebundle_()
    assert bundle["text/plain"].startswith("choices of size, steps, guidance and machine")
