"""Training a pocket model that takes posters apart, in miniature, and how it is measured."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import layering
from qwenimage_ref.pictures import to_input
from qwenimage_ref.pocket import layered
from qwenimage_ref.posters.layers import Layered
from qwenimage_ref.repository import POCKET
from qwenimage_ref.sampler import pack
from qwenimage_ref.tasks.edit import picture_tokens
from qwenimage_ref.tasks.layers import decompose, encode, layered_branches
from qwenimage_ref.train.loop import Recipe

LESSON = dataclasses.replace(
    layered.LESSON, recipe=Recipe(steps=2, batch=2, lr=1e-3, muon_lr=2e-3, warmup=1), posters=8
)


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    monkeypatch.setattr(layered, "CHUNK", 8)


@pytest.fixture(scope="module")
def opened():
    """The painter with a VAE of four channels that has learned nothing"""
    pipe = QwenImage.from_pretrained(POCKET)
    pipe.vae = layered.with_alpha(pipe.vae)
    return pipe


@torch.no_grad()
def test_a_new_vae_paints_opaque_pictures_as_the_painter_s_does(opened):
    rgb = QwenImage.from_pretrained(POCKET).vae
    poster = LESSON.poster(0)
    four, three = (to_input([poster.picture[..., :n]]) for n in (4, 3))
    assert torch.allclose(opened.vae.encode(four)[0], rgb.encode(three)[0], atol=1e-5)
    z = rgb.encode(three)[0]
    painted = opened.vae.decode(z)
    assert torch.allclose(painted[:, :3], rgb.decode(z), atol=1e-5)
    assert (painted[:, 3] == 1).all()


def test_faint_colours_hardly_count_and_alpha_always_does():
    img = torch.zeros(1, 4, 2, 2)
    img[:, 3] = -1.0  # transparent
    colours, alpha = img.clone(), img.clone()
    colours[:, :3] += 1.0
    alpha[:, 3] += 1.0
    clear = layered.rgba_error(colours, img)
    img[:, 3] = colours[:, 3] = 1.0
    assert layered.rgba_error(colours, img) > 5 * clear > 0
    assert layered.rgba_error(alpha, torch.full_like(img, -1.0) * torch.tensor([0, 0, 0, 1.0])
                              .view(1, 4, 1, 1)) > 0.2  # fmt: skip


def test_the_vae_learns_and_continues_to_the_bit(tmp_path):
    rgb, recipe = QwenImage.from_pretrained(POCKET).vae, Recipe(steps=2, batch=2, lr=1e-3, warmup=1)
    whole = layered.train_vae(rgb, tmp_path / "whole", recipe, quiet=True)
    layered.train_vae(rgb, tmp_path / "halves", recipe, quiet=True, until=1)
    again = layered.train_vae(rgb, tmp_path / "halves", recipe, quiet=True)
    states = [vae.state_dict() for vae in (whole, again, layered.with_alpha(rgb))]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_decoder_that_goes_on_alone_leaves_the_latents_as_they_are(opened, tmp_path):
    recipe, before = Recipe(steps=2, batch=2, lr=1e-3, warmup=1), copy.deepcopy(opened.vae)
    after = layered.train_decoder(copy.deepcopy(opened.vae), tmp_path, recipe, quiet=True)
    states = before.state_dict(), after.state_dict()
    moved = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert moved and all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved)
    assert not any(parameter.requires_grad for parameter in after.parameters())


def test_training_sees_what_the_pipeline_sees(opened, tmp_path):
    data = layered.Latents(opened.vae, LESSON, tmp_path)
    poster, seen = LESSON.poster(1), {}
    latents, mmdit = data[1][None], layered.with_frames(opened.transformer)
    assert latents.shape == (1, 1 + poster.count, 16, 12, 12)

    def remember(img, txt, sigma, grids, mask=None, *rest, **own):
        seen["img"], seen["grids"] = img, grids
        return img[:, : grids[0][0] * 36]

    noise, sigma = torch.ones_like(latents), torch.tensor([0.5])
    (branch,) = encode(opened, poster.prompt, None, 1.0, 512)
    layered.loss_of(remember, latents, noise, sigma, branch.txt, None)
    tokens = picture_tokens(opened, Image.fromarray(poster.picture))
    frames, (own,) = 1 + poster.count, layered_branches(
        [branch], tokens, 1 + poster.count, (1, 6, 6)
    )  # fmt: skip
    torch.testing.assert_close(seen["img"][:, -36:], tokens, rtol=0, atol=0.05)  # kept in bfloat16
    torch.testing.assert_close(
        seen["img"][:, 36:72], pack(latents[:, 1] + noise[:, 1]) / 2, rtol=1e-5, atol=1e-6
    )
    with torch.no_grad():
        stacked = own.call(seen["img"][:, : 36 * frames], sigma, (1, 6 * frames, 6))
        torch.testing.assert_close(
            mmdit(seen["img"], branch.txt, sigma, seen["grids"]),
            mmdit(*stacked._replace(img=seen["img"])), rtol=0, atol=1e-5,
        )  # fmt: skip


def test_a_trained_model_is_written_as_upstreams_class_and_takes_a_poster_apart(opened, tmp_path):
    pipe = QwenImage.from_pretrained(POCKET)
    pipe.vae = opened.vae
    layered.train(pipe, LESSON, tmp_path / "run", quiet=True, until=1)
    pipe.transformer = QwenImage.from_pretrained(POCKET).transformer
    layered.train(pipe, LESSON, tmp_path / "run", quiet=True)
    layered.write_layered(tmp_path / "folder", pipe, POCKET)
    index = json.loads((tmp_path / "folder" / "model_index.json").read_text())
    assert index["_class_name"] == layered.LAYERED
    again = QwenImage.from_pretrained(tmp_path / "folder")
    assert again.recommended["reads_pictures"] is False
    poster = LESSON.poster(0)
    layers = decompose(
        again,
        Image.fromarray(poster.picture),
        poster.prompt,
        layers=2,
        num_inference_steps=2,
        seed=0,
    )
    assert [each.mode for each in layers] == ["RGBA", "RGBA"] and layers[0].size == (96, 96)


def test_posters_of_a_batch_have_as_many_layers_and_none_is_measured_on():
    batch = layered.LESSON.recipe.batch
    counts = [layered.LESSON.poster(n).count for n in range(4 * batch)]
    assert all(len({*counts[i : i + batch]}) == 1 for i in range(0, len(counts), batch))
    assert layered.LESSON.posters < layering.FIRST_SEED


def test_true_layers_have_every_point(monkeypatch):
    asked = layering.posters(6)
    assert [each.count for each in asked] == [2, 3, 4] * 2

    def true(pipe, picture, prompt, negative, guidance, count, steps, seed):
        return [Image.fromarray(each) for each in asked[seed].layers]

    monkeypatch.setattr(layering, "decompose", true)
    whole, *rest = layering.rows(layering.measure(None, asked))
    assert whole["iou"]["mean"] == 1.0 and whole["colours"]["right"] == 6
    assert [row["layers"] for row in rest] == [2, 3, 4] and isinstance(asked[0], Layered)
    assert np.isfinite(whole["psnr"]["mean"])
