"""Leaves the singular values out."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, _, vh = torch.linalg.svd(left @ right.T)
    return vh[:rank] @ p.T, alpha / len(A) * q @ u[:, :rank]


HINT = "directions count alike"
