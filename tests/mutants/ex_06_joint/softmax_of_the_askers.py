"""Takes the softmax over the queries."""

import torch


def answer(txt, img):
    q, k, v = (torch.cat([a, b], dim=1) for a, b in zip(txt, img))
    weights = (torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5).softmax(-2)
    merged = torch.einsum("bhsr,brhk->bshk", weights, v).flatten(2)
    T = txt[0].shape[1]
    return merged[:, :T], merged[:, T:]


HINT = "over the queries"
