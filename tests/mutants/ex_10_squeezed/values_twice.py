"""The singular values in both matrices."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(left @ right.T)
    return (values[:, None] * vh)[:rank] @ p.T, alpha / len(A) * q @ (u * values)[:, :rank]


HINT = "which therefore count twice"
