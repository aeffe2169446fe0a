"""What the norms and the latents' statistics compute, on numbers where a wrong constant shows."""

import pytest
import torch

from qwenimage_ref.config import TextEncoderConfig, VAEConfig
from qwenimage_ref.mmdit import RMSNorm as HeadNorm
from qwenimage_ref.mmdit import layer_norm
from qwenimage_ref.text_encoder import RMSNorm
from qwenimage_ref.vae import VAE

# so small that a millionth beside their variance halves the result; among ordinary activations a
# tenfold epsilon changes nothing that a picture shows
FAINT = 1e-3 * torch.randn(3, 5, 48, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def test_the_layer_norm_adds_a_millionth_to_the_variance():
    mean, variance = FAINT.mean(-1, keepdim=True), FAINT.var(-1, keepdim=True, unbiased=False)
    assert torch.allclose(layer_norm(FAINT), (FAINT - mean) / (variance + 1e-6).sqrt(), rtol=1e-9)


def norm_of_squares(x: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@pytest.mark.parametrize(
    "norm",
    [HeadNorm(48), RMSNorm(48, TextEncoderConfig.official().rms_norm_eps)],
    ids=["queries and keys", "text"],
)
def test_the_root_mean_square_norm_adds_a_millionth_to_the_mean_square(norm):
    with torch.no_grad():
        norm.weight.fill_(1)
        assert torch.allclose(norm(FAINT.float()).double(), norm_of_squares(FAINT, 1e-6), rtol=1e-5)


@pytest.fixture(scope="module")
def statistics():
    """The official VAE without weights, and its published mean and deviation of each channel."""
    with torch.device("meta"):
        vae = VAE(VAEConfig.official())
    mean, std = (torch.tensor(x) for x in (vae.config.latents_mean, vae.config.latents_std))
    return vae, mean.view(1, 16, 1, 1), std.view(1, 16, 1, 1)


def test_normalised_latents_are_in_units_of_the_published_deviation_from_the_mean(statistics):
    vae, mean, std = statistics
    latents = mean + std * torch.tensor([-2.0, 0.0, 1.0])
    expected = torch.tensor([-2.0, 0.0, 1.0]).expand(1, 16, 1, 3)
    assert torch.allclose(vae.normalize(latents), expected, atol=1e-5)


def test_raw_latents_are_the_published_mean_and_so_many_deviations(statistics):
    vae, mean, std = statistics
    for count in (-2.0, 0.0, 1.0):
        raw = vae.denormalize(torch.full((1, 16, 1, 1), count))
        assert torch.allclose(raw, mean + count * std, rtol=1e-6, atol=1e-6)
