"""Eight is subtracted from bytes."""

import torch


def answer(x, rows):
    blocks = rows.unflatten(1, (-1, 18))
    d = blocks[..., :2].contiguous().view(torch.float16)[..., 0].float()
    q = torch.cat([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], dim=-1) - 8
    inputs = x.unflatten(1, (-1, 32))
    scale = inputs.abs().amax(-1) / 127
    steps = inputs / torch.where(scale > 0, scale, 1.0).unsqueeze(-1)
    sums = torch.einsum("nbi,obi->nob", steps.round().int(), q.int())
    return torch.einsum("nob,nb,ob->no", sums.float(), scale.half().float(), d)


HINT = "a byte has no sign"
