"""Every network beside diffusers' or transformers', with the same random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from qwenimage_ref import sampler
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import (
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
)
from qwenimage_ref.mmdit import FinalNorm, MMDiT, modulate
from qwenimage_ref.parity.grade import cases
from qwenimage_ref.parity.reference import (
    copy_weights,
    random_weights,
    reference_mmdit,
    reference_scheduler,
    reference_text_encoder,
    reference_vae,
    run,
)
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import assert_agreement, difference, trace
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

MMDIT = replace(cases.MMDIT, num_layers=3)
TEXT = replace(cases.TEXT, num_hidden_layers=3)
VISION = replace(cases.VISION, depth=2, fullatt_block_indexes=(1,))
SMALL_VAE, noise = cases.SMALL_VAE, cases.noise


def network(kind, config, seed=1):
    with torch.device("meta"):
        ours = kind(config)
    return random_weights(ours, seed)


def mmdit_pair(config):
    ours = network(MMDiT, config)
    return ours, copy_weights(ours, reference_mmdit(config))


def vae_pair(config):
    ours = network(VAE, config)
    return ours, copy_weights(ours, reference_vae(config))


def text_pair(config):
    ours = network(TextEncoder, config)
    theirs = reference_text_encoder(config, VISION)
    return ours, copy_weights(ours, theirs, unused=("visual.", "lm_head."))


def mmdit_inputs(config, grids, batch=1, text_length=7, **more):
    image_tokens = sum(frames * rows * cols for frames, rows, cols in grids)
    return dict(
        img=noise(batch, image_tokens, config.in_channels),
        txt=noise(batch, text_length, config.joint_attention_dim, seed=1),
        sigma=torch.linspace(0.37, 0.91, batch),
        grids=grids,
        **more,
    )


def ids_of(*shape):
    return torch.randint(90, shape, generator=torch.Generator().manual_seed(0))


# -- the MMDiT ------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(1, 5, 7), (1, 4, 6), (1, 1, 9)])
def test_one_picture_agrees_with_diffusers(grid):
    assert_agreement(*mmdit_pair(MMDIT), mmdit_inputs(MMDIT, [grid]), "mmdit")


def test_a_batch_whose_text_is_padded_anywhere_agrees_with_diffusers():
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1, 1], [1] * 7]).bool()
    inputs = mmdit_inputs(MMDIT, [(1, 5, 3)], batch=3, txt_mask=mask)
    assert_agreement(*mmdit_pair(MMDIT), inputs, "mmdit")


def test_two_condition_pictures_of_other_sizes_agree_with_diffusers():
    grids = [(1, 5, 7), (1, 3, 8), (1, 9, 2)]
    assert_agreement(*mmdit_pair(MMDIT), mmdit_inputs(MMDIT, grids, batch=2), "mmdit")


def test_condition_pictures_at_time_zero_agree_with_diffusers():
    config = replace(MMDIT, zero_cond_t=True)
    inputs = mmdit_inputs(config, [(1, 5, 7), (1, 3, 8)], batch=2)
    assert_agreement(*mmdit_pair(config), inputs, "mmdit")


def test_layers_over_a_condition_picture_agree_with_diffusers():
    config = replace(MMDIT, use_layer3d_rope=True, use_additional_t_cond=True)
    inputs = mmdit_inputs(config, [(4, 3, 2), (1, 3, 2)], batch=2)
    assert_agreement(*mmdit_pair(config), inputs, "mmdit")


def test_one_block_of_official_width_agrees_with_diffusers():
    config = replace(MMDiTConfig.official(), num_layers=1)
    assert_agreement(*mmdit_pair(config), mmdit_inputs(config, [(1, 3, 5)]), "mmdit")


# -- the text encoder -----------------------------------------------------------------------------


def test_a_prompt_agrees_with_transformers():
    assert_agreement(*text_pair(TEXT), dict(ids=ids_of(1, 13)), "text_encoder")


def test_prompts_padded_on_the_right_agree_with_transformers_where_they_are_real():
    mask = torch.arange(11) < torch.tensor([[11], [4], [7]])
    assert_agreement(*text_pair(TEXT), dict(ids=ids_of(3, 11), mask=mask), "text_encoder")


def test_the_states_are_those_that_the_diffusers_pipelines_take():
    ours, theirs = text_pair(TEXT)
    theirs.lm_head.weight = torch.nn.Parameter(noise(TEXT.vocab_size, TEXT.hidden_size))
    ids = ids_of(2, 9)
    with torch.no_grad():
        taken = theirs(ids, output_hidden_states=True).hidden_states[-1]
        assert difference(ours(ids), taken)[1] <= within("text_encoder")


def test_a_picture_inside_a_prompt_agrees_with_both_towers_of_transformers():
    text, visual = network(TextEncoder, TEXT), network(Vision, VISION, seed=2)
    theirs = reference_text_encoder(TEXT, VISION)
    copy_weights(text, theirs, unused=("visual.", "lm_head."))
    copy_weights(visual, theirs.model.visual)
    grids, patches = [(1, 10, 14)], noise(140, 1176)  # 5x7 tokens
    ids = torch.cat([ids_of(1, 4), torch.full((1, 35), TEXT.image_token_id), ids_of(1, 3)], dim=1)
    row, col = torch.arange(35) // 7, torch.arange(35) % 7
    before, after = torch.arange(4), torch.arange(11, 14)  # text goes on after the longer side
    positions = torch.stack(
        [
            torch.cat([before, torch.full((35,), 4), after]),
            torch.cat([before, 4 + row, after]),
            torch.cat([before, 4 + col, after]),
        ]
    ).unsqueeze(1)
    with torch.no_grad():
        ours = text(ids, positions=positions, image_states=visual(patches, grids))
        expected = theirs.model(
            ids,
            pixel_values=patches,
            image_grid_thw=torch.tensor(grids),
            mm_token_type_ids=(ids == TEXT.image_token_id).int(),
        ).last_hidden_state
    assert difference(ours, expected)[1] <= within("vision")  # its sums are the ones that differ


def test_one_text_layer_of_official_width_agrees_with_transformers():
    config = replace(TextEncoderConfig.official(), num_hidden_layers=1, vocab_size=101)
    assert_agreement(*text_pair(config), dict(ids=ids_of(1, 17)), "text_encoder")


# -- the VAE --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
def test_pictures_of_odd_latent_size_are_encoded_as_diffusers_does(channels):
    config = replace(SMALL_VAE, input_channels=channels)
    assert_agreement(*vae_pair(config), dict(img=noise(2, channels, 24, 56).clamp(-1, 1)), "vae")


@pytest.mark.parametrize("channels", [3, 4], ids=["RGB", "RGBA"])
def test_latents_of_odd_size_are_decoded_as_diffusers_does(channels):
    config = replace(SMALL_VAE, input_channels=channels)
    assert_agreement(*vae_pair(config), dict(z=noise(2, 5, 3, 7)), "vae")


def test_temporal_taps_and_convolutions_that_we_drop_never_touch_a_still_picture():
    ours, theirs = vae_pair(SMALL_VAE)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "time_conv" in name:
                parameter.normal_()
            elif parameter.ndim == 5 and parameter.shape[2] == 3:
                parameter[:, :, :2].normal_()
    assert_agreement(ours, theirs, dict(img=noise(1, 3, 16, 24).clamp(-1, 1)), "vae")
    assert_agreement(ours, theirs, dict(z=noise(1, 5, 2, 3)), "vae")


def test_the_official_vae_agrees_with_diffusers_both_ways():
    ours, theirs = vae_pair(VAEConfig.official())
    assert_agreement(ours, theirs, dict(img=noise(1, 3, 64, 64).clamp(-1, 1)), "vae")
    assert_agreement(ours, theirs, dict(z=noise(1, 16, 8, 8)), "vae")


# -- the sampler ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps, image_tokens", [(2, 64), (20, 64), (50, 6889)])
def test_sigmas_equal_those_of_the_diffusers_pipelines(steps, image_tokens):
    config = SchedulerConfig.official()
    theirs = reference_scheduler(config)
    mu = 0.5 + (image_tokens - 256) * 0.4 / 7936
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=mu)
    ours = sampler.sigmas(steps, image_tokens, config)
    assert difference(ours, theirs.sigmas)[0] <= within("sigmas")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_euler_steps_equal_those_of_diffusers_to_the_last_bit(dtype):
    theirs = reference_scheduler(SchedulerConfig.official())
    theirs.set_timesteps(sigmas=torch.linspace(1, 0.2, 5).tolist(), mu=0.6)
    ours = expected = noise(1, 15, 20).to(dtype)
    for i, t in enumerate(theirs.timesteps):
        velocity = noise(1, 15, 20, seed=i).to(dtype)
        ours = sampler.euler_step(ours, velocity, theirs.sigmas[i], theirs.sigmas[i + 1])
        expected = theirs.step(velocity, t, expected).prev_sample
    assert torch.equal(ours, expected)


# -- the trace ------------------------------------------------------------------------------------


def plant(theirs, name):
    """Change one weight of the twin, in a copy: the twin's tensors are ours."""
    module = theirs.get_submodule(name)
    module.weight = torch.nn.Parameter(module.weight.detach() + 0.1 * module.weight.std())


