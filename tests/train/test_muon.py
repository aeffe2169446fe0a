"""Muon does in float32 what torch's does in bfloat16."""

import pytest
import torch
from torch import nn

from qwenimage_ref.train import muon

SETTINGS = {"lr": 1.0, "weight_decay": 0.1}


def updated(kind, rows, columns, **settings):
    """A matrix after three steps of an optimiser"""
    rng = torch.Generator().manual_seed(0)
    matrix = nn.Parameter(torch.randn(rows, columns, generator=rng))
    optimiser = kind([matrix], **SETTINGS, **settings)
    for _ in range(3):
        matrix.grad = torch.randn(rows, columns, generator=rng)
        optimiser.step()
    return matrix.detach(), optimiser.state[matrix]["momentum_buffer"]


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_steps_are_those_of_torch_but_for_its_rounding(shape):
    ours, momentum = updated(muon.Muon, *shape)
    theirs, same = updated(torch.optim.Muon, *shape, adjust_lr_fn="match_rms_adamw")
    still, _ = updated(muon.Muon, *shape, nesterov=False)
    assert torch.equal(momentum, same)
    # bfloat16 has eight bits; another kind of momentum is a larger difference
    assert (ours - theirs).abs().max() < 0.03 < (still - theirs).abs().max()


def test_steps_are_those_of_torch_to_the_last_digits_if_it_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    ours, _ = updated(muon.Muon, 24, 40)
    theirs, _ = updated(torch.optim.Muon, 24, 40, adjust_lr_fn="match_rms_adamw")
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_state_of_torchs_is_continued():
    matrix = nn.Parameter(torch.zeros(4, 4))
    theirs = torch.optim.Muon([matrix], **SETTINGS)
    matrix.grad = torch.eye(4)
    theirs.step()
    before = theirs.state[matrix]["momentum_buffer"].clone()
    ours = muon.Muon([matrix], **SETTINGS)
    ours.load_state_dict(theirs.state_dict())
    matrix.grad = torch.zeros(4, 4)
    ours.step()
    assert before.any()
    torch.testing.assert_close(ours.state[matrix]["momentum_buffer"], 0.95 * before)


def test_a_matrix_without_a_gradient_stays_as_it_is():
    matrix = nn.Parameter(torch.ones(3, 3))
    muon.Muon([matrix], **SETTINGS).step()
    assert torch.equal(matrix, torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 64)])
def test_an_orthogonal_direction_keeps_singular_vectors_and_evens_the_values(shape):
    direction = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, values, vh = torch.linalg.svd(direction, full_matrices=False)
    inside = u.T @ muon.orthogonal(direction) @ vh.T
    on, off = inside.diagonal(), inside - torch.diag(inside.diagonal())
    assert off.abs().max() < 1e-4
    large = values > 0.002 * direction.norm()
    assert large.sum() > 10 and (on[large] > 0.68).all() and (on[large] < 1.21).all()
