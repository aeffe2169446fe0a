"""`qwenimage train lora`: pictures read and cut, batches drawn, the adapter trained and resumed."""

import csv
import dataclasses
import json
import math

import pytest
import torch
from helpers.nets import SMALL, model
from PIL import Image
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint import save
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.posters.draw import draw, sample_scene
from qwenimage_ref.train import dataset, flow
from qwenimage_ref.train.dataset import DataError, Encoded, bucket, fitted, read_folder
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Settings, batches, loss_of, padded, train
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=10, batch=2, lr=1e-3, warmup=2, decay_from=1.0, ema=0.0)
SETTINGS = Settings(rank=2, alpha=2, targets="musubi", dropout=0.3)


def picture(folder, name, size=(40, 32), colour="red"):
    Image.new("RGB", size, colour).save(folder / name)


# -- reading --------------------------------------------------------------------------------------


def test_captions_stand_beside_their_pictures(tmp_path):
    for name in "ab":
        picture(tmp_path, f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f" caption {name}\n")
    (tmp_path / "notes.md").write_text("no picture")
    examples, problems = read_folder(tmp_path)
    assert [e.caption for e in examples] == ["caption a", "caption b"] and problems == []


@pytest.mark.parametrize("columns", [("image", "prompt"), ("file_name", "text")])
def test_captions_stand_in_a_table(tmp_path, columns):
    picture(tmp_path, "a.png")
    row = dict(zip(columns, ("a.png", "caption, with a comma")))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerow(row)
    first = read_folder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n\n")
    assert read_folder(tmp_path) == first
    assert first[0][0].caption == "caption, with a comma"


def spoiled(folder):
    """A folder with one good example and one of each fault that names a file."""
    picture(folder, "good.png")
    (folder / "good.txt").write_text("good")
    picture(folder, "silent.png")
    picture(folder, "empty.png")
    (folder / "empty.txt").write_text(" \n")
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:60])
    (folder / "broken.txt").write_text("broken")
    picture(folder, "tiny.png", (40, 9))
    (folder / "tiny.txt").write_text("tiny")
    return folder


def test_what_cannot_be_used_is_named_and_left_out_only_on_request(tmp_path):
    with pytest.raises(DataError, match="4 of 5 examples cannot be used") as failure:
        read_folder(spoiled(tmp_path))
    assert "--skip-bad" in str(failure.value) and "\n" not in str(failure.value)
    examples, problems = read_folder(tmp_path, skip=True)
    assert [e.caption for e in examples] == ["good"]
    words = ("silent.png has no caption", "empty.png has an empty caption", "broken.png is broken",
             "tiny.png is 40x9 pixels")  # fmt: skip
    assert all(any(problem.startswith(word) for problem in problems) for word in words)


@pytest.mark.parametrize(
    "content, complaint",
    [
        ('{"image": "a.png"}', "row 1 of metadata.jsonl names no caption"),
        ('{"prompt": "a"}', "row 1 of metadata.jsonl names no picture"),
        ('["a.png", "a"]', "row 1 of metadata.jsonl names no picture"),
        ('{"image": "b.png", "prompt": "b"}', "b.png is not there"),
        ('{"image": "../b.png", "prompt": "b"}', "names a picture outside the folder"),
        ("{", "cannot be read"),
    ],
)
def test_a_row_that_says_too_little_or_something_wrong_is_named(tmp_path, content, complaint):
    (tmp_path / "metadata.jsonl").write_text(content)
    with pytest.raises(DataError, match=complaint):
        read_folder(tmp_path)


def test_a_folder_with_nothing_in_it_or_with_two_tables_is_refused(tmp_path):
    with pytest.raises(DataError, match="no picture with a caption"):
        read_folder(tmp_path)
    for name in dataset.METADATA:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="holds both"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        read_folder(tmp_path / "none")


@pytest.mark.parametrize(
    "size, pixels, wanted",
    [
        ((128, 128), 128 * 128, (128, 128)),
        ((1280, 1280), 128 * 128, (128, 128)),
        ((100, 50), 128 * 128, (96, 48)),  # never enlarged
        ((1920, 1080), 1024 * 1024, (1344, 768)),
        ((4000, 20), 128 * 128, (1808, 16)),
        ((17, 16), 1024 * 1024, (16, 16)),
    ],
)
def test_a_picture_is_trained_at_a_size_near_its_own(size, pixels, wanted):
    assert bucket(*size, pixels) == wanted


def test_a_picture_is_turned_upright_laid_on_white_and_cut_at_the_middle(tmp_path):
    clear = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right
    clear.save(tmp_path / "a.png", exif=exif)
    upright = fitted(tmp_path / "a.png", 64 * 64)
    assert upright.size == (32, 64) and upright.mode == "RGB"
    assert upright.getpixel((16, 8)) == (255, 0, 0) and upright.getpixel((16, 56)) == (255,) * 3


