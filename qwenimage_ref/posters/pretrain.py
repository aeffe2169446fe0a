"""The pocket model from nothing: tokenizer, VAE, then text tower and MMDiT together."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..config import VAEConfig
from ..train.loop import Recipe, Run
from ..vae import VAE
from .draw import SIDE, poster

POCKET_VAE = VAEConfig(base_dim=16)
VAE_RECIPE = Recipe(steps=6500, batch=16, lr=5e-4, decay_from=0.3, betas=(0.9, 0.99), ema=0.998)
CROP = 64  # pixels; whole posters come in the last fifth of the steps
TEST_SEED = 10_000_000  # posters from here on are never trained on


def pictures(seeds) -> torch.Tensor:
    """Seeds of N posters -> (N, 3, 128, 128) in [-1, 1]"""
    stack = np.stack([poster(seed, word_share=0.7)[1] for seed in seeds])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """(B, 3, H, W), (B, 3, H, W) -> mean peak signal-to-noise ratio in dB of pictures in [-1, 1]"""
    error = (a - b).pow(2).flatten(1).mean(1)
    return (10 * torch.log10(4 / error)).mean().item()


def train_vae(folder: Path, recipe: Recipe = VAE_RECIPE, **fit) -> VAE:
    """Train the pocket VAE; returns it with the averaged weights and measured latent statistics."""
    torch.manual_seed(recipe.seed)
    vae = VAE(POCKET_VAE).to(memory_format=torch.channels_last)
    with torch.no_grad():  # a narrow posterior from the start: noise would drown the first lessons
        vae.quant_conv.bias[POCKET_VAE.z_dim :] = -7.0
    run = Run(vae, recipe, folder)
    test = pictures(range(TEST_SEED, TEST_SEED + 64))

    def loss_of(img, noise):
        mean, logvar = vae.encode(img)
        z = mean + torch.exp(logvar / 2) * noise
        error = vae.decoder(vae.post_quant_conv(z)).float() - img
        across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
        spread = (mean.float().pow(2) + logvar.float().exp() - logvar.float() - 1).mean()
        return 5 * error.pow(2).mean() + error.abs().mean() + (across + down) / 2 + 1e-6 * spread

    def loss_at(step):
        whole = step >= 0.8 * recipe.steps
        count, side = (recipe.batch // 4, SIDE) if whole else (recipe.batch, CROP)
        rng = recipe.generator(step)
        img = pictures(range(step * recipe.batch, step * recipe.batch + count))
        at = torch.randint(0, SIDE - side + 1, (count, 2), generator=rng).tolist()
        img = torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(img, at)])
        noise = torch.randn(count, POCKET_VAE.z_dim, side // 8, side // 8, generator=rng)
        with torch.autocast("cpu", torch.bfloat16):
            return loss_of(img.contiguous(memory_format=torch.channels_last), noise)

    @torch.no_grad()
    def measure():
        return {"psnr": psnr(vae.decode(vae.encode(test)[0]), test)}

    run.fit(loss_at, measure=measure, **fit)
    run.averaged().__enter__()
    return vae
