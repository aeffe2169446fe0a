"""The root in one matrix, nothing in the other."""

import torch


def answer(A, B, alpha, rank):
    (q, left), (p, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    u, values, vh = torch.linalg.svd(left @ right.T)
    return vh[:rank] @ p.T, alpha / len(A) * q @ (u * values.sqrt())[:, :rank]


HINT = "half a power"
