"""Training a blockwise control network: from zero, through the frozen stack, to the same bits."""

import pytest
import torch
from helpers.nets import SMALL, model

from qwenimage_ref.adapt.control_files import load
from qwenimage_ref.checkpoint import save
from qwenimage_ref.train import lora
from qwenimage_ref.train.control import loss_of, new_network, train
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=6, batch=2, lr=1e-3, warmup=1, decay_from=1.0, ema=0.0)
SETTINGS = lora.Flow(sigma="uniform")
EMPTY = torch.ones(2, SMALL.joint_attention_dim)


def noise(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def examples(count=4) -> tuple[list[Encoded], list[torch.Tensor]]:
    """Data that is its control picture: what a network can learn to paint."""
    pictures = [noise(16, 4, 6, seed=n) for n in range(count)]
    return [Encoded(each, noise(3, 40, seed=100 + n)) for n, each in enumerate(pictures)], pictures


def losses(network, mmdit=None, numbers=range(4)):
    loss_at = loss_of(mmdit or model(), network, *examples(), EMPTY, RECIPE, SETTINGS)
    with torch.no_grad():
        return [loss_at(number).item() for number in numbers]


def trained(folder, mmdit=None, recipe=RECIPE, **fit):
    mmdit = mmdit or model()
    return train(mmdit, *examples(), EMPTY, recipe, SETTINGS, folder, quiet=True, **fit)


def test_a_new_network_has_the_loss_of_the_model_as_it_is():
    plain = lora.loss_of(model(), examples()[0], EMPTY, RECIPE, SETTINGS)
    with torch.no_grad():
        assert losses(new_network(model())) == [plain(number).item() for number in range(4)]


def test_the_network_learns_and_the_transformer_stays_what_it_is(tmp_path):
    mmdit, before = model(), {k: v.clone() for k, v in model().state_dict().items()}
    recipe = Recipe(steps=60, batch=2, lr=3e-3, warmup=1, decay_from=1.0, ema=0.0)
    run = trained(tmp_path, mmdit, recipe)
    assert sum(losses(run.model)) < 0.9 * sum(losses(new_network(model())))
    assert all(torch.equal(before[name], now) for name, now in mmdit.state_dict().items())


def test_the_embedding_of_the_picture_wakes_one_step_after_the_output_layers(tmp_path):
    first, second = (trained(tmp_path / str(n), until=n).model for n in (1, 2))
    assert not first.img_in.weight.any() and second.img_in.weight.any()
    assert all(block.output_proj.weight.any() for block in first.controlnet_blocks)


def test_a_stopped_run_ends_on_the_same_bits(tmp_path):
    trained(tmp_path / "stopped", until=2)
    continued, whole = trained(tmp_path / "stopped"), trained(tmp_path / "whole")
    assert continued.step == whole.step == 6
    for a, b in zip(continued.model.parameters(), whole.model.parameters()):
        assert torch.equal(a, b)


def test_recomputed_blocks_give_the_same_gradient():
    gradients = []
    for prepare in (lambda mmdit: None, recompute):
        mmdit = model().requires_grad_(False)
        prepare(mmdit)
        network = new_network(mmdit, seed=1)
        for block in network.controlnet_blocks:
            block.output_proj.weight.data.fill_(0.01)
        loss_of(mmdit, network, *examples(), EMPTY, RECIPE, SETTINGS)(0).backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients))
    assert any(gradient.any() for gradient in gradients[0])


def test_a_float32_network_is_trained_on_a_transformer_in_bf16(tmp_path):
    run = trained(tmp_path, model().to(torch.bfloat16))
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert run.model.img_in.weight.any()


def test_a_trained_network_is_saved_as_an_official_file(tmp_path):
    network = trained(tmp_path / "run").model
    save(network, tmp_path / "net", stem="model")
    assert losses(load(tmp_path / "net", model())) == losses(network)


def test_a_control_picture_of_another_size_is_one_line():
    data, pictures = examples()
    pictures[2] = pictures[2][:, :2]
    with pytest.raises(ValueError, match="size of its picture, 6x4 latents, got 6x2; crop it"):
        loss_of(model(), new_network(model()), data, pictures, EMPTY, RECIPE, SETTINGS)
