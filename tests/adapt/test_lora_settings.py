"""alpha and rank that stand beside the tensors: in the header, in PEFT's config and patterns."""

import json
import time

import pytest
import torch
from helpers import speed
from helpers.nets import model
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file

from qwenimage_ref.adapt import lora, lora_settings
from qwenimage_ref.adapt.lora_settings import (
    LONGEST_PATTERN,
    MOST_EXPRESSIONS,
    MOST_PATTERNS,
    first_fits,
    number,
    settings_of_header,
)

LAYERS = ("transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.to_q",
          "transformer_blocks.1.img_mlp.net.2")  # fmt: skip


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Every linear layer of the small model."""
    return list(lora.named_linears(model()))


RANK = 4


def tensors(layers=LAYERS) -> dict[str, torch.Tensor]:
    made, mmdit = {}, model()
    for name in layers:
        out, in_ = mmdit.get_submodule(name).weight.shape
        made[f"{name}.lora_A.weight"] = torch.full((RANK, in_), 0.5)
        made[f"{name}.lora_B.weight"] = torch.full((out, RANK), 0.25)
    return made


def loaded(tmp_path, more=None, metadata=None):
    save_file(tensors() | (more or {}), tmp_path / "some.safetensors", metadata=metadata)
    return lora.load(model(), tmp_path / "some.safetensors")


def config(**settings) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps(settings)}


def alphas(report) -> list[float]:
    return [pair.alpha for pair in report.adapter.named_pairs().values()]


# -- the header


@pytest.mark.parametrize("key", ["alpha", "lora_alpha", "ss_network_alpha"])
def test_an_alpha_in_the_header_counts(key, tmp_path):
    report = loaded(tmp_path, metadata={key: "0.5", "ss_network_dim": "4"})
    assert report.alpha_given and alphas(report) == [0.5] * 3
    pair = report.adapter.named_pairs()[LAYERS[0]]
    assert torch.equal(pair.delta(), 0.5 / RANK * (pair.lora_B @ pair.lora_A))


def test_an_alpha_beside_a_pair_comes_before_one_in_the_header(tmp_path):
    more = {f"{name}.alpha": torch.tensor(2.0) for name in LAYERS[:2]}
    report = loaded(tmp_path, more, {"ss_network_alpha": "8"})
    assert alphas(report) == [2, 2, 8]


def test_peft_s_config_comes_before_a_lone_alpha(tmp_path):
    assert alphas(loaded(tmp_path, metadata=config(lora_alpha=3) | {"alpha": "8"})) == [3] * 3


def test_an_alpha_of_none_is_no_alpha(tmp_path):
    report = loaded(tmp_path, metadata={"ss_network_alpha": "None"})
    assert not report.alpha_given and alphas(report) == [RANK] * 3


def test_a_header_with_two_alphas_is_refused():
    with pytest.raises(ValueError, match="one alpha, got ss_network_alpha 4, alpha 8"):
        settings_of_header({"alpha": "8", "ss_network_alpha": "4"})
    assert settings_of_header({"alpha": "8", "ss_network_alpha": "8.0"}).alpha == 8


@pytest.mark.parametrize(
    "value",
    [0, -0.0, "nan", "inf", "1" * 400, 10**400, 1e-40, 1e31, "much", "", [], {}, None, True, 1j],
)
def test_what_is_no_strength_is_refused_in_a_short_line(value):
    with pytest.raises(ValueError, match="alpha must be finite and non-zero, got") as failure:
        number(value, "alpha")
    assert len(str(failure.value)) < 200


@pytest.mark.parametrize("value", [2e-30, "2e-30", -9e29, 1])
def test_a_strength_that_float32_holds_is_a_float(value):
    assert number(value, "alpha") == float(value)


@pytest.mark.parametrize("value", [9e-31, 1.05e30])
def test_a_strength_just_beyond_what_float32_holds_is_refused(value):
    with pytest.raises(ValueError, match="alpha must be finite and non-zero"):
        number(value, "alpha")


def test_a_header_with_half_a_character_is_refused():
    with pytest.raises(ValueError, match="can't decode"):
        settings_of_header({"lora_adapter_metadata": '{"r": "\ud800"}'})


@pytest.mark.parametrize(
    "alpha, words",
    [
        (torch.tensor(1 + 2j), "must be finite and non-zero, got "),
        (torch.tensor(True), "must be finite and non-zero, got True"),
        (torch.tensor([]), "must have one number as alpha, got 0"),
    ],
)
def test_an_alpha_tensor_that_is_no_real_number_is_refused(alpha, words, tmp_path):
    more = {f"{name}.alpha": alpha.clone() for name in LAYERS}
    with pytest.raises(lora.LoRAError, match=words):
        loaded(tmp_path, more)


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({"alpha": "strong"}, "header: alpha of the header must be finite"),
        ({"lora_adapter_metadata": "{"}, "some.safetensors: header: "),
        ({"lora_adapter_metadata": "[]"}, "must be a JSON object"),
        ({"lora_adapter_metadata": "[" * 10_000}, "nested too deeply"),
        (config(lora_alpha={}), "lora_alpha must be finite"),
        (config(r="4"), "r must be a positive integer, got 4"),
        (config(alpha_pattern=["to_q"]), "alpha_pattern must be a JSON object"),
        (config(alpha_pattern={"to_q": "x"}), "alpha_pattern must be finite and non-zero, got x"),
        (config(rank_pattern={"to_q": 0}), "rank_pattern must be a positive integer, got 0"),
    ],
)
def test_settings_that_cannot_be_read_are_refused_in_one_line(metadata, words, tmp_path):
    with pytest.raises(lora.LoRAError, match=words) as failure:
        loaded(tmp_path, metadata=metadata)
    assert "\n" not in str(failure.value)


def test_a_rank_other_than_the_config_s_is_refused(tmp_path):
    with pytest.raises(lora.LoRAError, match="to_q must have the rank 8 of its config, got 4"):
        loaded(tmp_path, metadata=config(r=4, lora_alpha=4, rank_pattern={"to_q": 8}))
    assert loaded(tmp_path, metadata=config(r=8, lora_alpha=4, rank_pattern={".*": 4})).matched == 3


def test_a_config_of_rank_one_is_read():
    header = config(r=1, lora_alpha=1, rank_pattern={"to_q": 1})
    assert settings_of_header(header).of_layers(["to_q", "to_k"]) == {
        "to_q": (1, 1), "to_k": (1, 1),
    }  # fmt: skip


# -- PEFT's patterns


PATTERNS = [
    ["to_q"],
    ["attn.to_q", "to_q"],
    ["to_q", r"transformer_blocks\.1\.attn\.to_q"],
    [r"transformer_blocks\.1\.attn\.to_q", "to_q"],
    [".*to_q"],
    ["transformer_blocks.1.attn.to_q"],
    [r"transformer_blocks\.[01]\.(attn|img_mlp)\..*"],
    [r".*\.1\.", r"net\.\d"],
    ["q", "_q", "o_q"],
    ["img_mlp.net.2", "net.2", "2"],
    ["attn|net.2"],
    ["attn_to_q", "attn.to.q"],
    ["norm.linear", ""],
    ["(?i:TO_Q)", "(?!to_k)to_."],
    ["to_q$", "^transformer_blocks.0.attn.to_k"],
]


@pytest.mark.parametrize("patterns", PATTERNS, ids=str)
def test_patterns_fit_the_layers_that_peft_finds(patterns, names):
    theirs = {name: get_pattern_key(patterns, name) for name in names}
    ours = first_fits(patterns, names)
    # PEFT answers a layer that no pattern fits with the layer's own name
    assert ours == {name: key for name, key in theirs.items() if key in patterns}


def test_a_pattern_gives_its_alpha_to_the_layers_that_it_fits(tmp_path):
    patterns = {r"transformer_blocks\.1\..*": 16, "to_q": 2}
    assert alphas(loaded(tmp_path, metadata=config(lora_alpha=4, alpha_pattern=patterns))) == [
        2, 16, 16,
    ]  # fmt: skip


def test_a_pattern_that_fits_no_layer_is_ignored_and_reported(tmp_path):
    patterns = {"norm.linear": 16}
    report = loaded(tmp_path, metadata=config(lora_alpha=4, alpha_pattern=patterns))
    assert alphas(report) == [4] * 3
    assert str(report).endswith("; alpha_pattern without a layer: norm.linear")


HOSTILE = {
    "too many": ([f"p{i}" for i in range(MOST_EXPRESSIONS + 1)], "must be at most 100, got 101"),
    "malformed": (["to_q", "("], r"pattern \( is malformed"),
    "only in another engine": (["(?R)"], "is malformed"),
    "repeats without end": (["a{99999999999999999999}"], "is malformed"),
    "exponential": (["to_q", r"(?:(\w)\1?|\w\.?|..)*[!#]"], "takes too long to match; simplify"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_patterns_are_refused_in_time(what, names, monkeypatch):
    patterns, words = HOSTILE[what]
    monkeypatch.setattr(lora_settings, "MATCHING", 0.1)
    with speed.at_most(0.5), pytest.raises(ValueError, match=words):
        first_fits(patterns, names)


@pytest.mark.parametrize(
    "patterns, words",
    [
        ({f"p{i}": 1 for i in range(MOST_PATTERNS + 1)}, "at most 10,000 entries, got 10,001"),
        ({"p" * (LONGEST_PATTERN + 1): 1}, "at most 300 characters, got 301"),
    ],
)
def test_patterns_have_limits(patterns, words, tmp_path):
    with pytest.raises(lora.LoRAError, match=words):
        loaded(tmp_path, metadata=config(lora_alpha=1, alpha_pattern=patterns))


def test_patterns_at_their_limits_are_read():
    names = [str(number) for number in range(MOST_PATTERNS)]
    header = config(alpha_pattern={**dict.fromkeys(names[:-1], 1), "p" * LONGEST_PATTERN: 2})
    settings = settings_of_header(header)
    assert len(settings.alphas) == MOST_PATTERNS
    assert settings.idle(names) == ["p" * LONGEST_PATTERN]


def test_as_many_expressions_as_are_allowed_are_matched():
    patterns = [f"x{number}" for number in range(MOST_EXPRESSIONS - 1)]
    assert first_fits([*patterns, "to_[q]"], ["to_q"]) == {"to_q": "to_[q]"}


def test_an_expression_may_take_its_time(names, monkeypatch):
    monkeypatch.setattr(lora_settings, "MATCHING", 0.1)
    start = time.monotonic()
    with pytest.raises(ValueError, match="takes too long"):
        first_fits([r"(?:(\w)\1?|\w\.?|..)*[!#]"], names)
    assert time.monotonic() - start >= 0.09  # a machine under load takes longer, never less


def test_a_pattern_for_each_layer_of_the_official_model_takes_no_time():
    names = [f"transformer_blocks.{i}.attn.{n}" for i in range(60) for n in lora.ATTENTION]
    with speed.at_most(0.2):
        assert first_fits(names[::-1], names) == {name: name for name in names}
