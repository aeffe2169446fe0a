"""The pocket image to LoRA: what it looks at, how its gradient comes back, and its command."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.nets import model, velocity
from helpers.resumed import assert_same_state
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import image_to_lora, lora
from qwenimage_ref.evaluate import styling
from qwenimage_ref.evaluate.psnr_ssim import reconstruct
from qwenimage_ref.pocket import stylist
from qwenimage_ref.posters.draw import poster
from qwenimage_ref.posters.styles import UNSEEN_STYLES, Style, judge, styled_poster
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train.loop import Recipe

LESSON = dataclasses.replace(
    stylist.LESSON, recipe=Recipe(steps=3, batch=2, lr=1e-3, warmup=1, ema=0.0)
)


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


# -- the picture's vector


def test_the_vector_holds_the_mean_products_of_channels_and_of_neighbours():
    latents = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    vector = stylist.vector_of(latents).view(3, 6)  # pairs of 3 channels: two and the ones
    a, b = latents
    same = torch.stack([(a * a).mean(), (a * b).mean(), a.mean(), (b * b).mean(), b.mean()])
    torch.testing.assert_close(vector[0], torch.cat([same, torch.ones(1)]))
    torch.testing.assert_close(vector[1][0], (a[:-1] * a[1:]).mean())
    torch.testing.assert_close(vector[2][3], (b[:, :-1] * b[:, 1:]).mean())


def test_the_vector_is_that_of_the_style_and_not_of_the_places():
    latents = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0))
    turned = latents.flip(1).flip(2)
    torch.testing.assert_close(stylist.vector_of(turned), stylist.vector_of(latents))


def test_posters_on_one_paper_look_more_alike_than_one_scene_on_two_papers(pipe):
    sky, beige = (
        torch.stack(
            [stylist.look(pipe, styled_poster(Style(paper, "red"), s)[1]) for s in range(4)]
        )
        for paper in ("sky", "beige")
    )
    assert 2 * (sky[1:] - sky[:-1]).norm(dim=1).mean() < (sky - beige).norm(dim=1).mean()


def test_one_scene_in_two_colours_looks_different(pipe):
    a, b = (
        stylist.look(pipe, styled_poster(Style("sky", colour), 1)[1]) for colour in ("red", "blue")
    )
    assert (a - b).norm() > 0.02 * a.norm()


def test_the_vae_can_represent_every_held_out_style(pipe):
    drawn = [styled_poster(style, seed) for seed, style in enumerate(UNSEEN_STYLES)]
    img = torch.from_numpy(np.stack([picture for _, picture, _ in drawn])).permute(0, 3, 1, 2)
    with torch.no_grad():
        copies = (255 * reconstruct(pipe.vae, img / 255)).byte().permute(0, 2, 3, 1).numpy()
    for style, (scene, _, _), copy in zip(UNSEEN_STYLES, drawn, copies):
        assert judge(style, scene, copy)["style"], style


# -- the gradient


def network_for(mmdit):
    config = dataclasses.replace(stylist.config_for(mmdit.config), in_dim=6, compress_dim=4)
    network, rng = stylist.new_network(config, seed=0), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "proj_b.proj_out" in name:
                weight.normal_(0, 0.1, generator=rng)
    return network, torch.randn(6, generator=rng)


def loss_of(mmdit):
    rng = torch.Generator().manual_seed(1)
    img, txt = torch.randn(1, 12, 64, generator=rng), torch.randn(1, 5, 40, generator=rng)
    return mmdit(img, txt, torch.tensor([0.5]), [(1, 3, 4)]).pow(2).mean()


def test_the_gradient_that_comes_back_is_that_of_one_graph():
    mmdit = model().requires_grad_(False)
    network, x = network_for(mmdit)
    adapter = image_to_lora.attach(mmdit, network(x))
    loss = stylist.through(adapter, network(x), lambda: loss_of(mmdit))
    loss.backward()
    ours = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    adapter.remove()
    # the same with the written products added to the weights, in one graph
    weights = {
        f"{name}.weight": lora.named_linears(mmdit)[name].weight + B @ A
        for name, (A, B) in network(x).items()
    }
    whole = torch.func.functional_call(Called(mmdit), {f"mmdit.{k}": v for k, v in weights.items()})
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    names = [name for name, p in network.named_parameters()]
    theirs = torch.autograd.grad(whole, [*network.parameters()], allow_unused=True)
    for name, their in zip(names, theirs):
        if their is not None and their.any():
            torch.testing.assert_close(ours[name], their, rtol=1e-3, atol=1e-6)


class Called(torch.nn.Module):
    def __init__(self, mmdit):
        super().__init__()
        self.mmdit = mmdit

    def forward(self):
        return loss_of(self.mmdit)


def test_a_new_network_changes_nothing_and_keeps_its_seed():
    mmdit = model()
    before, config = velocity(mmdit), stylist.config_for(mmdit.config)
    network, again = (stylist.new_network(config, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters()))
    with torch.no_grad():
        image_to_lora.attach(mmdit, network(torch.ones(config.in_dim)))
    assert torch.equal(velocity(mmdit), before)


# -- training


def test_a_step_paints_other_posters_in_the_style_of_the_first():
    pictures, captions = LESSON.posters(5)
    assert len(pictures) == len(captions) == 3 and len(set(captions)) == 3
    style = LESSON.style(5)
    for seed, picture, caption in zip((15, 16, 17), pictures, captions):
        scene, _, plain_caption = poster(seed)
        assert caption == plain_caption
        assert all(judge(style, scene, picture).values())


def test_training_is_resumed_to_the_same_bits_and_what_it_wrote_is_loaded(pipe, tmp_path):
    before = pipe.transformer.proj_out.weight.clone()
    network = stylist.train(pipe, tmp_path / "whole", LESSON, quiet=True)
    stylist.train(pipe, tmp_path / "parts", LESSON, quiet=True, until=1)
    stylist.train(pipe, tmp_path / "parts", LESSON, quiet=True)
    assert_same_state(tmp_path / "parts", tmp_path / "whole")
    assert torch.equal(pipe.transformer.proj_out.weight, before)
    assert lora.adapters(pipe.transformer) == []

    file = tmp_path / "stylist.safetensors"
    stylist.save(network, file)
    loaded = image_to_lora.load(file, pipe.transformer)
    sizes = ("num_layers", "inner_dim", "in_dim", "compress_dim", "rank", "residual_length")
    assert all(getattr(loaded.config, n) == getattr(network.config, n) for n in sizes)
    assert file.stat().st_size < 12_000_000
    pictures = [Image.fromarray(each) for each in LESSON.posters(0)[0][:2]]
    adapter = stylist.attach(pipe, loaded.float(), pictures)
    assert {pair.rank for pair in adapter.named_pairs().values()} == {2 * stylist.RANK}
    adapter.remove()


# -- the measurement


def test_the_styles_that_are_measured_are_all_those_that_training_never_shows():
    examples = [styling.shown(number) for number in range(13)]
    assert {example.style for example in examples} == set(UNSEEN_STYLES)
    assert not any(stylist.LESSON.style(step).unseen for step in range(stylist.LESSON.recipe.steps))
    first, again = examples[0], examples[12]
    assert first.style == again.style and first.picture.tobytes() != again.picture.tobytes()


def test_every_way_to_a_style_is_measured_on_the_same_captions(pipe, monkeypatch):
    monkeypatch.setattr(styling, "PAINTED", 2)
    monkeypatch.setattr(styling, "STEPS", 2)
    monkeypatch.setattr(styling, "TRAINED", (1, 2))
    monkeypatch.setattr(styling, "RECIPE", Recipe(steps=2, batch=2, lr=1e-3, warmup=1))
    network = stylist.new_network(stylist.config_for(pipe.transformer.config), seed=0)
    measured = [styling.of_style(pipe, network, number) for number in range(2)]
    assert lora.adapters(pipe.transformer) == []
    assert [*measured[0]] == [
        "no adapter", "written in one pass", "trained, 1 step", "trained, 2 steps",
    ]  # fmt: skip
    new, none = (measured[0][way] for way in ("written in one pass", "no adapter"))
    assert all(new[key] == none[key] for key in styling.RIGHT), "a new network adds nothing"
    assert new["seconds"] > none["seconds"] == 0


def test_rows_are_shares_of_posters_and_means_of_seconds_over_styles():
    one = {"paper": [True, True], "colour": [True, False], "style": [True, False]}
    other = {"paper": [True, False], "colour": [False, False], "style": [False, False]}
    styles = [
        {"way": one | {"scene": [True, True], "seconds": 1.0}},
        {"way": other | {"scene": [True, True], "seconds": 2.0}},
    ]
    row = styling.rows(styles)["way"]
    shares = {key: row[key]["share"] for key in styling.RIGHT}
    assert shares == {"paper": 0.75, "colour": 0.25, "style": 0.25, "scene": 1.0}
    assert all(row[key]["of"] == 4 for key in styling.RIGHT)
    assert row["seconds"]["mean"] == 1.5


def test_fewer_than_two_styles_are_refused_in_one_line(capsys):
    assert styling.main(["network.safetensors", "--styles", "1"]) == 2
    message = capsys.readouterr().err
    assert message == "--styles must be at least 2, got 1; ask for more\n"