# -- drawing --------------------------------------------------------------------------------------


def test_every_example_comes_once_an_epoch_among_its_size():
    sizes = [(1,)] * 5 + [(2,)] * 3
    epoch = [batches(sizes, 2, number, RECIPE) for number in range(5)]
    assert sorted(sum(epoch, [])) == list(range(8))
    assert all(len({sizes[i] for i in batch}) == 1 for batch in epoch)
    again = [batches(sizes, 2, number, RECIPE) for number in range(5, 10)]
    assert again != epoch and sorted(sum(again, [])) == list(range(8))


def test_the_shift_of_a_size_is_the_samplers():
    golden = {256: 1.6487, 4096: 2.0008, 6889: 2.3033}  # the report's base sizes
    assert {n: round(flow.shift_at(n), 4) for n in golden} == golden


@pytest.mark.parametrize(
    "kind, median",
    [("uniform", 0.5), ("logit-normal", 0.5), ("shift", 3 / 4), ("qwen_shift", 0.6225)],
)
def test_noise_levels_are_drawn_by_this_rule(kind, median):
    rng = torch.Generator().manual_seed(0)
    sigma = flow.draw_sigma(kind, 40_000, rng, image_tokens=256, shift=3.0)
    assert sigma.median().item() == pytest.approx(median, abs=0.01)
    assert 0 < sigma.min() and sigma.max() < 1


def test_the_bell_weighs_as_published():
    grid = flow.sigmas(1000, 256, flow.TRAINING_GRID)[:-1]
    weights = flow.loss_weight("bell", grid)
    golden = {0: 0.0, 100: 0.2416, 250: 0.6485, 500: 1.3679, 750: 1.6479, 900: 1.0312, 999: 0.1037}
    for place, weight in golden.items():
        assert weights[place].item() == pytest.approx(weight, abs=2e-4)


def test_the_other_weights_are_their_formulas():
    sigma = torch.tensor([0.5, 0.25])
    assert torch.equal(flow.loss_weight("none", sigma), torch.ones(2))
    assert torch.equal(flow.loss_weight("sigma_sqrt", sigma), torch.tensor([4.0, 16.0]))
    cosmap = [2 / (math.pi * 0.5), 2 / (math.pi * 0.625)]
    torch.testing.assert_close(flow.loss_weight("cosmap", sigma), torch.tensor(cosmap))


@pytest.mark.parametrize("draw_wrongly", [
    lambda: flow.draw_sigma("cosine", 1, torch.Generator()),
    lambda: flow.loss_weight("cosine", torch.ones(1)),
])  # fmt: skip
def test_an_unknown_rule_is_refused(draw_wrongly):
    with pytest.raises(ValueError, match="is called 'cosine'; there are"):
        draw_wrongly()


def test_padded_states_are_masked_and_equal_ones_are_not():
    txt, mask = padded([torch.ones(3, 4), torch.ones(5, 4)])
    assert txt.shape == (2, 5, 4) and mask.sum(1).tolist() == [3, 5] and not txt[0, 3:].any()
    assert padded([torch.ones(3, 4)] * 2)[1] is None


# -- training -------------------------------------------------------------------------------------


def encoded(count=5) -> list[Encoded]:
    rng = torch.Generator().manual_seed(0)
    sides = [(4, 6), (6, 4)]
    return [
        Encoded(
            torch.randn(16, *sides[i % 2], generator=rng), torch.randn(3 + i, 40, generator=rng)
        )
        for i in range(count)
    ]


EMPTY = torch.ones(2, SMALL.joint_attention_dim)


def trained(folder, mmdit=None, recipe=RECIPE, settings=SETTINGS, **fit):
    mmdit = model() if mmdit is None else mmdit
    return train(mmdit, encoded(), EMPTY, recipe, settings, folder, quiet=True, **fit)


def weights(run) -> list[torch.Tensor]:
    return [p.detach() for p in run.model.parameters()]


def test_ten_steps_are_five_and_five_to_the_last_bit(tmp_path):
    whole = trained(tmp_path / "whole")
    half = trained(tmp_path / "half", until=5)
    assert half.step == 5
    resumed = trained(tmp_path / "half")
    assert resumed.step == 10
    for ours, theirs in zip(weights(resumed), weights(whole)):
        assert torch.equal(ours, theirs)


def test_a_run_of_other_pictures_or_settings_is_not_taken_up(tmp_path):
    trained(tmp_path, until=1)
    with pytest.raises(ValueError, match="another recipe"):
        trained(tmp_path, settings=dataclasses.replace(SETTINGS, sigma="uniform"))


