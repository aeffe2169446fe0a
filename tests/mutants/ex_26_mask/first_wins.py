"""A token has one region."""

import torch

HINT = "may lie in several regions"


def answer(lengths, seen):
    seen = torch.cat([seen & (seen.cumsum(0) == 1), torch.ones_like(seen[:1])])
    T = sum(lengths)
    mask = torch.ones(T + seen.shape[1], T + seen.shape[1], dtype=torch.bool)
    mask[:T, :T] = False
    begin = 0
    for length, own in zip(lengths, seen):
        text = slice(begin, begin + length)
        mask[text, text] = True
        mask[text, T:] = own
        mask[T:, text] = own.unsqueeze(1)
        begin += length
    return mask
