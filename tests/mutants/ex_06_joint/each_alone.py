"""Each stream attends to itself."""

import torch


def answer(txt, img):
    def alone(q, k, v):
        weights = (torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5).softmax(-1)
        return torch.einsum("bhsr,brhk->bshk", weights, v).flatten(2)

    return alone(*txt), alone(*img)


HINT = "each stream sees only itself"
