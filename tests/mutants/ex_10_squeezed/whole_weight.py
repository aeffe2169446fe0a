"""Right, but decomposes a matrix as large as the weight."""

import torch


def answer(A, B, alpha, rank):
    u, values, vh = torch.linalg.svd(alpha / len(A) * B @ A, full_matrices=False)
    return vh[:rank], (u * values)[:, :rank]


HINT = "thin matrices"
