"""A run is continued on its own data alone: other pictures of the same sizes are refused."""

import dataclasses
import json

import pytest
import torch
from helpers import encoded_shards
from helpers.few_examples import EMPTY, SHAPE, WIDTH, examples, prompts, taught
from helpers.nets import model

from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.train import (
    control,
    differential,
    distill,
    dmd2,
    full,
    grpo,
    lora,
    preference,
)
from qwenimage_ref.train.recipe import Recipe
from qwenimage_ref.train.run_folder import RunError
from qwenimage_ref.train.state import digest_of
from qwenimage_ref.train.streamed import INDEX, Streamed

RECIPE = Recipe(steps=2, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
SMALL = {"rank": 2, "alpha": 2, "targets": "musubi"}
SETTINGS = lora.Settings(**SMALL, sigma="uniform")


def compared() -> list[preference.Comparison]:
    both = examples(4)
    return [
        preference.Comparison(a.latents, b.latents, a.txt) for a, b in zip(both[::2], both[1::2])
    ]


def exchanged(pairs):
    return [preference.Comparison(one.loser, one.winner, one.txt) for one in pairs]


def replaced(some: list, **fields):
    """The same, but for the last one's fields: of a tensor, one number is another"""
    *others, last = some
    for name, value in fields.items():
        if value is None:
            value = getattr(last, name).clone()
            value.view(-1)[-1] += 1
        last = dataclasses.replace(last, **{name: value})
    return [*others, last]


def brighter(pictures):
    return [dataclasses.replace(one, latents=one.latents + 1) for one in pictures]


def brightness(latents, prompt) -> list[float]:
    return latents.mean((1, 2, 3)).tolist()


def _lora(folder, data):
    return lora.train(model(), data, EMPTY, RECIPE, SETTINGS, folder, quiet=True, until=1)


def _full(folder, data):
    flow = lora.Flow(sigma="uniform")
    return full.train(model(), data, EMPTY, RECIPE, flow, folder, quiet=True, until=1)


def _control(folder, data):
    pictures = [one.control for one in data]
    data = [dataclasses.replace(one, control=None) for one in data]
    flow = lora.Flow(sigma="uniform")
    return control.train(
        model(), data, pictures, EMPTY, RECIPE, flow, folder, quiet=True, until=1
    )  # fmt: skip


def _dpo(folder, data):
    settings = preference.Preference(**SMALL)
    return preference.train(model(), data, RECIPE, settings, folder, quiet=True, until=1)


def _grpo(folder, data, shape=SHAPE):
    settings = grpo.Reward(**SMALL, group=2, steps=2, inner=1, guidance=1.0)
    return grpo.train(
        model(), data, EMPTY, brightness, shape, SchedulerConfig.official(), RECIPE, settings,
        folder, quiet=True, until=1,
    )  # fmt: skip


def _distill(folder, data):
    adapter, steps = lora.Adapter(**SMALL), distill.FewSteps(steps=1)
    return distill.train(model(), data, RECIPE, steps, folder, adapter, quiet=True, until=1)


def _imitate(folder, data, shape=SHAPE):
    settings = distill.Imitation(**SMALL, steps=1, between=1)
    return distill.train_imitation(
        model(), data, EMPTY, shape, RECIPE, settings, folder, quiet=True, until=1
    )


def _dmd2(folder, data, shape=SHAPE):
    settings = dmd2.Matching(**SMALL, adversarial=0.1)
    prompts, real = data
    return dmd2.train(
        model(), prompts, EMPTY, shape, RECIPE, settings, folder, real=real, quiet=True, until=1
    )


def _differential(folder, data):
    return differential.train(model(), *data, EMPTY, RECIPE, SETTINGS, folder, quiet=True)


def guided(count=4):
    return [dataclasses.replace(one, control=one.latents + 1) for one in examples(count)]


PAIRS = (examples(), brighter(examples()))
OTHERS = {  # what differs: how a run is trained, its data, and other data
    "lora: a picture": (_lora, examples(), replaced(examples(), latents=None)),
    "lora: a caption": (_lora, examples(), replaced(examples(), txt=None)),
    "lora: the order": (_lora, examples(), examples()[::-1]),
    "full: a picture": (_full, examples(), replaced(examples(), latents=None)),
    "control: a picture": (_control, guided(), replaced(guided(), latents=None)),
    "control: a control picture": (_control, guided(), replaced(guided(), control=None)),
    "dpo: winner and loser": (_dpo, compared(), exchanged(compared())),
    "dpo: a loser": (_dpo, compared(), replaced(compared(), loser=None)),
    "grpo: a prompt": (_grpo, prompts(), replaced(prompts(), txt=None)),
    "distill: a picture": (_distill, taught(), replaced(taught(), latents=None)),
    "distill: a seed": (_distill, taught(), replaced(taught(), seed=7)),
    "imitate: a prompt": (_imitate, prompts(), replaced(prompts(), txt=None)),
    "dmd2: a prompt": (
        _dmd2, (prompts(), examples()), (replaced(prompts(), txt=None), examples())
    ),
    "dmd2: a real picture": (
        _dmd2, (prompts(), examples()), (prompts(), replaced(examples(), latents=None))
    ),
    "differential: an unwanted picture": (
        _differential, PAIRS, (replaced(PAIRS[0], latents=None), PAIRS[1])
    ),
    "differential: a wanted picture": (
        _differential, PAIRS, (PAIRS[0], replaced(PAIRS[1], latents=None))
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_a_run_is_not_continued_on_other_data_of_the_same_sizes(what, tmp_path):
    train, data, others = OTHERS[what]
    step = train(tmp_path, data).step
    assert train(tmp_path, data).step == step  # the same is
    with pytest.raises(RunError, match="was trained on other data, or on other") as refused:
        train(tmp_path, others)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "train, data", [(_grpo, prompts()), (_imitate, prompts()), (_dmd2, (prompts(), examples()))]
)
def test_a_run_that_paints_is_not_continued_at_another_size(train, data, tmp_path):
    train(tmp_path, data)
    if train is _dmd2:
        data = prompts(), [dataclasses.replace(one, latents=one.latents[:, :2]) for one in data[1]]
    with pytest.raises(RunError, match="was trained on other data"):
        train(tmp_path, data, shape=(16, 2, 6))


def test_shards_with_other_checksums_are_other_data_and_none_is_read_for_it(tmp_path):
    folder = encoded_shards.write(tmp_path / "shards", encoded_shards.encoded(8))
    _lora(tmp_path / "run", Streamed(folder))
    index = json.loads((folder / INDEX).read_text())
    index["shards"][0]["sha256"] = "0" * 64
    (folder / INDEX).write_text(json.dumps(index))
    streamed = Streamed(folder)
    with pytest.raises(RunError, match="was trained on other data"):
        _lora(tmp_path / "run", streamed)
    assert streamed.reads == 0


def test_a_digest_changes_with_type_shape_place_and_every_number():
    one = torch.arange(6.0)
    values = [
        (one,), (one, one), ([one], one), (one, [one]), (one.view(2, 3),), (one.bfloat16(),),
        (one.int(),), (-one,), (one.to(torch.float64),), (None,), (0,), ("0",), (0, None), ([],),
    ]  # fmt: skip
    assert len({digest_of(*each) for each in values}) == len(values)
    assert digest_of(one[::2]) == digest_of(torch.tensor([0.0, 2, 4]))
    assert digest_of(torch.empty(0, WIDTH)) != digest_of(torch.empty(WIDTH, 0))
