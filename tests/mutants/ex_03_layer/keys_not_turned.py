"""Turns the queries alone."""

import torch

from qwenimage_ref.course.answers import EX_03_GQA, EX_03_MLP, EX_03_ROTARY


def answer(layer, x, theta):
    attn, mlp, places = layer.self_attn, layer.mlp, torch.arange(x.shape[1])
    y = layer.input_layernorm(x)
    q, k, v = (
        m(y).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2)
        for m in (attn.q_proj, attn.k_proj, attn.v_proj)
    )
    q, k, v = EX_03_ROTARY(q, places, theta), k, v
    out = attn.o_proj(EX_03_GQA(q, k, v).transpose(1, 2).flatten(2))
    x = x + out
    y = layer.post_attention_layernorm(x)
    out = EX_03_MLP(y, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
    return x + out


HINT = "the keys are not"
