"""The formulas of a step's memory: beside each other, and beside what is recorded."""

import json
from dataclasses import replace

import pytest
import torch

from qwenimage_ref.adapt import lora as adapters
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.repository import ROOT
from qwenimage_ref.train import distill, dmd2, grpo, lora, preference
from qwenimage_ref.train.memory import STEPS, Sizes, memory_of
from qwenimage_ref.train.recompute import training_bytes
from qwenimage_ref.train.sharded.plan import Plan

OFFICIAL = Sizes(MMDiTConfig.official(), image_tokens=4096, text_tokens=64)


def total(mode, choices, sizes=OFFICIAL, **changes) -> int:
    return sum(memory_of(mode, choices, replace(sizes, **changes)).values())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_lora_of_the_official_model_takes_what_is_recorded(streamed):
    record = json.loads((ROOT / "data" / "measurements" / "lora.json").read_text())
    recorded = record["formula"]["official"]["streamed_gb" if streamed else "resident_gb"]["all"]
    assert total("lora", lora.Settings(), streamed=streamed) / 1e9 == pytest.approx(
        recorded, abs=0.01
    )


def test_a_lora_takes_what_is_counted_on_a_network():
    config = replace(OFFICIAL.config, num_layers=2)
    with torch.device("meta"):
        mmdit = MMDiT(config).bfloat16()
        adapter = adapters.inject(mmdit, adapters.TARGETS["DiffSynth"], 16)
    count = sum(p.numel() for p in adapter.parameters())
    counted = training_bytes(mmdit, 4096, 64, count)
    parts = memory_of("lora", lora.Settings(), replace(OFFICIAL, config=config))
    assert parts["base"] == counted["base"] and parts["trained"] == counted["adapter"]
    assert sum(parts.values()) == pytest.approx(sum(counted.values()), rel=0.005)


def test_full_training_holds_the_five_numbers_of_the_plan_and_cannot_be_streamed():
    parts = memory_of("full", lora.Flow(), OFFICIAL)
    plan = Plan(OFFICIAL.config, 1, 1, 4096, 64, itemsize=4).memory()
    share = plan["its share of weights, gradients, moments, average"]
    assert parts["trained"] + parts["gradients"] == share
    assert parts["activations of a block"] == plan["inside a block"] and parts["base"] == 0
    with pytest.raises(ValueError, match="weights in memory"):
        total("full", lora.Flow(), streamed=True)


@pytest.mark.parametrize("again", [True, False])
def test_a_comparison_takes_as_much_as_two_pictures(again):
    pairs = total("dpo", preference.Preference(), batch=3, recompute=again)
    assert pairs == total("lora", lora.Settings(), batch=6, recompute=again)


@pytest.mark.parametrize(
    ("mode", "one", "three"),
    [
        ("distill", distill.FewSteps(steps=1), distill.FewSteps(steps=3)),
        ("dmd2", dmd2.Matching(steps=1), dmd2.Matching(steps=3)),
    ],
)
def test_every_step_of_a_student_is_kept(mode, one, three):
    stream = 60 * (4096 + 64) * 3072 * 2
    assert total(mode, three) - total(mode, one) == 2 * stream


def test_the_path_of_the_teacher_is_stored_beside_a_student_that_imitates():
    choices = distill.Imitation(steps=4)
    stored = total("imitate", choices) - total("distill", distill.FewSteps(steps=4))
    assert stored == memory_of("imitate", choices, OFFICIAL)["stored"] == 5 * 4096 * 64 * 2


def test_guidance_keeps_two_passes_of_a_group_and_all_states_are_stored():
    guided, unguided = (
        memory_of("grpo", grpo.Reward(guidance=scale), replace(OFFICIAL, batch=2))
        for scale in (4, 1)
    )
    assert guided["kept activations"] == 2 * unguided["kept activations"]
    assert guided["stored"] == 2 * 11 * 8 * 4096 * 64 * 4


def test_later_batches_of_a_step_find_gradients():
    once, twice = (memory_of("lora", lora.Settings(accumulate=count), OFFICIAL) for count in (1, 2))
    assert once["gradients"] == 0 and twice["gradients"] == 4 * OFFICIAL.adapter
    assert once["kept activations"] == twice["kept activations"]


def test_two_adapters_have_moments_in_dmd2_and_in_a_differential_lora():
    one = memory_of("lora", lora.Settings(), OFFICIAL)["trained"]
    assert memory_of("differential", lora.Settings(), OFFICIAL)["trained"] == 2 * one
    assert memory_of("dmd2", dmd2.Matching(), OFFICIAL)["trained"] == 2 * one
    judged = memory_of("dmd2", dmd2.Matching(adversarial=0.01), OFFICIAL)["trained"]
    assert judged == 2 * one + 16 * (3072**2 + 2 * 3072 + 1)


def test_every_mode_of_the_command_has_a_formula():
    from qwenimage_ref.cli.train_modes import MODES

    assert STEPS.keys() == MODES.keys()
