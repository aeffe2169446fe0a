"""Chapter 06: one MMDiT block."""

import torch
import torch.nn.functional as F


def EX_06_MODULATION(x, shift, scale, gate, part):
    """(B, S, D), 3 x (B, 1, D), part (B, S, D) -> (B, S, D): one modulated, gated residual."""
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return x + gate * part(normed * (1 + scale) + shift)


def EX_06_MASK(q, k, v, real):
    """3 x (B, H, T + I, K), real (B, T) -> (B, H, T + I, K): nobody looks at padding."""
    image_tokens = k.shape[2] - real.shape[1]
    seen = F.pad(real, (0, image_tokens), value=True)  # (B, T + I), text first
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    logits = logits.masked_fill(~seen[:, None, None, :], -torch.inf)
    return logits.softmax(-1) @ v


SPOILERS = {
    "ex_06_modulation": {"layer_norm", "normed", "part"},
    "ex_06_mask": {"masked_fill", "inf", "infinity", "pad", "None"},
}
