"""Each text token sees itself."""

import torch

HINT = "not each token itself alone"


def answer(lengths, seen):
    seen = torch.cat([seen, torch.ones_like(seen[:1])])
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
    mask[:T, :T] = torch.eye(T, dtype=torch.bool)
    return mask
