"""The language tower as a writer: what Qwen2.5-VL says of a picture, a token at a time.

The layered model describes pictures by itself where no prompt is given. The other models read with
the same tower and never write, so they have neither `lm_head` nor the memory of past tokens.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .config import TextEncoderConfig
from .text_encoder import Attention, TextEncoder, rotate_half

REPETITION_PENALTY = 1.05  # the official generation_config.json
# that file also says top_k 1: whatever its temperature, the likeliest token is always drawn


class Past:
    """Keys and values of the tokens that one layer has seen, (B, H_kv, T, K) each."""

    def __init__(self):
        self.keys, self.values = None, None

    def extend(self, keys, values):
        """Those of new tokens -> those of all tokens"""
        if self.keys is not None:
            keys = torch.cat([self.keys, keys], dim=2)
            values = torch.cat([self.values, values], dim=2)
        self.keys, self.values = keys, values
        return keys, values


class RememberingAttention(Attention):
    """(B, T, D) -> (B, T, D): new tokens see those that were passed before, too"""

    def forward(self, x, cos, sin, past=None):
        # careful: a layer passes its mask on, whatever it is; here it is a Past or a mask
        if not isinstance(past, Past):
            return super().forward(x, cos, sin, past)
        q, k, v = map(self._heads, (self.q_proj(x), self.k_proj(x), self.v_proj(x)))
        q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)
        k, v = (x.repeat_interleave(self.group, dim=1) for x in past.extend(k, v))
        # all at once in the first pass, then one by one: a single token sees all before it
        out = F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class Captioner(TextEncoder):
    """A TextEncoder that also writes: with `lm_head`, which scores every token as the next one"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__(config)
        for layer in self.model.layers:
            layer.self_attn = RememberingAttention(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @torch.no_grad()
    def write(self, ids, positions, image_states, most: int, ends: set[int]) -> list[int]:
        """(1, T), (3, 1, T), (N, D) -> at most `most` ids that follow, the likeliest each time

        positions: time, row and column of each token. ends: ids behind which nothing follows; the
        last one is returned, too. Source: transformers' `generate`, greedy with a penalty.
        """
        pasts = [Past() for _ in self.model.layers]
        written, place = [], positions.max() + 1
        seen = torch.zeros(self.config.vocab_size, dtype=torch.bool, device=ids.device)
        states = self._step(ids, positions, image_states, pasts)
        while True:
            seen[ids.flatten()] = True
            id = self.scores(states[:, -1:], seen).argmax().item()
            written.append(id)
            if len(written) == most or id in ends:
                return written
            ids = torch.tensor([[id]], device=ids.device)
            states = self._step(ids, place.expand(3, 1, 1), None, pasts)
            place = place + 1

    def _step(self, ids, positions, image_states, pasts: list[Past]):
        """New tokens (1, T) -> their states (1, T, D); `pasts` grow, one for each layer"""
        x, (cos, sin, _) = self.embed(ids, None, positions, image_states)
        for layer, past in zip(self.model.layers, pasts):
            x = layer(x, cos, sin, past)
        return self.model.norm(x)

    def scores(self, state, seen):
        """(1, 1, D), (V,) -> (V,): each token's score, lower where it occurred before

        seen: true for the ids that occurred, in the question as well.
        """
        # float32: in bf16 many scores are equal, and the first of them would win
        scores = self.lm_head(state).flatten().float()
        penalised = torch.where(
            scores < 0, scores * REPETITION_PENALTY, scores / REPETITION_PENALTY
        )
        return torch.where(seen, penalised, scores)
