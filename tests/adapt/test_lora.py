"""LoRA on a model: what is added, where, how it is trained, merged, saved and taken off."""

import copy
import errno
import gc
import os
import weakref

import pytest
import torch
from helpers.nets import SMALL, filled, model, velocity

from qwenimage_ref.adapt import lora, lora_files
from qwenimage_ref.checkpoint import fingerprint, save
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT

LINEARS_A_BLOCK = 14


def by_hand(mmdit, adapter, scale=1.0):
    """Another model whose weights hold the adapter."""
    other = model()
    for name, pair in adapter.named_pairs().items():
        other.get_submodule(name).weight.data += scale * pair.delta()
    return other


def test_what_the_module_offers_is_there():
    assert all(hasattr(lora, name) for name in lora.__all__)


# -- injecting


@pytest.mark.parametrize(
    "trainer, rank, modules, parameters",
    [
        ("DiffSynth", 32, 720, 235_929_600),
        ("musubi", 16, 840, 147_456_000),
        ("Lightning", 64, 720, 424_673_280),
        ("diffusers", 4, 240, 5_898_240),
    ],
)
def test_the_targets_of_public_trainers_have_their_published_sizes(
    trainer, rank, modules, parameters
):
    sizes = {}
    with torch.device("meta"):
        official = MMDiT(MMDiTConfig())
        for pattern in lora.TARGETS[trainer]:
            for name, linear in lora.named_linears(official).items():
                if lora.fnmatchcase(name, pattern):
                    sizes[name] = rank * (linear.in_features + linear.out_features)
    assert (len(sizes), sum(sizes.values())) == (modules, parameters)


def test_a_new_adapter_changes_nothing():
    plain = velocity(model())
    mmdit = model()
    lora.inject(mmdit, lora.TARGETS["musubi"], rank=3)
    assert torch.equal(velocity(mmdit), plain)


def test_the_down_matrix_is_drawn_evenly_up_to_one_over_the_root_of_its_width():
    drawn = lora.inject(model(), "proj_out", rank=400).named_pairs()["proj_out"].lora_A.detach()
    bound = SMALL.inner_dim**-0.5
    assert drawn.shape == (400, SMALL.inner_dim)
    assert drawn.min() == pytest.approx(-bound, rel=0.01)
    assert drawn.max() == pytest.approx(bound, rel=0.01)
    assert drawn.std() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_an_adapter_lies_where_its_model_does(tmp_path):
    lora.inject(mmdit := model(), lora.TARGETS["musubi"], rank=2)
    lora.save(mmdit, tmp_path / "mine.safetensors")
    on_meta = model().to("meta")
    injected = lora.inject(on_meta, lora.TARGETS["musubi"], rank=2)
    loaded = lora.load(on_meta, tmp_path / "mine.safetensors").adapter
    for adapter in (injected, loaded):
        assert {p.device.type for p in adapter.parameters()} == {"meta"}


def test_a_loaded_adapter_is_not_trained(tmp_path):
    lora.inject(mmdit := model(), lora.TARGETS["musubi"], rank=2)
    lora.save(mmdit, tmp_path / "mine.safetensors")
    adapter = lora.load(model(), tmp_path / "mine.safetensors").adapter
    assert not any(p.requires_grad for p in adapter.parameters())


def test_an_adapter_adds_its_product_scaled_by_alpha_over_rank():
    mmdit = model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=3, alpha=1.5))
    pair = adapter.named_pairs()["transformer_blocks.1.attn.to_q"]
    assert torch.equal(pair.delta(), 0.5 * (pair.lora_B @ pair.lora_A))
    torch.testing.assert_close(velocity(mmdit), velocity(by_hand(mmdit, adapter)))


def test_the_scale_may_be_changed_at_any_time_and_zero_is_the_model_itself():
    mmdit, plain = model(), velocity(model())
    adapter = filled(lora.inject(mmdit, "transformer_blocks.0.attn.to_v", rank=2))
    adapter.scale = 0.25
    torch.testing.assert_close(velocity(mmdit), velocity(by_hand(mmdit, adapter, 0.25)))
    adapter.scale = 0
    assert torch.equal(velocity(mmdit), plain)


def test_inside_off_the_model_computes_without_the_adapter():
    mmdit, plain = model(), velocity(model())
    adapter = filled(lora.inject(mmdit, "transformer_blocks.0.attn.to_v", rank=2))
    adapter.scale = 0.25
    with adapter.off():
        assert torch.equal(velocity(mmdit), plain)
    assert adapter.scale == 0.25


def test_several_adapters_add_up():
    mmdit, target = model(), "transformer_blocks.0.attn.to_v"
    first = filled(lora.inject(mmdit, target, rank=2))
    second = filled(lora.inject(mmdit, target, rank=5, seed=1), seed=4)
    other = by_hand(mmdit, first)
    other.get_submodule(target).weight.data += second.named_pairs()[target].delta()
    torch.testing.assert_close(velocity(mmdit), velocity(other))
    assert lora.adapters(mmdit) == [first, second]


