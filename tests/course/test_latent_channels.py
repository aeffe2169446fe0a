"""Latents made visible, and the slider that turns a channel off."""

import io

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from qwenimage_ref.config import VAEConfig
from qwenimage_ref.course.figures import latent_channels as course
from qwenimage_ref.vae import VAE
from tests.helpers.pixels import painted, pixels, spots


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(VAEConfig(base_dim=4)).eval()


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_pictures_come_back_as_they_were():
    picture = Image.effect_noise((5, 3), 90).convert("RGB")
    img = course.from_pictures([picture, picture])
    assert img.shape == (2, 3, 3, 5) and img.abs().max() <= 1
    assert course.to_pictures(img)[1].tobytes() == picture.tobytes()


def test_psnr_is_20_decibels_where_every_pixel_is_off_by_a_tenth_of_the_range():
    black = torch.full((1, 3, 4, 5), -1.0)
    assert course.psnr(black, black + 0.2) == pytest.approx(20, abs=1e-3)


def test_a_fit_of_colours_that_are_linear_in_the_latents_is_exact():
    z, factors, bias = random(2, 4, 6, 5), random(4, 3) / 20, torch.tensor([0.5, 0.4, 0.6])
    colours = torch.einsum("bchw,cr->brhw", z, factors) + bias[:, None, None]
    img = (2 * colours - 1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    found, found_bias = course.rgb_fit(z, img)
    assert torch.allclose(found, factors, atol=1e-4)
    assert torch.allclose(found_bias, bias, atol=1e-4)
    assert course.preview(z, found, found_bias)[0].size == (5, 6)


def test_only_the_chosen_channel_is_scaled():
    z = random(1, 4, 3, 2)
    out = course.scaled(z, 2, 0)
    assert out[:, 2].abs().max() == 0 and torch.equal(out[:, [0, 1, 3]], z[:, [0, 1, 3]])
    assert torch.equal(course.scaled(z, course.NONE, 0), z)


def test_a_moved_slider_changes_the_picture_and_back_again(vae):
    mixer = course.ChannelSliders(vae, random(1, 16, 4, 4))
    whole = mixer.picture.value
    assert Image.open(io.BytesIO(whole)).size == (32, 32)
    assert mixer.words.value == "all channels as they are"
    mixer.channel.value = 3
    assert mixer.picture.value != whole and "channel 3 times 0: " in mixer.words.value
    mixer.factor.value = 1
    assert mixer.picture.value == whole


def test_where_no_widget_can_be_the_sliders_are_words(vae):
    bundle = course.ChannelSliders(vae, random(1, 16, 2, 2))._repr_mimebundle_()
    assert bundle["text/plain"].startswith("sliders for a latent channel")


def test_a_channel_is_orange_above_zero_blue_below_and_white_at_zero():
    latents = torch.tensor([3.0, -3.0, 0.0])[:, None, None].expand(3, 4, 4)
    shown = course.channels(latents, "an orange, a blue and a white square")
    ((above,), (below,)) = spots(shown, "image"), spots(shown, "text")
    assert above < below < pixels(shown).shape[1] * 2 / 3
    assert painted(shown, "image") == pytest.approx(painted(shown, "text"), rel=0.02)
    assert painted(shown, "text") > 1000
    assert shown.alt == "an orange, a blue and a white square"
    assert plt.get_fignums() == []
