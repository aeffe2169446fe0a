"""The parts put together: a prompt becomes a picture."""

import numpy as np
import torch
from PIL import Image

from . import limits
from .conditions import Branch
from .config import SchedulerConfig
from .limits import TOKEN, one_each
from .mmdit import MMDiT
from .sampler import draw, euler_step, generators, guide, model_time, pack, sigmas, unpack
from .text_encoder import TextEncoder
from .tokenizer import MAX_PROMPT_TOKENS, Tokenizer
from .vae import STRIP, VAE


class QwenImage:
    """Text to image. The parts are plain attributes: tokenizer, text_encoder, transformer, vae.

    Several threads may paint with one pipeline. A forked process can, too, with one thread.
    """

    def __init__(
        self, tokenizer, text_encoder, transformer, vae, scheduler, recommended=None, vision=None,
        form=None,
    ):  # fmt: skip
        self.tokenizer: Tokenizer = tokenizer
        self.text_encoder: TextEncoder = text_encoder
        self.transformer: MMDiT = transformer
        self.vae: VAE = vae
        self.scheduler: SchedulerConfig = scheduler
        self.recommended = recommended or {}  # sample_size and num_inference_steps, if stated
        self.vision, self.form = vision, form  # models that are given pictures

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
        self, prompt: str | list[str], negative_prompt: str | list[str] | None = None,
        true_cfg_scale: float = 4.0, height: int | None = None, width: int | None = None,
        num_inference_steps: int = 50, seed: int | list[int] | None = None,
        max_sequence_length: int = 512, callback=None,
        image: Image.Image | list[Image.Image] | None = None, strength: float = 0.6,
        mask_image: Image.Image | list[Image.Image] | None = None,
        padding_mask_crop: int | None = None, inpaint_blur_size: int | None = None,
        inpaint_blur_sigma: float | None = None, regions: list[tuple] | None = None,
        regions_on_negative: bool = False, context_image: Image.Image | None = None,
    ) -> list[Image.Image]:  # fmt: skip
        """Paint one picture for each prompt.

        Guidance needs a negative prompt, even if only " ": without one `true_cfg_scale` does
        nothing, as upstream. A seed, 0 to 2**64 - 1, draws the noise on the CPU; a list of seeds
        gives each picture its own. callback(step, sigma, latents, velocity) sees each step before
        it is taken, (B, C, h, w) both; latents - sigma * velocity is the picture as guessed there.
        image, one or one a prompt, is scaled to height x width; of the steps only the last ones
        are taken, a share of `strength`. mask_image: only its white is painted anew; for padding
        and blur see tasks/inpaint.py. To an edit model the prompt says what to change in its
        images; the last one's proportions are the target's unless height and width are given.
        regions, [(prompt, mask), ...]: what is where, for EliGen; context_image: a control picture,
        for In-Context-Control (each with its LoRA; see tasks/regions.py).
        Raises ValueError, before any work is done, for what cannot be painted.
        """
        limits.check_scale(true_cfg_scale)
        prompts = limits.as_prompts(prompt)
        groups = _groups(prompts, negative_prompt, true_cfg_scale)
        over = image, strength, mask_image, padding_mask_crop, inpaint_blur_size, inpaint_blur_sigma
        if all(x is None for x in (image, mask_image, self.form, regions, context_image)):
            shape, levels = self.schedule(len(prompts), height, width, num_inference_steps)
            latents, keep, finish = self.noise(*shape, seed), None, list
            branches = self.encode_prompts(groups, max_sequence_length)
        else:
            from .tasks import conditioned  # careful: not at the top, as in `from_pretrained`

            (latents, levels, keep, finish, _), branches = conditioned(
                self, groups, (height, width, num_inference_steps), seed, max_sequence_length,
                over, regions, regions_on_negative, context_image,
            )  # fmt: skip
        hooks = {"true_cfg_scale": true_cfg_scale, "keep": keep, "callback": callback}
        return finish(self.to_pictures(self.denoise(latents, levels, *branches, **hooks)))

    def schedule(self, count: int, height: int | None, width: int | None, steps: int):
        """-> shape (count, height, width) and noise levels; sides None: what is recommended"""
        size = self.recommended.get("sample_size", 1024)
        height, width = (size if side is None else side for side in (height, width))
        self.check_picture(count, height, width)
        levels = sigmas(steps, (height // TOKEN) * (width // TOKEN), self.scheduler)
        return (count, height, width), levels

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
        start = self.tokenizer.prefix_length
        tokens = [self._tokens(prompts, max_sequence_length) for prompts in groups]
        for ids, _ in tokens:
            limits.check_text(*ids.shape, self.text_encoder.config, self.dtype, self.device)
        calls = [(ids, None if mask.all() else mask) for ids, mask in tokens]
        encoded = []
        for states, (_, mask) in zip(self.text_encoder.many(calls), tokens):
            states = states * mask.unsqueeze(-1)  # padding is zero, as upstream
            states, mask = (x[:, start : start + max_sequence_length] for x in (states, mask))
            encoded.append(Branch(states, None if mask.all() else mask))
        return encoded

    def _tokens(self, prompts: list[str], max_sequence_length: int):
        """B prompts -> ids (B, T), mask (B, T), true where a token is real"""
        limits.check_prompts(prompts, max_sequence_length)
        rows = [self.tokenizer.encode_prompt(prompt) for prompt in prompts]
        start, longest = self.tokenizer.prefix_length, max(map(len, rows))
        if longest - start > max_sequence_length or longest == start + MAX_PROMPT_TOKENS:
            limits.warn(
                f"the prompt is longer than {max_sequence_length} tokens; its end is not read"
            )
        pad = self.tokenizer.pad_id
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return ids, torch.arange(longest, device=self.device) < lengths.unsqueeze(1)

    def noise(self, count: int, height: int, width: int, seed=None):
        """-> (B, C, h, w): upstream's initial noise for this seed, drawn on the CPU"""
        self.check_picture(count, height, width)
        scale, channels = self.vae.config.scale, self.vae.config.z_dim
        shape = (count, channels, height // scale, width // scale)
        return draw(shape, generators(seed, count), self.dtype).to(self.device)

    def check_picture(self, count: int, height: int, width: int) -> None:
        """Raises ValueError for sides that no picture can have, or that memory does not hold."""
        parts = self.vae.tile, self.vae.config, self.transformer.config
        limits.check_pictures(count, height, width, STRIP, *parts, self.dtype, self.device)

    def denoise(
        self, latents, levels, cond: Branch, uncond: Branch | None = None,
        true_cfg_scale: float = 4.0, keep=None, callback=None, combine=None,
    ):  # fmt: skip
        """(B, C, h, w) at levels[0] -> (B, C, h, w) at levels[-1], one Euler step for each pair

        uncond None: no guidance, half the time. keep(sigma, latents) -> latents is called behind
        each step with the level that it reached, (B, C, h, w) both: inpainting puts back the noised
        original outside its mask. callback: as in `__call__`. combine: in place of `guide`.
        """
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        x, branches = pack(latents), [cond] if uncond is None else [cond, uncond]
        for step, (sigma, sigma_next) in enumerate(zip(levels, levels[1:])):
            time = model_time(sigma, x.dtype).to(x.device).expand(len(x))
            calls = [branch.call(x, time, (1, rows, cols)) for branch in branches]
            velocity, *negative = self.transformer.many(calls)
            if negative:
                velocity = (combine or guide)(velocity, *negative, true_cfg_scale)
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
        img = (img / 2 + 0.5).float().permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(pixels) for pixels in (img * 255).round().astype(np.uint8)]


def _groups(prompts: list[str], negative_prompt, true_cfg_scale: float) -> list[list[str]]:
    """The prompts of each branch: those of the negative one only where there is guidance."""
    if negative_prompt is not None and true_cfg_scale > 1:
        return [prompts, one_each(negative_prompt, len(prompts), "negative_prompt")]
    if true_cfg_scale > 1:
        limits.warn(
            f"true_cfg_scale {true_cfg_scale} has no effect without a negative_prompt; "
            'pass negative_prompt=" " for guidance'
        )
    return [prompts]