def test_an_adapter_that_is_removed_leaves_the_model_as_it_was():
    mmdit, plain = model(), velocity(model())
    adapter = filled(lora.inject(mmdit, lora.TARGETS["diffusers"], rank=2))
    assert not torch.equal(velocity(mmdit), plain)
    lora.merge(mmdit)
    adapter.remove()
    assert torch.equal(velocity(mmdit), plain) and lora.adapters(mmdit) == []


def test_the_model_keeps_its_names_and_its_fingerprint():
    mmdit, plain = model(), model()
    lora.inject(mmdit, lora.TARGETS["musubi"], rank=2)
    assert list(mmdit.state_dict()) == list(plain.state_dict())
    assert fingerprint(mmdit) == fingerprint(plain)


def test_the_weights_of_an_adapter_are_named_after_their_layers_with_underscores_for_dots():
    adapter = lora.inject(model(), ["transformer_blocks.1.attn.to_q"], rank=3)
    names = [name for name, _ in adapter.named_parameters()]
    flat = "pairs.transformer_blocks_1_attn_to_q"
    assert sorted(names) == [f"{flat}.lora_A", f"{flat}.lora_B"]


def test_only_the_adapter_is_trained():
    mmdit = model()
    adapter = lora.inject(mmdit, lora.TARGETS["musubi"], rank=2)
    assert not any(p.requires_grad for p in mmdit.parameters())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in adapter.parameters())


def test_the_last_block_has_modules_that_no_gradient_reaches():
    mmdit = model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
    with torch.enable_grad():
        velocity.__wrapped__(mmdit).pow(2).mean().backward()
    still = {
        name
        for name, pair in adapter.named_pairs().items()
        if pair.lora_A.grad is None or not pair.lora_A.grad.any()
    }
    last = "transformer_blocks.1."
    assert still == {f"{last}{n}" for n in ("attn.to_add_out", "txt_mlp.net.0.proj",
                                            "txt_mlp.net.2", "attn.add_q_proj")}  # fmt: skip


def test_a_pattern_that_nothing_fits_is_refused():
    with pytest.raises(
        lora.LoRAError, match=r"must fit a linear layer, got blocks\.\*; the model has"
    ):
        lora.inject(model(), "blocks.*", rank=2)


def test_a_rank_of_nothing_is_refused():
    with pytest.raises(lora.LoRAError, match="rank must be at least 1, got 0"):
        lora.inject(model(), "*", rank=0)


@pytest.mark.parametrize("alpha", [0, float("nan"), float("inf"), 1e-40, 10**400])
def test_an_alpha_that_no_file_could_hold_is_refused(alpha):
    with pytest.raises(lora.LoRAError, match="alpha must be finite and non-zero, got"):
        lora.inject(model(), "*", rank=1, alpha=alpha)


def test_a_new_adapter_is_drawn_from_seed_zero_unless_another_is_given():
    drawn = {}
    for name, seed in (("default", {}), ("zero", {"seed": 0}), ("one", {"seed": 1})):
        adapter = lora.inject(model(), "transformer_blocks.0.attn.to_q", rank=2, **seed)
        (drawn[name],) = adapter.pairs.values()
    assert torch.equal(drawn["default"].lora_A, drawn["zero"].lora_A)
    assert not torch.equal(drawn["default"].lora_A, drawn["one"].lora_A)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_a_pair_in_half_precision_computes_in_the_type_of_the_layer(stored):
    generator = torch.Generator().manual_seed(0)
    x, y, A, B = (
        torch.randn(size, generator=generator) for size in ((2, 3, 8), (2, 3, 6), (4, 8), (6, 4))
    )
    small = lora.Pair(A.to(stored), B.to(stored), alpha=2)
    rounded = lora.Pair(A.to(stored).float(), B.to(stored).float(), alpha=2)
    assert small(x, y).dtype == torch.float32 and torch.equal(small(x, y), rounded(x, y))


def test_a_copied_model_has_an_adapter_of_its_own():
    mmdit, plain = model(), velocity(model())
    filled(lora.inject(mmdit, "transformer_blocks.0.attn.to_v", rank=2))
    adapted, copied = velocity(mmdit), copy.deepcopy(mmdit)
    (its_own,) = lora.adapters(copied)
    its_own.scale = 0
    assert torch.equal(velocity(copied), plain) and torch.equal(velocity(mmdit), adapted)
    its_own.remove()
    assert lora.adapters(copied) == [] and len(lora.adapters(mmdit)) == 1


def test_an_adapter_does_not_keep_its_model_alive():
    mmdit = model()
    adapter = lora.inject(mmdit, "*", rank=1)
    gone = weakref.ref(mmdit)
    del mmdit
    gc.collect()
    assert gone() is None and adapter.pairs


# -- merging


def test_merged_equals_unmerged_and_unmerging_gives_every_bit_back():
    mmdit, plain = model().to(torch.bfloat16), model().to(torch.bfloat16)
    filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
    apart = velocity(mmdit, torch.bfloat16)
    lora.merge(mmdit)
    together = velocity(mmdit, torch.bfloat16)
    assert (apart - together).abs().max() < 0.05 * apart.abs().max()
    lora.unmerge(mmdit)
    for name, weight in mmdit.state_dict().items():
        assert torch.equal(weight, plain.state_dict()[name]), name
    assert torch.equal(velocity(mmdit, torch.bfloat16), apart)


