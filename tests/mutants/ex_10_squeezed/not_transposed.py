"""Multiplies the two small factors as they come."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(alpha / len(A) * left @ right)
    return vh[:rank] @ p.T, q @ (u * values)[:, :rank]


HINT = "which of the two is transposed"
