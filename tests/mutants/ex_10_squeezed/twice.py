"""Scales both matrices by the whole fraction."""

import torch


def answer(A, B, alpha, rank):
    A, B = alpha / len(A) * A, alpha / len(A) * B
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(left @ right.T)
    return vh[:rank] @ p.T, q @ (u * values)[:, :rank]


HINT = "which therefore counts twice"
