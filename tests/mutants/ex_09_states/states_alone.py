"""Gives no mask."""

import torch


def answer(parts, prompts):
    start, pad = parts.tokenizer.prefix_length, parts.tokenizer.pad_id
    rows = [parts.tokenizer.encode_prompt(prompt) for prompt in prompts]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    real = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    mask = None if real.all() else real
    states = parts.text_encoder(ids, mask) * real.unsqueeze(-1)
    return states[:, start:]


HINT = "give two things"
