"""Formats of weights on the pocket model: what they leave, what they weigh, and the record."""

import json

import pytest
import torch

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.evaluate import precision
from qwenimage_ref.evaluate.precision import FORMATS, RECORD
from qwenimage_ref.evaluate.score import contact_sheet
from qwenimage_ref.mmdit import MMDiT

WEIGHT = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)) / 10


@pytest.fixture
def small() -> MMDiT:
    config = MMDiTConfig(
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=32,
        joint_attention_dim=48,
        axes_dims_rope=(8, 12, 12),
    )
    torch.manual_seed(0)
    return MMDiT(config)


def test_blocks_of_four_bits_are_those_of_gguf():
    ours, theirs = precision.in_blocks(WEIGHT, 4), precision.as_gguf(WEIGHT, "Q4_0")
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_a_block_of_n_bits_holds_at_most_two_to_the_n_numbers():
    for bits in (2, 3, 4):
        blocks = precision.in_blocks(WEIGHT, bits).view(-1, 32)
        assert max(len(block.unique()) for block in blocks) <= 2**bits


def test_blocks_of_nothing_but_zeros_stay_zeros():
    assert precision.in_blocks(torch.zeros(2, 32), 3).abs().max() == 0


def test_an_outlier_spoils_its_block_or_the_whole_layer():
    weight = WEIGHT.clone()
    weight[0, 0] = 10
    rest = slice(1, None)
    one = precision.relative_error(precision.one_scale(weight, 4)[rest], weight[rest])
    blocks = precision.relative_error(precision.in_blocks(weight, 4)[rest], weight[rest])
    assert one > 0.9 and blocks < 0.12


def test_scaled_fp8_does_not_care_how_large_weights_are_and_plain_does():
    errors = {
        how: [
            precision.relative_error(precision.as_fp8(WEIGHT * s, how), WEIGHT * s)
            for s in (1, 0.05)
        ]
        for how in ("plain", "tensor")
    }
    assert errors["tensor"][0] == pytest.approx(errors["tensor"][1], rel=1e-3)
    assert errors["plain"][1] > 3 * errors["plain"][0]


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_keeps_the_shape_and_comes_near(name):
    rounded = FORMATS[name].rounded(WEIGHT)
    assert rounded.shape == WEIGHT.shape and rounded.dtype == torch.float32
    assert precision.relative_error(rounded, WEIGHT) < 0.6


def test_only_linear_layers_of_blocks_are_packed(small):
    names = list(precision.linears(small))
    assert len(names) == 14 * len(small.transformer_blocks)
    assert all(name.startswith("transformer_blocks.") for name in names)
    assert all(small.get_submodule(name).weight.ndim == 2 for name in names)


def test_bytes_are_those_of_packed_weights_and_of_the_rest_in_bf16(small):
    everything = sum(p.numel() for p in small.parameters())
    packed = sum(layer.weight.numel() for layer in precision.linears(small).values())
    assert precision.count_bytes(small, FORMATS["bf16"]) == 2 * everything
    assert precision.count_bytes(small, FORMATS["Q8_0"]) == packed // 32 * 34 + 2 * (
        everything - packed
    )


def test_the_model_has_its_own_weights_again_even_after_an_error(small):
    before = {name: p.clone() for name, p in small.named_parameters()}
    with pytest.raises(RuntimeError, match="stop"):
        with precision.rounded_to(small, FORMATS["2 bits, blocks"]):
            name, layer = next(iter(precision.linears(small).items()))
            assert not torch.equal(layer.weight, before[f"{name}.weight"])
            raise RuntimeError("stop")
    assert all(torch.equal(p, before[name]) for name, p in small.named_parameters())


def test_pictures_are_cut_out_of_their_sheet_in_order():
    pictures = [torch.full((4, 4, 3), i, dtype=torch.uint8).numpy() for i in range(11)]
    found = precision.cut(contact_sheet(pictures), 11)
    assert [int(p.mean()) for p in found] == list(range(11))


def test_scores_leave_out_captions_without_a_word():
    found = precision.scores({"scene": "1101", "word": "1-0-"})
    assert (found["scene"]["right"], found["scene"]["of"]) == (3, 4)
    assert (found["word"]["right"], found["word"]["of"]) == (1, 2)
    assert found["scene"]["low"] < 0.75 < found["scene"]["high"]


def test_what_a_format_loses_is_counted_caption_by_caption():
    base = {"scene": "1111", "word": "1-1-"}
    found = precision.lost({"scene": "0110", "word": "1-0-"}, base)
    assert (found["scene"]["first_only"], found["scene"]["second_only"]) == (2, 0)
    assert (found["word"]["of"], found["word"]["difference"]) == (2, 0.5)


class StandIn:
    """A measurement that paints nothing, and may be killed after some formats."""

    def __init__(self, dies_after: int = 99):
        self.done, self.dies_after = [], dies_after

    def __call__(self, pipe, made, form, base):
        if len(self.done) == self.dies_after:
            raise KeyboardInterrupt
        self.done.append(form)
        base.write_bytes(b"")
        return {"bits": form.bits}


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(precision, "terms", lambda pipe, captions: {"captions": captions})
    monkeypatch.setattr(precision, "square_trials", lambda captions: [])


def test_a_killed_survey_goes_on_where_it_was(tmp_path, monkeypatch, no_model):
    file = tmp_path / "precision.json"
    monkeypatch.setattr(precision, "measure", StandIn(dies_after=3))
    with pytest.raises(KeyboardInterrupt):
        precision.survey(None, 2, file)
    again = StandIn()
    monkeypatch.setattr(precision, "measure", again)
    precision.survey(None, 2, file)
    assert len(again.done) == len(FORMATS) - 3
    stored = json.loads(file.read_text())
    assert {name: stored[name]["bits"] for name in FORMATS} == {
        name: form.bits for name, form in FORMATS.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["precision.json"]


def test_without_the_pictures_to_compare_with_it_begins_anew(tmp_path, monkeypatch, no_model):
    file = tmp_path / "precision.json"
    monkeypatch.setattr(precision, "measure", StandIn(dies_after=3))
    with pytest.raises(KeyboardInterrupt):
        precision.survey(None, 2, file)
    (tmp_path / "precision.base.progress").unlink()
    again = StandIn()
    monkeypatch.setattr(precision, "measure", again)
    precision.survey(None, 2, file)
    assert len(again.done) == len(FORMATS)


def test_too_few_captions_are_refused_in_one_line(capsys):
    assert precision.main(["--captions", "1"]) == 2
    assert capsys.readouterr().err == "--captions must be at least 2, got 1\n"


def test_the_shipped_record_holds_every_format_on_200_captions():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["captions"] == 200
    for name in FORMATS:
        marks = record[name]
        assert len(marks["scene"]) == len(marks["word"]) == len(marks["pixels"].split()) == 200
        assert len(marks["layers"]) == 112
