"""As over an opaque picture."""

import torch


def answer(top, bottom):
    a, b = top[3:], bottom[3:]
    return torch.cat([a * top[:3] + (1 - a) * bottom[:3], a + (1 - a) * b])


HINT = "as if its layer were opaque"