def gradients(mmdit, settings=SETTINGS, recipe=RECIPE, number=0) -> list[torch.Tensor]:
    adapter = lora.inject(mmdit, lora.TARGETS["musubi"], 2)
    for pair in adapter.pairs.values():
        torch.nn.init.normal_(pair.lora_B, generator=torch.Generator().manual_seed(7))
    loss_of(mmdit, encoded(), EMPTY, recipe, settings)(number).backward()
    return [p.grad for p in adapter.parameters() if p.grad is not None]


def test_blocks_that_are_computed_again_give_the_same_gradients():
    sparing = model()
    names = list(sparing.state_dict())
    recompute(sparing)
    assert list(sparing.state_dict()) == names
    for ours, theirs in zip(gradients(sparing), gradients(model()), strict=True):
        assert torch.equal(ours, theirs)


def test_a_streamed_base_gives_the_same_gradients(tmp_path):
    save(model(), tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    recompute(streamed)
    for ours, theirs in zip(gradients(streamed), gradients(model()), strict=True):
        assert torch.equal(ours, theirs)


def test_the_batches_of_one_step_are_counted_on_and_their_gradients_averaged(tmp_path):
    run, counted = trained(tmp_path, until=0), []
    weight = run.weights[0]
    run.fit(
        lambda number: counted.append(number) or (number + 1) * weight.sum(),
        until=2, accumulate=2, quiet=True,
    )  # fmt: skip
    assert counted == [0, 1, 2, 3]
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["grad_norm"] == pytest.approx((3 + 4) / 2 * math.sqrt(weight.numel()))


def test_the_adapter_stays_float32_over_a_bf16_base(tmp_path):
    run = trained(tmp_path, model().bfloat16(), until=2)
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert any(pair.lora_B.any() for pair in run.model.pairs.values())


def test_a_loss_weight_of_zero_teaches_nothing(monkeypatch):
    monkeypatch.setitem(flow.WEIGHTS, "none", torch.zeros_like)
    assert not any(grad.any() for grad in gradients(model()))


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def posters(tmp_path):
    folder = tmp_path / "posters"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(draw(sample_scene(i), i)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("a red circle on a white background")
    return folder


def command(folder, tmp_path, *more):
    return cli.main(
        ["train", "lora", "--data", str(folder), "--to", str(tmp_path / "my.safetensors"),
         "--runs", str(tmp_path / "runs"), "--steps", "2", "--rank", "2", *more]
    )  # fmt: skip


def test_a_folder_of_pictures_becomes_a_lora_that_paints(posters, tmp_path, capsys, monkeypatch):
    sample = ("--sample", "a red circle on a white background", "--sample-every", "2")
    assert command(posters, tmp_path, *sample) == 0
    assert "96 layers, rank 2" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "runs" / "samples").iterdir()] == ["001.png"]
    lines = (tmp_path / "runs" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 2
    before = load_file(tmp_path / "my.safetensors")
    # a second time nothing is encoded and nothing trained, and the file is the same
    monkeypatch.setattr(dataset, "_encode", None)
    assert command(posters, tmp_path, *sample) == 0
    after = load_file(tmp_path / "my.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
    painted = ["paint", "a red circle on a white background", "-o", str(tmp_path / "out.png")]
    adapter = str(tmp_path / "my.safetensors")
    assert cli.main([*painted, "--steps", "2", "--lora", f"{adapter}=0.5"]) == 0
    assert "96 of 118 linear layers, rank 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--steps", "0"), "--steps 0: at least 1"),
        (("--rank", "-1"), "--rank -1: at least 1"),
        (("--dropout", "2"), "--dropout 2.0 is not a share"),
        (("--ema", "1"), "--ema 1.0 is not from 0 to below 1"),
        (("--targets", "all"), "--targets all: there are diffusers"),
        (("--sigma", "cosine"), "--sigma cosine: there are uniform"),
        (("--weighting", "heavy"), "--weighting heavy: there are none"),
        (("--to", "my.pt"), "name a .safetensors file in a folder that exists"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(posters, tmp_path, capsys, options, complaint):
    assert command(posters, tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_pictures_that_cannot_be_used_are_said_by_the_command(tmp_path, capsys):
    folder = tmp_path / "posters"
    folder.mkdir()
    spoiled(folder)
    assert command(folder, tmp_path) == 2
    assert "4 of 5 examples cannot be used" in capsys.readouterr().err
    assert command(folder, tmp_path, "--skip-bad") == 0
    assert capsys.readouterr().err.count("note: left out") == 4
