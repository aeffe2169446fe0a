"""What a training of each mode allocates, against the formulas: narrow, and at official width."""

from dataclasses import replace

import pytest
import torch
from helpers.memory_of_modes import CASES, allocated, network

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.train.loop import Run
from qwenimage_ref.train.memory import Sizes, memory_of

OFFICIAL = replace(MMDiTConfig.official(), num_layers=2)
NARROW = replace(OFFICIAL, num_layers=3, num_attention_heads=2, joint_attention_dim=64)
RECOMPUTED, KEPT = True, False
# At official width one case of each mode: what its other choices add is compared on narrow networks
WIDE = (
    *("lora", "control", "dpo", "grpo, unguided", "distill", "imitate", "dmd2, judged"),
    "differential",  # no "full": 14 GB
)
# Formulas count a text token in a block like an image token, which is too much by a tenth or less
LEAST, MOST = 0.9, 1.15


@pytest.fixture(autouse=True)
def no_files(monkeypatch):
    """States would be as large as what is measured, and are written when activations are gone."""
    monkeypatch.setattr(Run, "_write", lambda run: None)


def compare(name: str, config: MMDiTConfig, image_tokens: int, again: bool, folder) -> float:
    """-> the formula's bytes over those that are allocated, both without the network itself"""
    case = CASES[name]
    mmdit = network(config, torch.float32 if case.mode == "full" else torch.bfloat16, again)
    sizes = Sizes(config, image_tokens, 16, case.batch, recompute=again)
    own = sum(p.nbytes for p in mmdit.parameters())
    expected = sum(memory_of(case.mode, case.choices, sizes).values()) - own
    return expected / allocated(case, mmdit, sizes, folder)


@pytest.mark.parametrize("again", [RECOMPUTED, KEPT], ids=["recomputed", "kept"])
@pytest.mark.parametrize("name", CASES)
def test_a_mode_allocates_what_its_formula_says(name, again, tmp_path):
    assert LEAST <= compare(name, NARROW, 256, again, tmp_path) <= MOST


def test_every_mode_but_one_is_compared_at_official_width():
    assert {CASES[name].mode for name in WIDE} == {case.mode for case in CASES.values()} - {"full"}


@pytest.mark.parametrize("name", WIDE)
def test_two_blocks_of_official_width_allocate_what_the_formula_says(name, tmp_path):
    assert LEAST <= compare(name, OFFICIAL, 16, RECOMPUTED, tmp_path) <= MOST
