"""Few steps: the schedule of Lightning, and a student that learns to end where its teacher ends."""

import dataclasses

import pytest
import torch
from helpers.nets import SMALL, filled, model

from qwenimage_ref import cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.conditions import Branch
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.evaluate.score import paint, read_back, trials
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.pocket import lightning
from qwenimage_ref.sampler import sigmas, unpack
from qwenimage_ref.train.distill import distill_loss, rollout
from qwenimage_ref.train.loop import Recipe

LEVELS = torch.tensor([1.0, 0.75, 0.5, 0.0])


@pytest.mark.parametrize(
    "steps, golden",
    [
        (4, [1, 0.9, 0.75, 0.5, 0]),
        (8, [1, 0.954545, 0.9, 0.833333, 0.75, 0.642857, 0.5, 0.3, 0]),
    ],
)
@pytest.mark.parametrize("tokens", [64, 4096])
def test_the_schedule_of_lightning_is_the_published_one_at_every_size(steps, golden, tokens):
    levels = sigmas(steps, tokens, SchedulerConfig.lightning())
    assert levels.tolist() == pytest.approx(golden, abs=1e-6)


def drawn(B=2):
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(B, 16, 4, 6, generator=rng)
    return noise, torch.randn(B, 5, SMALL.joint_attention_dim, generator=rng)


def test_a_rollout_is_what_the_pipeline_does_without_guidance():
    mmdit, (noise, txt) = model(), drawn()
    pipe = QwenImage(None, None, mmdit, None, SchedulerConfig.official())
    with torch.no_grad():
        ours = unpack(rollout(mmdit, noise, txt, LEVELS), 2, 3)
        theirs = pipe.denoise(noise, LEVELS, Branch(txt))
    torch.testing.assert_close(ours, theirs)


def test_a_rollout_in_16_bits_ends_near_the_one_in_float32():
    mmdit, (noise, txt) = model(), drawn()
    with torch.no_grad():
        exact = rollout(mmdit, noise, txt, LEVELS)
        rounded = rollout(mmdit.bfloat16(), noise.bfloat16(), txt.bfloat16(), LEVELS)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


def test_the_loss_is_the_distance_of_the_ends_and_none_at_ones_own():
    mmdit, (noise, txt) = model(), drawn()
    with torch.no_grad():
        end = unpack(rollout(mmdit, noise, txt, LEVELS), 2, 3)
        assert distill_loss(mmdit, noise, end, txt, LEVELS) == 0
        assert distill_loss(mmdit, noise, end + 2, txt, LEVELS).item() == pytest.approx(4)


def test_the_gradient_comes_through_every_step():
    mmdit, (noise, txt) = model(), drawn()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["Lightning"], rank=2))
    target = torch.zeros_like(noise)
    distill_loss(mmdit, noise, target, txt, LEVELS).backward()
    through_all = [p.grad.clone() for p in adapter.parameters() if p.grad is not None]
    adapter.zero_grad()
    with torch.no_grad():
        before_last = unpack(rollout(mmdit, noise, txt, LEVELS[:-1]), 2, 3)
    distill_loss(mmdit, before_last, target, txt, LEVELS[-2:]).backward()
    last_only = [p.grad for p in adapter.parameters() if p.grad is not None]
    assert not torch.allclose(through_all[0], last_only[0], rtol=0.05)


def test_a_student_comes_nearer_to_its_teacher(tmp_path, monkeypatch):
    monkeypatch.setattr(lightning, "CHUNK", 4)
    monkeypatch.setattr(lightning, "TEACHER_STEPS", 4)
    recipe = Recipe(steps=8, batch=4, lr=3e-3, warmup=1, decay_from=1.0, ema=0.0)
    small = dataclasses.replace(lightning.DISTILLATION, recipe=recipe, posters=4)
    pipe = QwenImage.from_pretrained(lightning.ROOT / "data" / "pocket")
    adapter = lightning.train(pipe, small, tmp_path, quiet=True)
    adapter.scale = 0
    chunk = lightning.Teacher(pipe, small.lesson).chunk(0)
    adapter.scale = 1
    txt, mask = pipe.encode_prompt([small.lesson.prompt(n) for n in range(4)])
    arguments = (chunk["noise"], chunk["latents"], txt, lightning.student_levels(), mask)
    with torch.no_grad():
        after = distill_loss(pipe.transformer, *arguments)
        adapter.scale = 0
        before = distill_loss(pipe.transformer, *arguments)
    assert after < 0.97 * before


# -- the one that is shipped


def test_the_shipped_file_is_small():
    assert lightning.FILE.stat().st_size <= 2_000_000


def test_with_the_shipped_lora_four_unguided_steps_paint_the_scene():
    pipe = QwenImage.from_pretrained(lightning.ROOT / "data" / "pocket")
    lora.load(pipe.transformer, lightning.FILE)
    pipe.scheduler = SchedulerConfig.lightning()
    held_out = trials(24)
    right = sum(
        score["scene"] for score in read_back(held_out, paint(pipe, held_out, 4, 1.0, quiet=True))
    )
    assert right >= 16  # three standard errors below what a thousand captions gave


def test_the_command_paints_with_it_in_four_steps(tmp_path, capsys, monkeypatch):
    calls, paint_with = [], QwenImage.__call__

    def spy(pipe, *prompt, **options):
        calls.append((options["num_inference_steps"], options["true_cfg_scale"], pipe.scheduler))
        return paint_with(pipe, *prompt, **options)

    monkeypatch.setattr(QwenImage, "__call__", spy)
    command = ["paint", "a large red circle on a white background", "-o", str(tmp_path / "a.png")]
    assert cli.main([*command, "--lora", str(lightning.FILE), "--lightning"]) == 0
    assert calls == [(4, 1.0, SchedulerConfig.lightning())]
    assert "96 of 118 linear layers" in capsys.readouterr().err
    assert cli.main([*command, "--lora", f"{lightning.FILE}=much"]) == 2
    assert "must be FILE or FILE=SCALE" in capsys.readouterr().err
