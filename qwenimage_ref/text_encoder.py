"""The language tower of Qwen2.5-VL: token ids to the states that the MMDiT reads."""

import torch
import torch.nn.functional as F
from torch import nn

from .config import TextEncoderConfig


class RMSNorm(nn.Module):
    """(..., D) -> (..., D)"""

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        # careful: cast to the input's type before the weight; the MMDiT's norm to the weight's
        unit = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * unit.to(x.dtype)


def rotation_table(positions, config: TextEncoderConfig):
    """(3, B, T) -> (B, T, K), (B, T, K): cosine and sine of every token's angles

    The first pairs turn with time, the next with row, the last with column (mrope_section);
    text has three equal positions, which makes this ordinary RoPE.
    """
    exponents = torch.arange(0, config.head_dim, 2, device=positions.device).float()
    # careful: one over the power, as upstream; a late token's angle multiplies the last bit
    frequencies = 1.0 / config.rope_theta ** (exponents / config.head_dim)
    angles = positions[..., None].float() * frequencies  # (3, B, T, K/2)
    sections = angles.split(config.mrope_section, dim=-1)
    angle = torch.cat([section[axis] for axis, section in enumerate(sections)], dim=-1)
    angle = torch.cat([angle, angle], dim=-1)  # (B, T, K)
    return angle.cos(), angle.sin()


def rotate_half(x, cos, sin):
    """(B, H, T, K), (B, 1, T, K), (B, 1, T, K) -> (B, H, T, K)"""
    # careful: pairs are (k, k + K/2) in the language tower, (2k, 2k + 1) in the MMDiT
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


class Attention(nn.Module):
    """(B, T, D) -> (B, T, D): causal; a few key-value heads serve groups of query heads"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        D, K = config.hidden_size, config.head_dim
        self.head_dim = K
        self.group = config.num_attention_heads // config.num_key_value_heads
        self.q_proj = nn.Linear(D, config.num_attention_heads * K)
        self.k_proj = nn.Linear(D, config.num_key_value_heads * K)
        self.v_proj = nn.Linear(D, config.num_key_value_heads * K)
        self.o_proj = nn.Linear(config.num_attention_heads * K, D, bias=False)

    def forward(self, x, cos, sin, mask=None):
        q, k, v = map(self._heads, (self.q_proj(x), self.k_proj(x), self.v_proj(x)))
        q, k = rotate_half(q, cos, sin), rotate_half(k, cos, sin)
        k = k.repeat_interleave(self.group, dim=1)  # (B, H, T, K)
        v = v.repeat_interleave(self.group, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(out.transpose(1, 2).flatten(2))

    def _heads(self, x):
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class MLP(nn.Module):
    """(B, T, D) -> (B, T, D)"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        D, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(D, inner, bias=False)
        self.up_proj = nn.Linear(D, inner, bias=False)
        self.down_proj = nn.Linear(inner, D, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """(B, T, D) -> (B, T, D)"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x, cos, sin, mask=None):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Tower(nn.Module):
    """The modules that the official file keeps under `model.`"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class TextEncoder(nn.Module):
    """Token ids to states. The official file also holds `visual.` and `lm_head.`"""

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        self.config = config
        self.model = Tower(config)

    def forward(self, ids, mask=None, positions=None, image_states=None):
        """(B, T) -> (B, T, D), after the final norm

        mask: (B, T), true where a token is real; padding belongs on the right.
        positions: (3, B, T) time, row and column of each token; None: 0, 1, 2, ... on all three.
        image_states: (N, D), taken in order by the N tokens with the id `image_token_id`.
        """
        return self.many([(ids, mask, positions, image_states)])[0]

    def many(self, calls: list[tuple]) -> list[torch.Tensor]:
        """Answers to several calls, tuples of forward's arguments, from one pass over the layers"""
        states = [self.embed(*call) for call in calls]
        for layer in self.model.layers:
            states = [(layer(x, *shared), shared) for x, shared in states]
        return [self.model.norm(x) for x, _ in states]

    def embed(self, ids, mask=None, positions=None, image_states=None):
        """Embedded tokens x (B, T, D), and what all layers share: cos, sin, mask"""
        B, T = ids.shape
        x = self.model.embed_tokens(ids)  # (B, T, D)
        if image_states is not None:
            here = (ids == self.config.image_token_id).unsqueeze(-1)
            x = x.masked_scatter(here, image_states.to(x.dtype))
        if positions is None:
            positions = torch.arange(T, device=ids.device).expand(3, B, T)
        # careful: the table is cast to the activations' type and applied in it, as upstream does
        cos, sin = (t.unsqueeze(1).to(x.dtype) for t in rotation_table(positions, self.config))
        return x, (cos, sin, None if mask is None else self._causal(mask))

    @staticmethod
    def _causal(mask):
        """(B, T) -> (B, 1, T, T): earlier real tokens, and always the token itself"""
        T = mask.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=mask.device).tril()
        itself = torch.eye(T, dtype=torch.bool, device=mask.device)
        return ((causal & mask[:, None, :].bool()) | itself)[:, None]
