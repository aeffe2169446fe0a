"""Forgets that the old pair is scaled."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(left @ right.T)
    return vh[:rank] @ p.T, q @ (u * values)[:, :rank]


HINT = "take up the fraction"
