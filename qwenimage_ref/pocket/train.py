"""The pocket model from nothing: tokenizer, VAE, then text tower and MMDiT together."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..config import MMDiTConfig, TextEncoderConfig, VAEConfig
from ..mmdit import MMDiT, Modulation
from ..pictures import psnr, to_input
from ..posters.draw import draw
from ..text_encoder import TextEncoder
from ..tokenizer import ADDED_TOKENS, T2I, Tokenizer
from ..train.flow import flow_step, sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.state import digest
from ..vae import VAE
from .kept import Chunks
from .lessons import FIRST, LESSONS, Lesson, World

# --- VAE

POCKET_VAE = VAEConfig(base_dim=16)
VAE_RECIPE = Recipe(steps=4000, batch=16, lr=5e-4, decay_from=0.3, betas=(0.9, 0.99), ema=0.998)
CROP = 64  # pixels; whole posters, of one size a step, come in the last fifth of the steps
MEASURED = 512  # posters that the latents' mean and deviation are taken from
TEST_SEED = 10_000_000  # posters from here on are never trained on


def pictures(seeds, world: World = FIRST, size=None) -> torch.Tensor:
    """Seeds of N posters -> (N, 3, H, W) in [-1, 1]; `size` is the width and height of them all"""
    return as_input([world.picture(seed, size or world.sizes[0]) for seed in seeds])


def as_input(drawn: list[np.ndarray]) -> torch.Tensor:
    """N pictures (H, W, 3) uint8 -> (N, 3, H, W) in [-1, 1], channels last in memory"""
    return to_input(drawn).contiguous(memory_format=torch.channels_last)


def window(picture: np.ndarray, side: int, rng: torch.Generator) -> np.ndarray:
    """(H, W, 3) -> a random window of it, at most `side` pixels high and wide"""
    y, x = (int(torch.randint(0, max(n - side, 0) + 1, (1,), generator=rng))
            for n in picture.shape[:2])  # fmt: skip
    return picture[y : y + side, x : x + side]


def train_vae(
    folder: Path, recipe: Recipe = VAE_RECIPE, world: World = FIRST, device: str = "cpu", **fit
) -> VAE:
    """Train the pocket VAE; returns it with the averaged weights and measured latent statistics."""
    torch.manual_seed(recipe.seed)
    vae = VAE(POCKET_VAE).to(memory_format=torch.channels_last)
    with torch.no_grad():  # a narrow posterior from the start: noise would drown the first lessons
        vae.quant_conv.bias[POCKET_VAE.z_dim :] = -7.0
    run = Run(vae.to(device), recipe, folder, origin=world.origin)
    few = range(TEST_SEED, TEST_SEED + max(1, MEASURED // 8 // len(world.sizes)))
    tests = [pictures(few, world, size).to(device) for size in world.sizes]

    def loss_of(img, noise):
        mean, logvar = vae.encode(img)
        z = mean + torch.exp(logvar / 2) * noise
        error = vae.decoder(vae.post_quant_conv(z)).float() - img
        across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
        spread = (mean.float().pow(2) + logvar.float().exp() - logvar.float() - 1).mean()
        return 5 * error.pow(2).mean() + error.abs().mean() + (across + down) / 2 + 1e-6 * spread

    def loss_at(step):
        whole = step >= 0.8 * recipe.steps
        count = recipe.batch // 4 if whole else recipe.batch
        rng, size = recipe.generator(step), world.sizes[step % len(world.sizes)]
        numbers = range(step * recipe.batch, step * recipe.batch + count)
        drawn = [world.picture(n, size if whole else None) for n in numbers]
        img = as_input([window(picture, max(size) if whole else CROP, rng) for picture in drawn])
        h, w = img.shape[2] // 8, img.shape[3] // 8
        noise = torch.randn(count, POCKET_VAE.z_dim, h, w, generator=rng)
        with mixed(device):
            return loss_of(img.to(device), noise.to(device))

    @torch.no_grad()
    def measure():
        each = [psnr(vae.decode(vae.encode(test)[0]), test).mean().item() for test in tests]
        return {"psnr": sum(each) / len(each)}

    run.fit(loss_at, measure=measure, **fit)
    run.use_average()
    return with_statistics(vae.cpu(), world)


@torch.no_grad()
def with_statistics(vae: VAE, world: World = FIRST) -> VAE:
    """The same weights in a VAE whose config holds the latents' mean and deviation per channel."""
    starts, sizes = range(0, MEASURED, 32), itertools.cycle(world.sizes)
    batches = [pictures(range(i, i + 32), world, size) for i, size in zip(starts, sizes)]
    raw = torch.cat([vae.encode(batch)[0].transpose(0, 1).flatten(1) for batch in batches], 1)
    mean, std = raw.mean(1).tolist(), raw.std(1).tolist()
    config = dataclasses.replace(
        vae.config,
        latents_mean=tuple(round(m, 4) for m in mean),
        latents_std=tuple(round(s, 4) for s in std),
    )
    measured = VAE(config).to(memory_format=torch.channels_last)
    measured.load_state_dict(vae.state_dict())
    return measured


