"""Cuts both matrices before they meet."""

import torch


def answer(A, B, alpha, rank):
    u, a, vh = torch.linalg.svd(A, full_matrices=False)
    U, b, Vh = torch.linalg.svd(B, full_matrices=False)
    middle = (Vh[:rank] @ u[:, :rank]) * a[:rank]
    return middle @ vh[:rank], alpha / len(A) * (U * b)[:, :rank]


HINT = "cut by itself"
