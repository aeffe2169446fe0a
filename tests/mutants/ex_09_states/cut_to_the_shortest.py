"""Cuts to the shortest prompt."""

import torch


def answer(parts, prompts):
    start = parts.tokenizer.prefix_length
    rows = [parts.tokenizer.encode_prompt(prompt) for prompt in prompts]
    longest = min(len(row) for row in rows)
    ids = torch.tensor([row[:longest] for row in rows])
    real = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    mask = None if real.all() else real
    states = parts.text_encoder(ids, mask) * real.unsqueeze(-1)
    return states[:, start:], mask if mask is None else mask[:, start:]


HINT = "the longest prompt has"
