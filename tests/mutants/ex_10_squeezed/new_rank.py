"""Divides alpha by the new rank."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(alpha / rank * left @ right.T)
    return vh[:rank] @ p.T, q @ (u * values)[:, :rank]


HINT = "divided by the new rank"
