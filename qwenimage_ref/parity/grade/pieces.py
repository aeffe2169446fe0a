"""Single functions of the networks on small random inputs, for `make grade`.

Whole networks are compared with diffusers and transformers. A single function is compared with the
package's own, which passes those comparisons; so a learner gets credit function by function. The
same lines run in the learner's process and beside the reference, each with its own modules.
"""

import torch

from ... import mmdit, text_encoder, vae
from .cases import MMDIT, SMALL_VAE, TEXT, noise, token_ids

D, H, T, I = 24, 3, 4, 5  # noqa: E741
TIMES = torch.tensor([0, 0, 0, 1, 1])  # the noise level, of two, that a token uses
MASK = torch.arange(T) < torch.tensor([[T], [2]])


def _filled(network: torch.nn.Module) -> torch.nn.Module:
    """The network with weights that depend on the order and the shape of its parameters only."""
    for number, parameter in enumerate(network.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=number)
    return network.eval()


def _turns(tokens: int, seed: int) -> torch.Tensor:
    """Random rotations of `tokens` tokens: complex numbers of length 1, (S, K/2)"""
    angles = noise(tokens, D // H // 2, seed=seed)
    return torch.polar(torch.ones_like(angles), angles)


def _streams() -> tuple[torch.Tensor, torch.Tensor]:
    return noise(2, I, D), noise(2, T, D, seed=1)


def _attention():
    network = _filled(mmdit.JointAttention(D, H))
    yield network(*_streams(), _turns(I, 5), _turns(T, 6))
    yield network(*_streams(), _turns(I, 5), _turns(T, 6), mmdit.visible(MASK, None, I))


def _block():
    network, turns = _filled(mmdit.Block(D, H)), (_turns(I, 5), _turns(T, 6))
    yield network(*_streams(), noise(2, 1, D, seed=2), *turns)
    yield network(*_streams(), noise(2, 2, D, seed=2), *turns, times=TIMES)


def _modulation():
    network = _filled(mmdit.Modulation(D))
    yield network(noise(2, 1, D))
    yield network(noise(2, 2, D), TIMES)


def _mmdit():
    return _filled(mmdit.MMDiT(MMDIT))


def _call(grids, seed: int) -> tuple:
    """img, txt, sigma and grids of one call"""
    tokens = sum(frames * rows * cols for frames, rows, cols in grids)
    img = noise(2, tokens, MMDIT.in_channels, seed=seed)
    return img, noise(2, T, MMDIT.joint_attention_dim, seed=1), torch.tensor([0.3, 0.8]), grids


def _layer(network, mask=None):
    cos, sin = text_encoder.rotation_table(torch.arange(7).expand(3, 2, 7), TEXT)
    return network(noise(2, 7, TEXT.hidden_size), cos.unsqueeze(1), sin.unsqueeze(1), mask)


def _rotation_table():
    places = torch.arange(7).expand(3, 2, 7) * torch.tensor([1, 2, 3]).view(3, 1, 1)
    return text_encoder.rotation_table(places, TEXT)


def _vae():
    return _filled(vae.VAE(SMALL_VAE))


PIECES = {  # name of a part: what it computes
    "text encoder: RMSNorm.forward": lambda: _filled(text_encoder.RMSNorm(12, 1e-6))(
        0.01 * noise(2, 5, 12)
    ),
    "text encoder: rotation_table": _rotation_table,
    "text encoder: rotate_half": lambda: text_encoder.rotate_half(
        noise(2, 3, 5, 8), noise(2, 1, 5, 8, seed=1), noise(2, 1, 5, 8, seed=2)
    ),
    "text encoder: MLP.forward": lambda: _filled(text_encoder.MLP(TEXT))(
        noise(2, 5, TEXT.hidden_size)
    ),
    "text encoder: Attention.forward": lambda: _layer(_filled(text_encoder.Attention(TEXT))),
    "text encoder: Layer.forward": lambda: _layer(_filled(text_encoder.Layer(TEXT))),
    "text encoder: TextEncoder.embed": lambda: _filled(text_encoder.TextEncoder(TEXT)).embed(
        token_ids(2, 7)
    ),
    "vae: Norm.forward": lambda: _filled(vae.Norm(6))(noise(2, 6, 3, 5)),
    "vae: ResBlock.forward": lambda: _filled(vae.ResBlock(6, 8))(noise(2, 6, 3, 5)),
    "vae: Attention.forward": lambda: _filled(vae.Attention(6))(noise(2, 6, 3, 5)),
    "vae: MidBlock.forward": lambda: _filled(vae.MidBlock(6))(noise(2, 6, 3, 5)),
    "vae: Downsample.forward": lambda: _filled(vae.Downsample(6, False))(noise(2, 6, 6, 10)),
    "vae: UpConv.forward": lambda: _filled(vae.UpConv(6))(noise(2, 6, 3, 5)),
    "vae: Upsample.forward": lambda: _filled(vae.Upsample(6, False))(noise(2, 6, 3, 5)),
    "vae: Encoder.forward": lambda: _vae().encoder(noise(1, 3, 16, 24)),
    "vae: Decoder.forward": lambda: _vae().decoder(noise(1, SMALL_VAE.z_dim, 2, 3)),
    "mmdit: RMSNorm.forward": lambda: _filled(mmdit.RMSNorm(12))(0.01 * noise(2, 5, 12)),
    "mmdit: layer_norm": lambda: mmdit.layer_norm(0.01 * noise(2, 5, 12)),
    "mmdit: modulate": lambda: mmdit.modulate(
        noise(2, 5, 12), noise(2, 1, 12, seed=1), noise(2, 1, 12, seed=2)
    ),
    "mmdit: TimestepEmbedder.forward": lambda: _filled(mmdit.TimestepEmbedder(D))(
        torch.tensor([[0.3, 0.0], [0.9, 0.5]])
    ),
    "mmdit: TimeTextEmbed.forward": lambda: _filled(mmdit.TimeTextEmbed(D, True))(
        torch.tensor([[0.3], [0.9]])
    ),
    "mmdit: Modulation.forward": _modulation,
    "mmdit: GELUProjection.forward": lambda: _filled(mmdit.GELUProjection(D))(noise(2, I, D)),
    "mmdit: MLP.forward": lambda: _filled(mmdit.MLP(D))(noise(2, I, D)),
    "mmdit: visible": lambda: mmdit.visible(MASK, None, I).float(),
    "mmdit: JointAttention.forward": _attention,
    "mmdit: Block.forward": _block,
    "mmdit: FinalNorm.forward": lambda: _filled(mmdit.FinalNorm(D))(
        noise(2, I, D), noise(2, 1, D, seed=2)
    ),
    "mmdit: MMDiT.rotations": lambda: _mmdit().rotations([(1, 3, 5), (1, 2, 2)], T),
    "mmdit: MMDiT.times": lambda: _mmdit().times(torch.tensor([0.3, 0.8]), 3, 5)[1],
    "mmdit: MMDiT.embed": lambda: _mmdit().embed(*_call([(1, 3, 5)], 0)),
    "mmdit: MMDiT.velocity": lambda: _mmdit().velocity(
        noise(2, I, MMDIT.inner_dim), [noise(2, 1, MMDIT.inner_dim, seed=2)]
    ),
    "mmdit: MMDiT.many": lambda: _mmdit().many([_call([(1, 3, 5)], 0), _call([(1, 2, 4)], 3)]),
}


@torch.no_grad()
def values(name: str) -> list[torch.Tensor]:
    """All tensors that a piece computes, in order."""
    return [*_tensors(PIECES[name]())]


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif value is not None:
        for one in value:
            yield from _tensors(one)
