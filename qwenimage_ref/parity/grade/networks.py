"""Small networks and the rotations, ours and the reference's, for `make grade`: findings.

Each function yields, for every comparison, where the two part, or "" where they are equal.
"""

from dataclasses import replace

import torch
from diffusers.models.transformers.transformer_qwenimage import (
    QwenEmbedRope,
    apply_rotary_emb_qwen,
)

from ... import rope
from ...config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ...mmdit import MMDiT
from ...text_encoder import TextEncoder
from ...vae import VAE
from ..reference import (
    copy_weights,
    random_weights,
    reference_mmdit,
    reference_text_encoder,
    reference_vae,
)
from ..tolerances import within
from ..trace import difference, trace

MMDIT = MMDiTConfig(
    num_layers=2,
    num_attention_heads=3,
    attention_head_dim=24,
    joint_attention_dim=40,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 8, 12),
)
TEXT = TextEncoderConfig(
    num_hidden_layers=2,
    hidden_size=48,
    num_attention_heads=6,
    num_key_value_heads=2,
    intermediate_size=56,
    vocab_size=97,
    mrope_section=(1, 1, 2),
    image_token_id=90,
)
VISION = VisionConfig(
    depth=1,
    hidden_size=32,
    num_heads=2,
    intermediate_size=40,
    out_hidden_size=48,
    fullatt_block_indexes=(0,),
)
SMALL_VAE = VAEConfig(
    base_dim=8,
    z_dim=5,
    latents_mean=(0.1, -0.2, 0.3, -0.4, 0.5),
    latents_std=(1.1, 1.2, 1.3, 1.4, 1.5),
)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(*shape):
    return torch.randint(90, shape, generator=torch.Generator().manual_seed(0))


def apart(what: str, ours, theirs, bound: float, relative=True) -> str:
    """ "" or by how much two tensors part."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        forms = [f"{tuple(one.shape)} {one.dtype}" for one in (ours, theirs)]
        return f"parts from the reference at {what}: {forms[0]}, not {forms[1]}"
    gap = difference(ours, theirs)[relative]
    if gap <= bound:  # careful: NaN is not <= anything
        return ""
    unit = " of its largest value" if relative else ""
    return f"parts from the reference at {what}: {gap:.1e}{unit} (tolerance {bound:.0e})"


# -- networks -------------------------------------------------------------------------------------


def build(kind, config, quiet=()):
    """A network with random weights; those whose names hold a word of `quiet` are small."""
    with torch.device("meta"):
        network = kind(config)
    random_weights(network, seed=1)
    for name, parameter in network.named_parameters():
        if any(word in name for word in quiet):
            parameter.mul_(0.01)
    return network


def traced(ours, theirs, inputs: dict, name: str) -> str:
    """ "" or the official name of the module at which the two networks first part."""
    bound = within(name)
    found = trace(ours, theirs, inputs, bound)
    mine, reference = found.outputs
    shapes = [[tuple(one.shape) for one in side] for side in (mine, reference)]
    if shapes[0] != shapes[1]:
        return f"parts from the reference at output: shapes {shapes[0]}, not {shapes[1]}"
    gaps = [difference(a, b, inputs.get("mask"))[1] for a, b in zip(mine, reference)]
    if all(gap <= bound for gap in gaps):
        return ""
    first = found.first
    size = f"{first.relative:.1e} of its largest value (tolerance {bound:.0e})"
    return f"parts from the reference at {first.name}: {size}"


def text_encoder(ids, pad=False, quiet=False):
    ours = build(TextEncoder, TEXT, quiet=("embed_tokens",) if quiet else ())
    theirs = reference_text_encoder(TEXT, VISION)
    copy_weights(ours, theirs, unused=("visual.", "lm_head."))
    inputs = {"ids": ids}
    if pad:
        inputs["mask"] = torch.arange(ids.shape[1]) < torch.tensor([[11], [4], [7]])
    yield traced(ours, theirs, inputs, "text_encoder")


def vae(inputs: dict):
    ours = build(VAE, SMALL_VAE)
    yield traced(ours, copy_weights(ours, reference_vae(SMALL_VAE)), inputs, "vae")


def statistics():
    ours, z = build(VAE, SMALL_VAE), noise(2, 5, 3, 4)
    mean, std = (
        torch.tensor(numbers).view(1, 5, 1, 1)
        for numbers in (SMALL_VAE.latents_mean, SMALL_VAE.latents_std)
    )
    # the formulas of diffusers' pipelines
    yield apart(
        "latents_mean and latents_std, normalize", ours.normalize(z), (z - mean) / std, 1e-6
    )
    raw = z / (1 / std) + mean
    yield apart("latents_mean and latents_std, denormalize", ours.denormalize(z), raw, 1e-6)


def mmdit(grids, pad=False, quiet=False, **flags):
    config = replace(MMDIT, **flags)
    small = ("img_in", "txt_in", "to_q", "to_k", "add_q_proj", "add_k_proj") if quiet else ()
    ours = build(MMDiT, config, small)
    batch, tokens = 2, sum(frames * rows * cols for frames, rows, cols in grids)
    inputs = {
        "img": noise(batch, tokens, config.in_channels),
        "txt": noise(batch, 7, config.joint_attention_dim, seed=1) * (0.01 if quiet else 1),
        "sigma": torch.tensor([0.37, 0.91]),
        "grids": grids,
    }
    if pad:
        inputs["txt_mask"] = torch.arange(7) < torch.tensor([[7], [4]])
    yield traced(ours, copy_weights(ours, reference_mmdit(config)), inputs, "mmdit")


# -- positions ------------------------------------------------------------------------------------

AXES = (16, 56, 56)


def _reference_rope() -> QwenEmbedRope:
    return QwenEmbedRope(theta=10000, axes_dim=list(AXES), scale_rope=True)


def rotations():
    theirs, pos = _reference_rope(), torch.tensor([-57, -1, 0, 1, 9, 700])
    expected = torch.cat([theirs.neg_freqs[pos[:2]], theirs.pos_freqs[pos[2:]]])
    ours = rope.rotations(pos.unsqueeze(1).repeat(1, 3), AXES)
    yield apart("the angles of -57, -1, 0, 1, 9, 700", ours, expected, within("rope"), False)


def positions():
    theirs = _reference_rope()
    for grids in ([(1, 4, 6)], [(1, 5, 3)], [(1, 1, 7)], [(1, 4, 6), (1, 9, 2), (1, 3, 3)]):
        expected = theirs([grids], max_txt_seq_len=11, device="cpu")
        for what, pos, reference in zip(("picture", "text"), rope.positions(grids, 11), expected):
            what = f"the {what} of grids {grids}"
            yield apart(what, rope.rotations(pos, AXES), reference, within("rope"), False)


def rotate():
    x, rotation = noise(2, 5, 3, sum(AXES)), _reference_rope().pos_freqs[3:8]
    expected = apply_rotary_emb_qwen(x, rotation, use_real=False)
    yield apart("the turned pairs", rope.rotate(x, rotation), expected, within("mmdit"))
