"""A pocket model that takes posters apart: layers with transparency, painted frame by frame.

    python -m qwenimage_ref.pocket.layered     the VAE with alpha, the MMDiT, the decoder; resumes

The VAE starts as the painter's, with an alpha that is opaque everywhere; the MMDiT starts as the
painter's, with one more row of time embedding that is zero. The text tower stays as it is.
"""

import argparse
import dataclasses
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..checkpoint import save
from ..checkpoint.config_files import Configs, write_json, write_small_files
from ..checkpoint.model_folder import RECOMMENDED
from ..config import SchedulerConfig
from ..mmdit import MMDiT
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.layers import Layered, layered
from ..posters.scene import SMALL, Mixture
from ..repository import POCKET, ROOT, in_a_clone
from ..sampler import pack
from ..train.flow import sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.state import digest
from ..vae import VAE
from .assemble import POCKET_VISION
from .kept import Chunks
from .train import CAPTION_DROPOUT, CROP, SIGMA_SHIFT, window

LAYERED = "QwenImageLayeredPipeline"
COUNTS = (2, 3, 3, 4)  # layers of a batch's posters, drawn from evenly
CHUNK = 256  # posters whose latents are stored together
VAE_RECIPE = Recipe(steps=1000, batch=16, lr=3e-4, decay_from=0.3, betas=(0.9, 0.99), ema=0.998)
# the decoder goes on alone, on other posters, so that latents stay what the MMDiT was taught
DECODER_RECIPE = dataclasses.replace(VAE_RECIPE, steps=1500, seed=1)
FAINT = 0.1  # weight of the colours where a pixel is transparent


@dataclass(frozen=True)
class LayeredLesson:
    """What the MMDiT is trained on: small posters, all of a batch of as many layers."""

    recipe: Recipe = Recipe(steps=900, batch=16, lr=6e-4, muon_lr=1.2e-3, decay_from=0.3, ema=0.99)
    first: int = 0
    posters: int = 6_144
    mixture: Mixture = Mixture(sizes=(SMALL,), words=0.7, counting=0.0)

    def poster(self, number: int) -> Layered:
        """Number of a poster, counted on and on -> the poster"""
        place = number % self.posters
        count = random.Random(f"{self.first} {place // self.recipe.batch}").choice(COUNTS)
        return layered(f"{self.first + place}", count, self.mixture)


LESSON = LayeredLesson()
# the same again and longer, on other posters: edges of shapes are what is learned last
FURTHER = dataclasses.replace(
    LESSON, recipe=dataclasses.replace(LESSON.recipe, steps=2400), first=LESSON.posters
)


# -- the VAE ---------------------------------------------------------------------------------------


@torch.no_grad()
def with_alpha(vae: VAE) -> VAE:
    """A VAE of four channels that encodes opaque pictures as this one, and decodes them opaque"""
    wide = VAE(dataclasses.replace(vae.config, input_channels=4))
    old, new = vae.state_dict(), wide.state_dict()
    for name, tensor in old.items():
        wider = new[name]
        if wider.shape == tensor.shape:
            wider.copy_(tensor)
            continue
        wider.zero_()
        wider[tuple(slice(size) for size in tensor.shape)] = tensor
        if wider.ndim == 1:  # the bias of the last convolution: alpha 1 everywhere
            wider[-1] = 1.0
    wide.load_state_dict(new)
    return wide


def train_vae(vae: VAE, folder: Path, recipe: Recipe = VAE_RECIPE, **fit) -> VAE:
    """Teach a VAE the layers of posters, and the posters themselves -> with averaged weights"""
    vae = with_alpha(vae).requires_grad_(True)
    return _fit(vae, vae, folder, recipe, "vae", fit)


def train_decoder(vae: VAE, folder: Path, recipe: Recipe = DECODER_RECIPE, **fit) -> VAE:
    """Teach a VAE of four channels to decode better what it encodes as before -> the same VAE"""
    learned = nn.ModuleList([vae.post_quant_conv, vae.decoder]).requires_grad_(True)
    return _fit(vae, learned, folder, recipe, "decoder", fit)


def _fit(vae: VAE, learned: nn.Module, folder: Path, recipe: Recipe, name: str, fit: dict) -> VAE:
    """Train a part of a VAE, or all of it, on posters of that name -> with averaged weights"""
    vae = vae.to(memory_format=torch.channels_last)
    run = Run(learned, recipe, folder, origin=digest(vae))
    latents = vae.config.z_dim, CROP // vae.config.scale, CROP // vae.config.scale

    def loss_at(step):
        rng = recipe.generator(step)
        posters = [layered(f"{name} {step} {i}") for i in range(recipe.batch)]
        drawn = [window(random.Random(f"{step} {i}").choice([poster.picture, *poster.layers]),
                        CROP, rng) for i, poster in enumerate(posters)]  # fmt: skip
        img = to_input(drawn)
        noise = torch.randn(recipe.batch, *latents, generator=rng)
        with mixed():
            mean, logvar = vae.encode(img)
            z = mean + torch.exp(logvar / 2) * noise
            painted = vae.decoder(vae.post_quant_conv(z)).float()
        return rgba_error(painted, img) + 1e-6 * mean.float().pow(2).mean()

    run.fit(loss_at, **fit)
    run.use_average()
    return vae.requires_grad_(False)