@pytest.mark.parametrize(
    "name",
    [
        "img_in",
        "txt_norm",
        "time_text_embed.timestep_embedder.linear_2",
        "transformer_blocks.0.attn.norm_added_k",
        "transformer_blocks.1.attn.add_v_proj",
        "transformer_blocks.1.txt_mlp.net.2",
        "proj_out",
    ],
)
def test_trace_names_the_module_of_the_mmdit_that_was_changed(name):
    ours, theirs = mmdit_pair(MMDIT)
    plant(theirs, name)
    assert trace(ours, theirs, mmdit_inputs(MMDIT, [(1, 3, 5)])).first.name == name


def test_trace_names_the_module_of_the_vae_that_was_changed():
    ours, theirs = vae_pair(SMALL_VAE)
    plant(theirs, "decoder.up_blocks.1.resnets.0.conv1")
    found = trace(ours, theirs, dict(z=noise(1, 5, 2, 3)))
    assert found.first.name == "decoder.up_blocks.1.resnets.0.conv1"


def test_trace_names_the_changed_text_module_as_the_file_on_disk_does():
    ours, theirs = text_pair(TEXT)
    plant(theirs, "model.language_model.layers.1.mlp.up_proj")
    found = trace(ours, theirs, dict(ids=ids_of(1, 5)))
    assert found.first.name == "model.layers.1.mlp.up_proj"


