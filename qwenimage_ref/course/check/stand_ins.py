"""Parts of a pipeline in miniature: they compute in a moment and write down what they are given."""

from types import SimpleNamespace

import torch

from ...config import SchedulerConfig

CHANNELS, WIDTH = 16, 12  # sizes of a latent and of a text state


def numbers(*shape, seed=9):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Tokenizer:
    """A token for each letter, a few before the prompt and two behind it."""

    def __init__(self, prefix_length: int, pad_id: int):
        self.prefix_length, self.pad_id = prefix_length, pad_id

    def encode_prompt(self, prompt: str) -> list[int]:
        before = range(6, 6 + self.prefix_length)
        return [*before, *(12 + ord(letter) % 50 for letter in prompt), 5, 4]


class TextEncoder:
    """States that depend on all earlier tokens, and a little on how many are real."""

    def __init__(self):
        self.table, self.calls = numbers(64, WIDTH), []

    def __call__(self, ids, mask=None):
        """(B, n), (B, n) or None -> (B, n, Dt)"""
        self.calls.append(ids)
        real = torch.ones(ids.shape) if mask is None else mask.float()
        before = self.table[ids].cumsum(1) / torch.arange(1, 1 + ids.shape[1]).view(1, -1, 1)
        return before + real.mean(1).view(-1, 1, 1)


class Transformer:
    """A velocity that depends on every argument, and of the text on the real tokens alone."""

    def __init__(self):
        self.place, self.word = numbers(64, 64) / 8, numbers(WIDTH, 64, seed=1)
        self.calls = []

    def __call__(self, x, txt, time, grids, txt_mask=None):
        """(B, I, 64), (B, T, Dt), (B,), [(1, rows, cols)], (B, T) or None -> (B, I, 64)"""
        self.calls.append(SimpleNamespace(x=x, txt=txt, time=time, grids=grids, mask=txt_mask))
        real = torch.ones(txt.shape[:2]) if txt_mask is None else txt_mask.float()
        words = (real.unsqueeze(-1) * txt).sum(1, keepdim=True) / real.sum(1).view(-1, 1, 1)
        return torch.tanh(x @ self.place + words @ self.word) * (1 + time.view(-1, 1, 1))


class VAE:
    """Every latent becomes 8 x 8 pixels; raw latents are far from mean 0 and deviation 1."""

    def __init__(self, channels: int = CHANNELS):
        self.mean, self.std = numbers(channels), 1 + numbers(channels, seed=1).abs()
        self.colours = numbers(3, channels, seed=2) / channels

    def normalize(self, z):
        """(B, C, h, w) -> (B, C, h, w)"""
        return (z - self.mean.view(1, -1, 1, 1)) / self.std.view(1, -1, 1, 1)

    def denormalize(self, z):
        """(B, C, h, w) -> (B, C, h, w)"""
        return z * self.std.view(1, -1, 1, 1) + self.mean.view(1, -1, 1, 1)

    def decode(self, z):
        """(B, C, h, w) -> (B, 3, 8h, 8w), from -1 to 1"""
        img = torch.tanh(torch.einsum("rc,bchw->brhw", self.colours, z))
        return img.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)


class Parts:
    """What a pipeline consists of, with the attributes of the package's."""

    def __init__(self, prefix_length: int = 3, pad_id: int = 1):
        self.tokenizer, self.text_encoder = Tokenizer(prefix_length, pad_id), TextEncoder()
        self.transformer, self.vae = Transformer(), VAE()
        self.scheduler = SchedulerConfig.official()
