"""Cuts A and leaves B as it is."""

import torch


def answer(A, B, alpha, rank):
    u, values, vh = torch.linalg.svd(A, full_matrices=False)
    return vh[:rank], alpha / len(A) * B @ (u * values)[:, :rank]


HINT = "best for A alone"
