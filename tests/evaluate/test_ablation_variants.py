"""Each ablation changes the one thing that it names, and nothing in the model's files."""

import pytest
import torch

from qwenimage_ref import pipeline, sampler
from qwenimage_ref.evaluate import ablation_variants
from qwenimage_ref.mmdit import JointAttention
from qwenimage_ref.pocket import sibling
from qwenimage_ref.train.flow import sample_sigma

GRIDS = [(1, 8, 8)]


def changed(change):
    painter = sibling.new()
    change(painter)
    return painter


def awake(change):
    """A changed painter in which nothing is zero any longer, so that text reaches the picture."""
    painter, generator = changed(change), torch.Generator().manual_seed(0)
    for parameter in painter.transformer.parameters():
        if not parameter.any():
            parameter.data.normal_(0, 0.02, generator=generator)
    return painter


def velocity(painter):
    generator = torch.Generator().manual_seed(1)
    img = torch.randn(1, 64, 64, generator=generator)
    txt = torch.randn(1, 5, 96, generator=generator)
    with torch.no_grad():
        return painter.transformer(img, txt, torch.tensor([0.5]), GRIDS)


def rotations(change):
    return changed(change).transformer.rotations(GRIDS, 5)


def test_text_at_the_origin_is_turned_by_nothing():
    img, txt = rotations(ablation_variants.text_at_origin)
    assert torch.equal(txt, torch.ones_like(txt))
    assert torch.equal(img, rotations(ablation_variants.unchanged)[0])


def test_text_in_a_row_is_turned_along_the_columns_only():
    frame, row, col = (dim // 2 for dim in sibling.MMDIT.axes_dims_rope)
    img, txt = rotations(ablation_variants.text_in_a_row)
    diagonal = rotations(ablation_variants.unchanged)[1]
    still = torch.ones_like(txt)
    assert torch.equal(txt[:, : frame + row], still[:, : frame + row])
    assert torch.equal(txt[:, frame + row :], diagonal[:, frame + row :])
    assert not torch.equal(txt[:, frame + row :], still[:, frame + row :])


@pytest.mark.parametrize(
    "change", [ablation_variants.text_at_origin, ablation_variants.text_in_a_row]
)
def test_moved_text_gives_another_velocity(change):
    plain = velocity(awake(ablation_variants.unchanged))
    assert not torch.allclose(velocity(awake(change)), plain, atol=1e-4)


def test_without_qk_norm_longer_queries_make_sharper_attention():
    def spread(change):
        painter = awake(change)
        plain = velocity(painter)
        with torch.no_grad():
            for module in painter.modules():
                if isinstance(module, JointAttention):
                    module.to_q.weight.mul_(30)
        return (velocity(painter) - plain).abs().max().item()

    assert 10 * spread(ablation_variants.unchanged) < spread(ablation_variants.without_qk_norm)


def test_one_mlp_saves_the_other_s_parameters_and_trains_it_once():
    painter, blocks = changed(ablation_variants.one_mlp), sibling.MMDIT.num_layers
    mlp = sum(p.numel() for p in painter.transformer.transformer_blocks[0].img_mlp.parameters())
    saved = sum(p.numel() for p in sibling.new().parameters()) - blocks * mlp
    assert sum(p.numel() for p in painter.parameters()) == saved
    assert not [name for name in painter.matrices() if "txt_mlp" in name]


def test_with_words_alone_a_state_knows_no_neighbour():
    def last_state(change, first):
        with torch.no_grad():
            return changed(change).text_encoder(torch.tensor([[first, 7, 9]]))[0, -1]

    assert torch.equal(
        last_state(ablation_variants.words_alone, 3), last_state(ablation_variants.words_alone, 4)
    )


def test_the_usual_start_predicts_something_at_once():
    def first_velocity(painter):
        with torch.no_grad():
            return painter.transformer(
                torch.ones(1, 64, 64), torch.ones(1, 5, 96), torch.ones(1), GRIDS
            )

    assert not first_velocity(sibling.new()).any()
    assert first_velocity(changed(ablation_variants.without_zero_init)).abs().max() > 0.1


def test_the_shift_is_taken_back_from_the_very_numbers_that_were_drawn():
    def drawn(shift):
        return sample_sigma(1000, shift, torch.Generator().manual_seed(0))

    plain = drawn(1.0)
    assert torch.allclose(
        ablation_variants.unshifted(drawn(ablation_variants.SIGMA_SHIFT)), plain, atol=1e-6
    )


def test_uniform_levels_are_as_often_low_as_high():
    sigma = sample_sigma(20_000, ablation_variants.SIGMA_SHIFT, torch.Generator().manual_seed(0))
    level = ablation_variants.uniform(sigma).sort().values
    assert (level - torch.linspace(0, 1, 20_000)).abs().max() < 0.015


def test_without_rescale_only_the_length_of_the_guided_velocity_differs():
    cond, uncond = torch.randn(2, 1, 6, 64, generator=torch.Generator().manual_seed(0))
    long, kept = (
        ablation_variants.without_rescale(cond, uncond, 4.0),
        sampler.guide(cond, uncond, 4.0),
    )
    assert torch.allclose(torch.cosine_similarity(long, kept, dim=-1), torch.ones(1, 6))
    assert (long.norm(dim=-1) > 2 * kept.norm(dim=-1)).all()


def test_the_pipeline_has_its_own_guidance_back_after_an_error():
    variant = ablation_variants.VARIANTS["no norm rescale"]
    with pytest.raises(ZeroDivisionError), ablation_variants.guided_as(variant):
        assert pipeline.guide is ablation_variants.without_rescale
        raise ZeroDivisionError
    assert pipeline.guide is sampler.guide


def test_a_variant_that_is_only_sampled_differs_in_nothing_that_is_trained():
    for name, variant in ablation_variants.VARIANTS.items():
        if not variant.retrained:
            own = (variant.change, variant.recipe, variant.muon, variant.dropout, variant.levels)
            plain = ablation_variants.Variant("")
            assert own == (plain.change, (), True, plain.dropout, plain.levels), name
