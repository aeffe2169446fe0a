"""GeGLU."""

import torch.nn.functional as F


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return (F.gelu(g) * u) @ down.T


HINT = "the gate is a GELU"