# --- text tower and MMDiT, trained together on the latents of the finished VAE

POCKET_TOKENS = 640  # more would merge pairs of letters, and spelling would have to be learned anew
POCKET_TEXT = TextEncoderConfig(
    num_hidden_layers=4,
    hidden_size=192,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=384,
    vocab_size=POCKET_TOKENS,
    mrope_section=(8, 8, 8),
    image_token_id=POCKET_TOKENS - len(ADDED_TOKENS) + ADDED_TOKENS.index("<|image_pad|>"),
)
POCKET_MMDIT = MMDiTConfig(
    num_layers=8,
    num_attention_heads=4,
    attention_head_dim=48,
    joint_attention_dim=192,
    axes_dims_rope=(8, 20, 20),
)
ATTENTION = SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH
CHUNK = 1024  # posters drawn and encoded at a time, when first needed
SIGMA_SHIFT = 2.0
CAPTION_DROPOUT = 0.1  # share of captions replaced by the negative prompt, as guidance needs


def train_tokenizer(world: World = FIRST, tokens: int = POCKET_TOKENS) -> Tokenizer:
    """The pocket tokenizer: captions, and the template often enough that its words are tokens."""
    captions = world.captions(8000)
    return Tokenizer.train(captions + [T2I.replace("{}", "")] * len(captions), tokens)


def text_config(tokens: int) -> TextEncoderConfig:
    """The pocket text tower with a vocabulary of so many tokens."""
    pad = tokens - len(ADDED_TOKENS) + ADDED_TOKENS.index("<|image_pad|>")
    return dataclasses.replace(POCKET_TEXT, vocab_size=tokens, image_token_id=pad)


class Painter(nn.Module):
    """The two networks that learn together; `configs` are of the text tower and of the MMDiT."""

    def __init__(self, seed: int = 0, configs=None):
        super().__init__()
        torch.manual_seed(seed)
        text, mmdit = configs or (POCKET_TEXT, POCKET_MMDIT)
        self.text_encoder = TextEncoder(text)
        self.transformer = MMDiT(mmdit)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.text_encoder.model.embed_tokens.weight)
        # both towers start as the identity: a token is itself before it is its context
        for layer in self.text_encoder.model.layers:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
        for module in self.transformer.modules():
            if isinstance(module, Modulation):
                nn.init.zeros_(module[1].weight)
        nn.init.zeros_(self.transformer.norm_out.linear.weight)
        nn.init.zeros_(self.transformer.proj_out.weight)  # a velocity of zero at the start

    def matrices(self) -> list[str]:
        """Names of the matrices inside the layers, which Muon trains in half of AdamW's steps."""
        return [
            name
            for name, parameter in self.named_parameters()
            if parameter.ndim == 2 and (".layers." in name or ".transformer_blocks." in name)
        ]


