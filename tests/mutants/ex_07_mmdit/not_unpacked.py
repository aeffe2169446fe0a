"""Returns tokens."""

from qwenimage_ref.sampler import pack


def answer(mmdit, latents, txt_states, sigma):
    rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
    img = mmdit.img_in(pack(latents))
    txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
    temb = mmdit.time_text_embed(sigma.unsqueeze(1))
    img_rotation, txt_rotation = mmdit.rotations([(1, rows, cols)], txt.shape[1])
    for block in mmdit.transformer_blocks:
        img, txt = block(img, txt, temb, img_rotation, txt_rotation)
    tokens = mmdit.proj_out(mmdit.norm_out(img, temb))
    return tokens


HINT = "of the shape of the latents"