def rgba_error(painted: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
    """(N, 4, H, W) both -> (): alpha counts everywhere, colours where there is something to see"""
    error, seen = painted - img, FAINT + (1 - FAINT) * (img[:, 3:] + 1) / 2
    weighted = torch.cat([error[:, :3] * seen, error[:, 3:]], dim=1)
    return 5 * weighted.square().mean() + weighted.abs().mean()


# -- the MMDiT -------------------------------------------------------------------------------------


def with_frames(mmdit: MMDiT) -> MMDiT:
    """The painter as a layered model's transformer, with a zero for what it has more

    One that is a layered model's already is returned as it is.
    """
    if mmdit.config.use_additional_t_cond:
        return mmdit
    framed = MMDiT(
        dataclasses.replace(mmdit.config, use_layer3d_rope=True, use_additional_t_cond=True)
    )
    state = mmdit.state_dict()
    framed.load_state_dict(
        {k: state.get(k, torch.zeros_like(v)) for k, v in framed.state_dict().items()}
    )
    return framed


class Latents:
    """Normalised latents of a lesson's posters and their layers, kept in a folder by chunks"""

    def __init__(self, vae: VAE, lesson: LayeredLesson, folder: Path):
        self.vae, self.lesson, self.chunks = vae, lesson, Chunks(folder, self._chunk)

    def __getitem__(self, number: int) -> torch.Tensor:
        """Number of a poster -> (1 + layers, 16, h, w): the whole, then the layers"""
        place = number % self.lesson.posters
        return self.chunks[place // CHUNK][f"{place % CHUNK}"].float()

    def _chunk(self, i: int) -> dict[str, torch.Tensor]:
        return {f"{j}": self._encoded(i * CHUNK + j) for j in range(CHUNK)}

    @torch.no_grad()
    def _encoded(self, number: int) -> torch.Tensor:
        poster, vae = self.lesson.poster(number), self.vae
        mean, _ = vae.encode(to_input([poster.picture, *poster.layers]))
        return vae.normalize(mean).bfloat16().contiguous()


def loss_of(mmdit: MMDiT, latents: torch.Tensor, noise, sigma, txt, mask) -> torch.Tensor:
    """(B, F, 16, h, w) both, (B,), (B, T, Dt), (B, T) -> (): flow matching on all frames

    Frame 0 is the whole poster, which also stands behind them, clean, as frame -1.
    """
    _, frames, _, h, w = latents.shape
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy, wanted = (1 - level) * latents + level * noise, noise - latents
    tokens = [pack(each) for each in (*noisy.unbind(1), latents[:, 0])]
    grids = [(frames, h // 2, w // 2), (1, h // 2, w // 2)]
    velocity = mmdit(torch.cat(tokens, dim=1), txt, sigma, grids, mask)
    target = torch.cat([pack(each) for each in wanted.unbind(1)], dim=1)
    return (velocity.float() - target).square().mean()


def train(pipe: QwenImage, lesson: LayeredLesson, folder: Path, **fit) -> None:
    """Train the MMDiT beside a VAE of four channels; leaves averaged weights in the pipeline"""
    recipe, vae = lesson.recipe, digest(pipe.vae)
    mmdit = pipe.transformer = with_frames(pipe.transformer).requires_grad_(True)
    names = [n for n, p in mmdit.named_parameters() if p.ndim == 2 and "transformer_blocks." in n]
    run = Run(mmdit, recipe, folder, names, origin=f"{vae} {digest(mmdit)} {lesson!r}")
    data = Latents(pipe.vae, lesson, folder / f"latents-{vae}")

    def loss_at(step):
        rng, count = recipe.generator(step), recipe.batch
        numbers = range(step * count, (step + 1) * count)
        drop = torch.rand(count, generator=rng) < CAPTION_DROPOUT
        prompts = [" " if drop[i] else lesson.poster(n).prompt for i, n in enumerate(numbers)]
        with torch.no_grad():
            txt, mask = pipe.encode_prompt(prompts)
        latents = torch.stack([data[n] for n in numbers])
        noise = torch.randn(latents.shape, generator=rng)
        sigma = sample_sigma(count, SIGMA_SHIFT, rng)
        # in bf16 the gradient of torch's flash attention takes three times as long on a CPU
        with sdpa_kernel(SDPBackend.MATH), mixed():
            return loss_of(mmdit, latents, noise, sigma, txt, mask)

    run.fit(loss_at, **fit)
    run.use_average()
    mmdit.requires_grad_(False)


def write_layered(folder: Path, pipe: QwenImage, base: Path) -> None:
    """The networks of a pipeline as an official folder of a layered model, in bf16

    base: the painter's folder, whose text encoder is taken as it is. Its vision tower has learned
    nothing, as recommended.json says: every prompt is given, none can be read off the picture.
    """
    shutil.copytree(base / "text_encoder", folder / "text_encoder", dirs_exist_ok=True)
    save(pipe.transformer, folder / "transformer", dtype=torch.bfloat16)
    save(pipe.vae, folder / "vae", dtype=torch.bfloat16)
    for name in ("tokenizer", "processor"):
        pipe.tokenizer.save(folder / name)
    schedule = SchedulerConfig(time_shift_type="linear", shift_terminal=0.0)
    configs = Configs(
        pipe.transformer.config, pipe.text_encoder.config, POCKET_VISION, pipe.vae.config,
        schedule, LAYERED,
    )  # fmt: skip
    write_small_files(folder, configs, pipe.tokenizer.added)
    recommended = {"sample_size": SMALL[0], "num_inference_steps": 20, "reads_pictures": False}
    write_json(folder / RECOMMENDED, recommended)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.layered")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "layered", metavar="FOLDER")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default RUNS/layered")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.base)
    pipe.vae = train_vae(pipe.vae, options.runs / "vae")
    train(pipe, LESSON, options.runs / "transformer")
    train(pipe, FURTHER, options.runs / "transformer-further")
    pipe.vae = train_decoder(pipe.vae, options.runs / "decoder")
    write_layered(options.to or options.runs / "layered", pipe, options.base)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