def encode_captions(tokenizer: Tokenizer, prompts: list[str]):
    """N prompts -> ids (N, T) padded on the right to a multiple of 16, mask (N, T)"""
    rows = [tokenizer.encode_prompt(prompt) for prompt in prompts]
    longest = -(-max(map(len, rows)) // 16) * 16  # few different lengths: each is compiled anew
    ids = torch.tensor([row + [tokenizer.pad_id] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(longest) < lengths.unsqueeze(1)


class Latents:
    """Normalised latents of a lesson's posters, encoded chunk by chunk and kept in a folder.

    picture: what is drawn for the scene of a number, with the poster's seed.
    """

    def __init__(self, vae: VAE, lesson: Lesson, folder: Path, picture: Callable = draw):
        self.vae, self.lesson, self.picture = vae, lesson, picture
        self.chunks = Chunks(folder, self._chunk)

    def __getitem__(self, places) -> torch.Tensor:
        """Places of B of the lesson's posters, all of one size -> (B, 16, h, w)"""
        return torch.stack([self.chunks[n // CHUNK][f"{n % CHUNK}"] for n in places]).float()

    def _chunk(self, i: int) -> dict[str, torch.Tensor]:
        numbers, few = range(i * CHUNK, (i + 1) * CHUNK), min(32, self.lesson.recipe.batch)
        parts = (numbers[j : j + few] for j in range(0, CHUNK, few))
        encoded = (
            latents
            for part in parts
            for latents in encode_posters(self.vae, self.lesson, part, self.picture)
        )
        return {f"{j}": latents.bfloat16().contiguous() for j, latents in enumerate(encoded)}


@torch.no_grad()
def encode_posters(vae: VAE, lesson: Lesson, numbers, picture: Callable = draw) -> torch.Tensor:
    """Numbers of N posters of one size -> (N, 16, h, w) normalised latents"""
    drawn = [picture(lesson.scene(number), lesson.first + number) for number in numbers]
    img = as_input(drawn).to(next(vae.parameters()).device)
    return vae.normalize(vae.encode(img)[0]).cpu()


def batch(lesson: Lesson, latents, tokenizer: Tokenizer, step: int, dropout=CAPTION_DROPOUT):
    """-> ids (B, T), mask (B, T), data and noise (B, 16, h, w), sigma (B,) of a step"""
    recipe = lesson.recipe
    rng = recipe.generator(step)
    numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
    drop = torch.rand(recipe.batch, generator=rng) < dropout
    prompts = [" " if drop[i] else lesson.prompt(n) for i, n in enumerate(numbers)]
    data = latents[[lesson.place(n) for n in numbers]]
    noise = torch.randn(data.shape, generator=rng)
    sigma = sample_sigma(len(data), SIGMA_SHIFT, rng)
    return *encode_captions(tokenizer, prompts), data, noise, sigma


def _loss_of(painter: Painter, prefix: int, compiled: bool, device: str):
    """What `batch` draws -> () the loss; the first `prefix` text states are dropped"""
    # in bf16 the gradient of torch's flash attention takes three times as long on a CPU
    attention = SDPBackend.MATH if compiled and device == "cpu" else list(ATTENTION)

    def loss_of(ids, mask, data, noise, sigma):
        with sdpa_kernel(attention):
            txt = painter.text_encoder(ids)[:, prefix:]  # causal: padding changes nothing before it
            return flow_step(painter.transformer, data, noise, sigma, txt, mask[:, prefix:])

    if not compiled:
        return loss_of
    # careful: every size and length is compiled alone, and after eight torch gives up
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(loss_of, dynamic=False)


def train_painter(
    vae: VAE,
    tokenizer: Tokenizer,
    folder: Path,
    lesson: Lesson = LESSONS["painter"],
    start: Painter | None = None,
    compiled: bool = False,
    configs=None,
    device: str = "cpu",
    **fit,
) -> Painter:
    """Train text tower and MMDiT by flow matching; returns them with the averaged weights.

    `start`: the painter of the lesson before, which is trained further; None: a new one of
    `configs`.
    `compiled`: torch.compile, in bfloat16 where that is fast, and after minutes of compiling; needs
    a C++ compiler. It was 1.4 times as fast as bfloat16 without it, and was not compared with
    float32.
    """
    recipe = lesson.recipe
    painter = Painter(recipe.seed, configs) if start is None else start
    # Latents of another VAE are useless to this painter, and a lesson is resumed only after the
    # same previous lesson.
    own_vae = digest(vae)
    origin = " ".join([own_vae, repr(lesson)] + ([digest(start)] if start else []))
    run = Run(painter.to(device), recipe, folder, painter.matrices(), origin=origin)
    latents = Latents(vae.to(device), lesson, folder / f"latents-{own_vae}")
    loss_of = _loss_of(painter, tokenizer.prefix_length, compiled, device)

    bf16 = compiled or device != "cpu"  # torch's own kernels are faster in float32 on a CPU

    def loss_at(step):
        # latents are encoded in float32, outside autocast
        drawn = batch(lesson, latents, tokenizer, step)
        with mixed(device, enabled=bf16):
            return loss_of(*(part.to(device) for part in drawn))

    run.fit(loss_at, **fit)
    run.use_average()
    vae.cpu()
    return painter.cpu()
