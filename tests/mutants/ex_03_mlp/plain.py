"""A plain MLP."""

import torch.nn.functional as F


def answer(y, gate, up, down):
    return F.silu(y @ gate.T) @ down.T


HINT = "up is not used"
