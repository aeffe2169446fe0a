"""Takes the first of the six for the scale."""

import torch.nn.functional as F

from qwenimage_ref.course.answers import EX_06_HEADS, EX_06_JOINT, EX_06_MODULATION


def norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def answer(block, img, txt, temb, img_rotation, txt_rotation):
    attn, H = block.attn, block.attn.heads
    img_scale, img_shift, img_gate, *img_rest = block.img_mod(temb)
    txt_scale, txt_shift, txt_gate, *txt_rest = block.txt_mod(temb)
    x = norm(img) * (1 + img_scale) + img_shift
    y = norm(txt) * (1 + txt_scale) + txt_shift
    img_q = EX_06_HEADS(attn.to_q(x), H, attn.norm_q.weight, img_rotation)
    txt_q = EX_06_HEADS(attn.add_q_proj(y), H, attn.norm_added_q.weight, txt_rotation)
    img_k = EX_06_HEADS(attn.to_k(x), H, attn.norm_k.weight, img_rotation)
    txt_k = EX_06_HEADS(attn.add_k_proj(y), H, attn.norm_added_k.weight, txt_rotation)
    img_v, txt_v = (v.unflatten(-1, (H, -1)) for v in (attn.to_v(x), attn.add_v_proj(y)))
    txt_out, img_out = EX_06_JOINT((txt_q, txt_k, txt_v), (img_q, img_k, img_v))
    img = img + img_gate * attn.to_out(img_out)
    txt = txt + txt_gate * attn.to_add_out(txt_out)
    img = EX_06_MODULATION(img, *img_rest, block.img_mlp)
    txt = EX_06_MODULATION(txt, *txt_rest, block.txt_mlp)
    return img, txt


HINT = "the fault is in attention's half"
