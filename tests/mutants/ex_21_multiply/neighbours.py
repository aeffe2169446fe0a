"""Two halves of a byte are taken for neighbours."""

import torch


def answer(x, rows):
    blocks = rows.unflatten(1, (-1, 18))
    d = blocks[..., :2].contiguous().view(torch.float16)[..., 0].float()
    q = torch.stack([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], dim=-1).flatten(-2).int() - 8
    inputs = x.unflatten(1, (-1, 32))
    scale = inputs.abs().amax(-1) / 127
    steps = inputs / torch.where(scale > 0, scale, 1.0).unsqueeze(-1)
    sums = torch.einsum("nbi,obi->nob", steps.round().int(), q)
    return torch.einsum("nob,nb,ob->no", sums.float(), scale.half().float(), d)


HINT = "sixteen inputs apart"
