"""Chapter 03: a language model as a reader."""

import torch


def EX_03_NORM(x, weight, eps):
    """(..., D), (D,), a number -> (..., D): divided by the root of the mean square, weighted."""
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def EX_03_ROTARY(x, places, theta):
    """(B, H, T, K), (T,), a number -> (B, H, T, K): number i and number i + K/2 turn together."""
    K = x.shape[-1]
    speeds = theta ** -(torch.arange(0, K, 2) / K)
    angle = torch.outer(places, speeds)  # (T, K/2)
    a, b = x.chunk(2, dim=-1)
    turned_a = a * angle.cos() - b * angle.sin()
    turned_b = a * angle.sin() + b * angle.cos()
    return torch.cat([turned_a, turned_b], dim=-1)


def EX_03_GQA(q, k, v):
    """Every group of query heads reads one key-value head; no token sees a later one."""
    B, H, T, K = q.shape
    k = k.repeat_interleave(H // k.shape[1], dim=1)
    v = v.repeat_interleave(H // v.shape[1], dim=1)
    scores = q @ k.transpose(-1, -2) / K**0.5
    later = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v


def EX_03_MLP(y, gate, up, down):
    """(B, T, D), 2 x (F, D), (D, F) -> (B, T, D): SwiGLU"""
    g = y @ gate.T
    return (g * torch.sigmoid(g) * (y @ up.T)) @ down.T


def EX_03_LAYER(layer, x, theta):
    """(B, T, D) -> (B, T, D): attention and MLP, each of a normalised copy, each added to x."""
    attn, mlp, places = layer.self_attn, layer.mlp, torch.arange(x.shape[1])
    before, between = layer.input_layernorm, layer.post_attention_layernorm
    y = EX_03_NORM(x, before.weight, before.eps)
    q, k, v = (
        projection(y).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)
        for projection in (attn.q_proj, attn.k_proj, attn.v_proj)
    )  # (B, H or G, T, K)
    q, k = EX_03_ROTARY(q, places, theta), EX_03_ROTARY(k, places, theta)
    x = x + attn.o_proj(EX_03_GQA(q, k, v).transpose(1, 2).flatten(2))
    y = EX_03_NORM(x, between.weight, between.eps)
    return x + EX_03_MLP(y, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)


def EX_03_DROP(text_encoder, ids, start):
    """The template is read with the prompt; only then are its states thrown away."""
    return text_encoder(ids)[:, start:]


SPOILERS = {
    "ex_03_norm": {"keepdim", "sqrt", "rsqrt", "pow"},
    "ex_03_rotary": {"chunk", "cat", "outer", "stack"},
    "ex_03_mlp": {"silu", "T", "transpose"},
    "ex_03_layer": {"o_proj", "post_attention_layernorm", "transpose", "flatten"},
    "ex_03_gqa": {"repeat_interleave", "masked_fill", "triu", "tril"},
    "ex_03_drop": {"text_encoder", "start"},
}