def test_two_adapters_are_summed_in_float32_and_rounded_once():
    target = "transformer_blocks.0.attn.to_v"
    mmdit = model().to(torch.bfloat16)
    before = mmdit.get_submodule(target).weight.float()
    first = filled(lora.inject(mmdit, target, rank=2))
    second = filled(lora.inject(mmdit, target, rank=3, seed=1), seed=4)
    first.scale, second.scale = 0.01, 0.02
    lora.merge(mmdit)
    sum_ = before + 0.01 * first.named_pairs()[target].delta()
    sum_ = sum_ + 0.02 * second.named_pairs()[target].delta()
    assert torch.equal(mmdit.get_submodule(target).weight, sum_.to(torch.bfloat16))


def test_merging_twice_and_unmerging_nothing_are_refused():
    mmdit = model()
    lora.inject(mmdit, "*", rank=1)
    with pytest.raises(lora.LoRAError, match="must have merged adapters to unmerge, got none"):
        lora.unmerge(mmdit)
    lora.merge(mmdit)
    with pytest.raises(lora.LoRAError, match="unmerge them first"):
        lora.merge(mmdit)
    with pytest.raises(lora.LoRAError, match="unmerge them first"):
        lora.inject(mmdit, "*", rank=1)


# -- on streamed blocks


def test_a_streamed_model_is_adapted_as_a_resident_one_and_is_not_merged(tmp_path):
    resident = model()
    save(resident, tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    for mmdit in (resident, streamed):
        filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
    assert torch.equal(velocity(streamed), velocity(resident))
    with pytest.raises(lora.LoRAError, match="it is streamed or quantised"):
        lora.merge(streamed)


# -- saving


def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path):
    mmdit, other = model(), model()
    filled(lora.inject(mmdit, lora.TARGETS["DiffSynth"], rank=3, alpha=1.5))
    lora.save(mmdit, tmp_path / "mine.safetensors")
    report = lora.load(other, tmp_path / "mine.safetensors")
    assert torch.equal(velocity(other), velocity(mmdit))
    assert str(report) == (
        "mine.safetensors: ComfyUI, 24 of 34 linear layers, rank 3, alpha 1.5 (alpha/rank 0.5), "
        "scale 1"
    )


def test_alphas_and_ranks_that_differ_are_kept(tmp_path):
    mmdit, other = model(), model()
    adapter = filled(lora.inject(mmdit, "transformer_blocks.0.attn.to_[qk]", rank=3, alpha=1.5))
    pair = adapter.named_pairs()["transformer_blocks.0.attn.to_k"]
    pair.alpha = 6.0
    pair.lora_A.data, pair.lora_B.data = pair.lora_A[:2].data, pair.lora_B[:, :2].data
    lora.save(mmdit, tmp_path / "mine.safetensors")
    report = lora.load(other, tmp_path / "mine.safetensors")
    assert torch.equal(velocity(other), velocity(mmdit))
    assert report.ranks == (2, 3) and report.alphas == (1.5, 6.0)


def test_a_model_without_an_adapter_or_with_two_has_no_file(tmp_path):
    mmdit = model()
    for count in (0, 1, 2):
        if count != 1:
            with pytest.raises(lora.LoRAError, match=f"must have one adapter to save, got {count}"):
                lora.save(mmdit, tmp_path / "mine.safetensors")
        lora.inject(mmdit, "*", rank=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_not_written(tmp_path):
    mmdit = model()
    lora.inject(mmdit, "*", rank=1)
    with pytest.raises(lora.LoRAError, match="must end in .safetensors"):
        lora.save(mmdit, tmp_path / "mine.pt")


def test_equal_adapters_are_written_with_equal_bytes_whatever_the_process(tmp_path):
    written = []
    for number in range(3):
        mmdit = model()
        filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
        lora.save(mmdit, tmp_path / f"{number}.safetensors")
        written.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert written[0] == written[1] == written[2]


@pytest.mark.skipif(os.name == "nt", reason="only Unix has a umask")
def test_a_saved_adapter_may_be_read_by_whoever_the_umask_allows(tmp_path):
    mmdit = model()
    lora.inject(mmdit, "*", rank=1)
    before = os.umask(0o022)
    try:
        lora.save(mmdit, tmp_path / "mine.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "mine.safetensors").stat().st_mode & 0o777 == 0o644


def test_on_a_full_disk_an_adapter_is_not_written_and_the_old_file_stays(tmp_path, monkeypatch):
    mmdit, file = model(), tmp_path / "mine.safetensors"
    lora.inject(mmdit, "*", rank=1)
    file.write_bytes(b"old")

    def full(_tensors, path, metadata):
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lora_files, "save_file", full)
    with pytest.raises(lora.LoRAError, match="cannot write .*: No space left on device; make room"):
        lora.save(mmdit, file)
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