def test_trace_finds_code_that_is_wrong_though_every_weight_is_right(monkeypatch):
    def shift_before_scale(self, img, temb):
        shift, scale = self.linear(torch.nn.functional.silu(temb)).chunk(2, dim=-1)
        return modulate(img, shift, scale)

    ours, theirs = mmdit_pair(MMDIT)
    monkeypatch.setattr(FinalNorm, "forward", shift_before_scale)
    assert trace(ours, theirs, mmdit_inputs(MMDIT, [(1, 3, 5)])).first.name == "norm_out"


def test_trace_takes_nan_for_a_difference():
    ours, theirs = mmdit_pair(MMDIT)
    broken = theirs.transformer_blocks[1].attn.to_k
    broken.bias = torch.nn.Parameter(torch.full_like(broken.bias, float("nan")))
    found = trace(ours, theirs, mmdit_inputs(MMDIT, [(1, 3, 5)]))
    assert found.first.name == "transformer_blocks.1.attn.to_k"


def test_trace_of_equal_networks_says_that_all_agree():
    found = trace(*mmdit_pair(MMDIT), mmdit_inputs(MMDIT, [(1, 3, 5)], batch=2))
    assert found.first is None
    assert len(found.rows) > 60
    assert "tensors agree" in str(found)


def test_a_failed_comparison_prints_the_table_up_to_where_networks_part():
    ours, theirs = mmdit_pair(MMDIT)
    plant(theirs, "transformer_blocks.0.attn.to_v")
    with pytest.raises(AssertionError) as failure:
        assert_agreement(ours, theirs, mmdit_inputs(MMDIT, [(1, 3, 5)]), "mmdit")
    assert "attn.to_q" in str(failure.value)
    assert "they differ first at transformer_blocks.0.attn.to_v" in str(failure.value)


@pytest.mark.parametrize(
    "kind, config, twin",
    [(MMDiT, MMDiTConfig.official(), reference_mmdit), (VAE, VAEConfig.official(), reference_vae)],
    ids=["mmdit", "vae"],
)
def test_stored_names_and_shapes_come_in_the_order_of_diffusers(kind, config, twin):
    with torch.device("meta"):
        stored = stored_form(kind(config))
    theirs = {name: tuple(tensor.shape) for name, tensor in twin(config).state_dict().items()}
    assert list(stored.items()) == list(theirs.items())


def test_weights_are_not_copied_between_networks_of_different_names():
    ours = network(MMDiT, MMDIT)
    with pytest.raises(ValueError, match="only theirs.*addition_t_embedding"):
        copy_weights(ours, reference_mmdit(replace(MMDIT, use_additional_t_cond=True)))


def test_a_twin_returns_only_the_target_as_ours_does():
    ours, theirs = mmdit_pair(MMDIT)
    with torch.no_grad():
        assert run(theirs, mmdit_inputs(MMDIT, [(1, 3, 5), (1, 2, 2)])).shape == (1, 15, 20)
