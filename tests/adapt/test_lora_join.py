"""Several adapters as one: the sum of their products, exactly, whatever their ranks."""

import pytest
import torch
from helpers.nets import filled, model, velocity

from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.lora_join import join


def written(tmp_path, name, rank, seed):
    mmdit = model()
    filled(lora.inject(mmdit, lora.TARGETS["diffusers"], rank, alpha=1.5, seed=seed), seed)
    lora.save(mmdit, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def files(tmp_path):
    return [written(tmp_path, "a.safetensors", 2, 1), written(tmp_path, "b.safetensors", 3, 2)]


def test_the_joined_adapter_paints_as_all_of_them_at_their_weights(files):
    separate, together = model(), model()
    for file, weight in zip(files, (0.25, -2.0)):
        lora.load(separate, file, scale=weight)
    adapter = join(together, files, [0.25, -2.0])
    assert {pair.rank for pair in adapter.pairs.values()} == {5}
    torch.testing.assert_close(velocity(together), velocity(separate), rtol=1e-5, atol=1e-6)


def test_without_weights_the_mean_is_taken(files):
    both, one = model(), model()
    join(both, [files[0], files[0]])
    lora.load(one, files[0])
    torch.testing.assert_close(velocity(both), velocity(one), rtol=1e-5, atol=1e-6)


def test_the_joined_adapter_is_saved_like_any_other(files, tmp_path):
    mmdit, again = model(), model()
    join(mmdit, files)
    lora.save(mmdit, tmp_path / "joined.safetensors")
    lora.load(again, tmp_path / "joined.safetensors")
    torch.testing.assert_close(velocity(again), velocity(mmdit), rtol=1e-6, atol=1e-6)


def test_weights_must_be_as_many_as_files(files):
    with pytest.raises(lora.LoRAError, match="weights must be 2, one a file, got 1"):
        join(model(), files, [1.0])


def test_a_file_with_full_differences_is_refused_and_nothing_stays_on_the_model(tmp_path):
    mmdit, file = model(), tmp_path / "full.safetensors"
    name = "transformer_blocks.0.attn.to_q"
    weight = torch.ones(32, 32)
    lora.LoRA(mmdit, {}, {name: lora.Difference(weight, None)})
    lora.save(mmdit, file)
    fresh = model()
    with pytest.raises(lora.LoRAError, match="pairs of matrices alone"):
        join(fresh, [file])
    assert lora.adapters(fresh) == []
