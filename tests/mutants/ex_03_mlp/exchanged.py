"""Gates the gate with what is to be gated."""

import torch.nn.functional as F


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return (F.silu(u) * g) @ down.T


HINT = "gate and up are exchanged"
