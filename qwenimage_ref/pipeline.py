"""The parts put together: a prompt becomes a picture."""

import math
import warnings
from numbers import Integral

import numpy as np
import torch
from PIL import Image

from .conditions import Branch
from .config import SchedulerConfig
from .limits import TOKEN, block_bytes, check_size, decoder_bytes, demand_memory, text_bytes
from .mmdit import MMDiT
from .sampler import euler_step, guide, model_time, pack, sigmas, unpack
from .text_encoder import TextEncoder
from .tokenizer import MAX_PROMPT_TOKENS, Tokenizer
from .vae import STRIP, VAE

LONGEST_PROMPT = 50_000  # characters; tokens beyond 1,024 are not read anyway


class QwenImage:
    """Text to image. The parts are plain attributes: tokenizer, text_encoder, transformer, vae.

    Several threads may paint with one pipeline. A forked process can, too, with one thread.
    """

    def __init__(self, tokenizer, text_encoder, transformer, vae, scheduler, recommended=None):
        self.tokenizer: Tokenizer = tokenizer
        self.text_encoder: TextEncoder = text_encoder
        self.transformer: MMDiT = transformer
        self.vae: VAE = vae
        self.scheduler: SchedulerConfig = scheduler
        self.recommended = recommended or {}  # sample_size and num_inference_steps, if stated

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id,
        dtype: torch.dtype | None = None,
        device="cpu",
        stream: bool = False,
        transformer=None,
        vae=None,
        text_encoder=None,
    ):
        """Load a folder in the official layout, or a hub id from the local cache; no downloads.

        dtype None: float32 on a CPU, bfloat16 on a GPU and when streaming. stream: transformer and
        text encoder stay on disk and come a block at a time, for weights larger than memory.
        transformer, vae, text_encoder: single files of any layout that formats/ reads, in place of
        the folder's weights of that part; of the folder then only the config is read. Raises
        CheckpointError, ConfigError or TokenizerError, one line that names what is wrong.
        """
        from .load import load  # careful: not at the top, the model stands without its loaders

        files = {"transformer": transformer, "vae": vae, "text_encoder": text_encoder}
        return cls(*load(folder_or_hub_id, dtype, torch.device(device), stream, files))

    @property
    def device(self) -> torch.device:
        return self.transformer.proj_out.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.proj_out.weight.dtype

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str | list[str] | None = None,
        true_cfg_scale: float = 4.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        seed: int | list[int] | None = None,
        max_sequence_length: int = 512,
        callback=None,
    ) -> list[Image.Image]:
        """Paint one picture for each prompt.

        Guidance needs a negative prompt, even if only " ": without one `true_cfg_scale` does
        nothing, as upstream. A seed, 0 to 2**64 - 1, draws the noise on the CPU; a list of seeds
        gives each picture its own. callback(step, sigma, latents, velocity) sees each step before
        it is taken, (B, C, h, w) both; latents - sigma * velocity is the picture as guessed there.
        Raises ValueError, before any work is done, for what cannot be painted.
        """
        if not math.isfinite(true_cfg_scale):
            raise ValueError(
                f"true_cfg_scale must be finite, got {true_cfg_scale}; 4 is usual, 1 is no guidance"
            )
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise ValueError("prompt must be a string or a list of at least one, got none")
        size = self.recommended.get("sample_size", 1024)
        height = size if height is None else height
        width = size if width is None else width
        latents = self.noise(len(prompts), height, width, seed)
        levels = sigmas(num_inference_steps, (height // TOKEN) * (width // TOKEN), self.scheduler)
        guided = negative_prompt is not None and true_cfg_scale > 1
        if not guided and true_cfg_scale > 1:
            warnings.warn(
                f"true_cfg_scale {true_cfg_scale} has no effect without a negative_prompt; "
                'pass negative_prompt=" " for guidance',
                stacklevel=3,
            )
        groups = [prompts, _one_each(negative_prompt, len(prompts))] if guided else [prompts]
        encoded = self.encode_prompts(groups, max_sequence_length)
        guidance = {"true_cfg_scale": true_cfg_scale, "callback": callback}
        return self.to_pictures(self.denoise(latents, levels, *encoded, **guidance))

    def encode_prompt(self, prompts: list[str], max_sequence_length: int = 512):
        """B prompts -> text states (B, T, Dt), mask (B, T) or None where nothing is padded

        The template's states are dropped after encoding. A single prompt is never padded.
        """
        (branch,) = self.encode_prompts([prompts], max_sequence_length)
        return branch.txt, branch.txt_mask

    def encode_prompts(
        self, groups: list[list[str]], max_sequence_length: int = 512
    ) -> list[Branch]:
        """The same for several groups of prompts, a Branch each, from one pass of the encoder."""
        if not 1 <= max_sequence_length <= 1024:
            raise ValueError(f"max_sequence_length must be 1 to 1024, got {max_sequence_length}")
        start = self.tokenizer.prefix_length
        tokens = [self._tokens(prompts, max_sequence_length) for prompts in groups]
        for ids, _ in tokens:
            needed = text_bytes(*ids.shape, self.text_encoder.config, self.dtype)
            what = "{} prompts of up to {} tokens".format(*ids.shape)
            demand_memory(needed, self.device, what, "use fewer or shorter prompts")
        calls = [(ids, None if mask.all() else mask) for ids, mask in tokens]
        encoded = []
        for states, (_, mask) in zip(self.text_encoder.many(calls), tokens):
            states = states * mask.unsqueeze(-1)  # padding is zero, as upstream
            states, mask = (x[:, start : start + max_sequence_length] for x in (states, mask))
            encoded.append(Branch(states, None if mask.all() else mask))
        return encoded

    def _tokens(self, prompts: list[str], max_sequence_length: int):
        """B prompts -> ids (B, T), mask (B, T), true where a token is real"""
        for prompt in prompts:
            if len(prompt) > LONGEST_PROMPT:
                raise ValueError(
                    f"the prompt must have at most {LONGEST_PROMPT:,} characters, got "
                    f"{len(prompt):,}; shorten it, only {max_sequence_length} tokens are read"
                )
        rows = [self.tokenizer.encode_prompt(prompt) for prompt in prompts]
        start, longest = self.tokenizer.prefix_length, max(map(len, rows))
        if longest - start > max_sequence_length or longest == start + MAX_PROMPT_TOKENS:
            warnings.warn(
                f"the prompt is longer than {max_sequence_length} tokens; its end is not read",
                stacklevel=4,
            )
        pad = self.tokenizer.pad_id
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return ids, torch.arange(longest, device=self.device) < lengths.unsqueeze(1)

    def noise(self, count: int, height: int, width: int, seed=None):
        """-> (B, C, h, w): upstream's initial noise for this seed, drawn on the CPU"""
        check_size(height, width)
        decoder = decoder_bytes(height, width, STRIP, self.vae.config, self.dtype)
        tokens = (height // TOKEN) * (width // TOKEN)
        needed = count * max(decoder, block_bytes(tokens, self.transformer.config, self.dtype))
        what = f"{count} of {width}x{height} pixels"
        demand_memory(needed, self.device, what, "use smaller sides")
        scale, channels = self.vae.config.scale, self.vae.config.z_dim
        shape = (channels, height // scale, width // scale)
        if not isinstance(seed, (list, tuple, np.ndarray)):
            return self._draw((count, *shape), seed).to(self.device)
        if len(seed) != count:
            raise ValueError(f"seed must be one number or {count}, one a prompt, got {len(seed)}")
        return torch.cat([self._draw((1, *shape), one) for one in seed]).to(self.device)

    def _draw(self, shape, seed):
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        elif not isinstance(seed, Integral) or not 0 <= seed < 2**64:
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed}")
        else:
            generator.manual_seed(int(seed))
        return torch.randn(shape, generator=generator, dtype=self.dtype)

    def denoise(
        self,
        latents,
        levels,
        cond: Branch,
        uncond: Branch | None = None,
        true_cfg_scale: float = 4.0,
        keep=None,
        callback=None,
    ):
        """(B, C, h, w) at levels[0] -> (B, C, h, w) at levels[-1], one Euler step for each pair

        uncond None: no guidance, half the time. keep(sigma, latents) -> latents is called behind
        each step with the level that it reached, (B, C, h, w) both: inpainting puts back the noised
        original outside its mask. callback: as in `__call__`.
        """
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        x, branches = pack(latents), [cond] if uncond is None else [cond, uncond]
        for step, (sigma, sigma_next) in enumerate(zip(levels, levels[1:])):
            time = model_time(sigma, x.dtype).to(x.device).expand(len(x))
            calls = [branch.call(x, time, (1, rows, cols)) for branch in branches]
            velocity, *negative = self.transformer.many(calls)
            if negative:
                velocity = guide(velocity, *negative, true_cfg_scale)
            if callback is not None:
                callback(step, sigma.item(), unpack(x, rows, cols), unpack(velocity, rows, cols))
            x = euler_step(x, velocity, sigma.to(x.device), sigma_next.to(x.device))
            if keep is not None:
                x = pack(keep(sigma_next.item(), unpack(x, rows, cols)))
        return unpack(x, rows, cols)

    @torch.no_grad()
    def to_pictures(self, latents) -> list[Image.Image]:
        """(B, C, h, w) normalised -> B pictures. Raises FloatingPointError where they hold NaN."""
        if not torch.isfinite(latents).all():
            raise FloatingPointError(
                "the latents hold NaN: these weights are untrained, damaged, or overflow in "
                f"{self.dtype}; check them with `qwenimage info`, or try float32"
            )
        img = self.vae.decode(self.vae.denormalize(latents))
        img = (img / 2 + 0.5).clamp(0, 1).float().permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(pixels) for pixels in (img * 255).round().astype(np.uint8)]


def _one_each(negative_prompt: str | list[str], count: int) -> list[str]:
    negatives = [negative_prompt] if isinstance(negative_prompt, str) else list(negative_prompt)
    negatives = negatives * count if len(negatives) == 1 else negatives
    if len(negatives) != count:
        raise ValueError(
            f"negative_prompt must be one string, or one for each of {count} prompts, got "
            f"{len(negatives)}"
        )
    return negatives
