"""PSNR and SSIM: closed forms, symmetry, and scikit-image beside them."""

import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from qwenimage_ref.config import VAEConfig
from qwenimage_ref.evaluate.psnr_ssim import psnr, reconstruct, ssim
from qwenimage_ref.vae import VAE

SHAPE = (2, 3, 15, 19)


def noise(seed, shape=SHAPE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def flat(value, shape=SHAPE):
    return torch.full(shape, value)


@pytest.mark.parametrize("step, decibels", [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_a_constant_error_has_the_psnr_of_its_size(step, decibels):
    assert psnr(flat(0.0), flat(step)).tolist() == pytest.approx([decibels] * 2, abs=1e-4)


def test_half_the_error_is_six_decibels_more():
    a, error = noise(0), noise(1)
    gain = psnr(a, a + error / 2) - psnr(a, a + error)
    assert gain.tolist() == pytest.approx([20 * math.log10(2)] * 2, abs=1e-4)


def test_equal_pictures_have_infinite_psnr_and_ssim_one():
    a = noise(0)
    assert psnr(a, a).tolist() == [math.inf] * 2
    assert ssim(a, a).tolist() == pytest.approx([1.0] * 2, abs=1e-12)


def test_it_does_not_matter_which_picture_comes_first():
    a, b = noise(0), noise(1)
    assert torch.equal(psnr(a, b), psnr(b, a))
    assert ssim(a, b).tolist() == pytest.approx(ssim(b, a).tolist(), abs=1e-12)


def test_flat_pictures_have_the_ssim_of_their_two_grays():
    # without structure only the first quotient is left
    expected = (2 * 0.2 * 0.5 + 1e-4) / (0.2**2 + 0.5**2 + 1e-4)
    assert ssim(flat(0.2), flat(0.5)).tolist() == pytest.approx([expected] * 2, abs=1e-6)


def test_a_negative_is_unlike_its_original():
    a = (noise(0) > 0.5).float()
    assert ssim(a, 1 - a).max() < -0.5


def test_ssim_falls_as_noise_rises_and_a_shift_of_light_costs_little():
    a = noise(0, (1, 3, 32, 32)) / 2 + 0.25
    noisy = [ssim(a, a + size * (noise(1, a.shape) - 0.5)).item() for size in (0.05, 0.2, 0.5)]
    assert noisy == sorted(noisy, reverse=True)
    lighter = ssim(a, a + 0.05).item()  # PSNR calls both the same
    jittered = ssim(a, a + 0.05 * torch.sign(noise(2, a.shape) - 0.5)).item()
    assert lighter > jittered


def beside(library, a, b, **options) -> list[float]:
    """A measure of scikit-image on each pair of pictures, (H, W, 3) float64."""
    pictures = [x.double().permute(0, 2, 3, 1).numpy() for x in (a, b)]
    return [library(x, y, data_range=1.0, **options) for x, y in zip(*pictures)]


def test_ssim_equals_scikit_image_s_with_the_window_of_the_paper():
    a = noise(0)
    b = (a + 0.3 * noise(1)).clamp(0, 1)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = beside(structural_similarity, a, b, channel_axis=2, **window)
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)


def test_psnr_equals_scikit_image_s():
    a, b = noise(0), noise(1)
    expected = beside(peak_signal_noise_ratio, a, b)
    assert psnr(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_picture_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match="sides must be at least 11 pixels"):
        ssim(flat(0.0, (1, 3, 10, 20)), flat(0.0, (1, 3, 10, 20)))


def test_a_copy_is_the_decoded_mean_however_many_pictures_there_are():
    torch.manual_seed(0)
    vae = VAE(VAEConfig(base_dim=4))
    img = noise(0, (9, 3, 16, 24))
    again = reconstruct(vae, img)
    assert again.shape == img.shape and 0 <= again.min() and again.max() <= 1
    with torch.no_grad():
        alone = vae.decode(vae.encode(img[8:] * 2 - 1)[0])
    assert torch.allclose(again[8:], (alone / 2 + 0.5).clamp(0, 1), atol=1e-6)
