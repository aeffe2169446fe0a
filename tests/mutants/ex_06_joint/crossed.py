"""Cross-attention both ways."""

import torch


def answer(txt, img):
    def cross(q, k, v):
        weights = (torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5).softmax(-1)
        return torch.einsum("bhsr,brhk->bshk", weights, v).flatten(2)

    return cross(txt[0], img[1], img[2]), cross(img[0], txt[1], txt[2])


HINT = "only the other one"
