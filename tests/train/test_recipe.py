"""A recipe: rates that rise and fall, seeds of their own, and numbers that make sense."""

import pytest
import torch

from qwenimage_ref.train.loop import Recipe


@pytest.mark.parametrize("step, share", [(0, 0.1), (4, 0.5), (9, 1), (50, 1), (75, 0.5), (100, 0)])
def test_the_learning_rate_rises_holds_and_falls_to_zero(step, share):
    recipe = Recipe(steps=100, batch=1, lr=0.003, warmup=10, decay_from=0.5)
    assert recipe.lr_at(step) == pytest.approx(0.003 * share, abs=1e-12)


def test_a_recipe_without_warmup_starts_at_the_full_rate():
    assert Recipe(steps=100, batch=1, lr=0.003, warmup=0).lr_at(0) == 0.003


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": -1}, "batch must be at least 1"),
        ({"lr": float("nan")}, "lr must be above 0 and finite, got nan"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"clip": -1.0}, "clip must be above 0"),
        ({"warmup": -1}, "warmup must be finite and at least 0"),
        ({"weight_decay": float("inf")}, "weight_decay must be finite"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1"),
        ({"seed": -1}, r"seed must be in 0 to 2\*\*63 - 1, got -1"),
        ({"seed": 2**63}, r"seed must be in 0 to 2\*\*63 - 1"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Recipe(**{"steps": 1, "batch": 1, "lr": 1e-3} | wrong)


def test_the_bounds_of_a_recipe_belong_to_it():
    assert Recipe(steps=1, batch=1, lr=1.0).seed == 0
    least = {"warmup": 0, "decay_from": 0.0, "muon_lr": 0.0, "weight_decay": 0.0, "ema": 0.0}
    assert Recipe(steps=1, batch=1, lr=1e-9, clip=1e-9, seed=2**63 - 1, **least).seed == 2**63 - 1


def test_every_seed_draws_numbers_of_its_own():
    seeds = [0, 1, 1_830_000_000, 2**31 - 1, 2**62, 2**63 - 1]
    states = [
        Recipe(steps=1, batch=1, lr=1, seed=seed).generator(3, "order").initial_seed()
        for seed in seeds
    ]
    assert len({*states}) == len(seeds)


def test_small_seeds_draw_what_they_always_drew():
    generator = Recipe(steps=1, batch=1, lr=1, seed=7).generator(3)
    assert generator.initial_seed() == 7 * 1009 * 10_000_019 + 3


def test_a_stream_and_the_largest_seed_draw_what_they_always_drew():
    recipe = Recipe(steps=1, batch=1, lr=1, seed=2**63 - 1)
    number = ord("b") + ord("a") * 31  # of the stream "ba"
    wanted = ((2**63 - 1) * 1009 + number % 1009) * 10_000_019 + 3
    assert recipe.generator(3, "ba").initial_seed() == wanted % 2**64


def test_the_random_numbers_of_a_step_depend_on_seed_stream_and_step_alone():
    def draw(seed, step, stream):
        generator = Recipe(steps=1, batch=1, lr=1, seed=seed).generator(step, stream)
        return tuple(torch.randn(4, generator=generator).tolist())

    keys = [(seed, step, stream) for seed in (0, 1) for step in (0, 1, 2) for stream in ("", "b")]
    drawn = [draw(*key) for key in keys]
    assert drawn == [draw(*key) for key in keys]
    assert len(set(drawn)) == len(keys)
