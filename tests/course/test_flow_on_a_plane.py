"""Flow matching on a plane: the exact velocity, the schedule without a size, and the sliders."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.course.figures import flow_on_a_plane
from qwenimage_ref.sampler import sigmas


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def field():
    torch.manual_seed(0)
    return flow_on_a_plane.Field(width=16, waves=4)


def test_every_point_of_the_star_lies_on_its_outline():
    points = flow_on_a_plane.star(500, generator())
    radius = points.norm(dim=1)
    assert points.shape == (500, 2)
    assert 0.79 < radius.min() < 1 and 1.7 < radius.max() < 1.91
    angle = torch.atan2(points[:, 0], points[:, 1])
    tips = radius > 1.6
    assert (torch.cos(5 * angle[tips]) > 0.7).all()  # five of them, one at the top


def test_every_point_of_the_ring_has_one_radius():
    points = flow_on_a_plane.ring(7, generator())
    torch.testing.assert_close(points.norm(dim=1), torch.full((7,), 1.4))


def test_three_labels_in_ten_are_withheld_and_the_others_are_true():
    data, label = flow_on_a_plane.batch(4000, generator())
    round_ones = (data.norm(dim=1) - 1.4).abs() < 1e-4
    assert 0.26 < (label == flow_on_a_plane.NO_LABEL).float().mean() < 0.34
    assert round_ones[label == flow_on_a_plane.RING].all()
    assert not round_ones[label == flow_on_a_plane.STAR].all()


def test_the_exact_velocity_for_one_point_leads_there_in_one_step():
    x, point = flow_on_a_plane.noise(9, seed=1), torch.tensor([[0.3, -1.2]])
    velocity = flow_on_a_plane.exact_velocity(x, 0.7, point)
    torch.testing.assert_close(x - 0.7 * velocity, point.expand(9, 2))


def test_the_exact_velocity_of_two_points_is_their_mean_in_the_middle():
    points = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    velocity = flow_on_a_plane.exact_velocity(torch.tensor([[0.0, 0.4]]), 0.5, points)
    torch.testing.assert_close(velocity, torch.tensor([[0.0, 0.8]]))  # leads to the origin


def test_a_least_squares_fit_finds_the_exact_velocity():
    # the definition: of all functions of x, the mean has the least squared error
    data, sigma = torch.tensor([[-1.0, 0.0], [2.0, 0.0]]), 0.6
    drawn = data[torch.randint(2, (400_000,), generator=generator(2))]
    noise = torch.randn(drawn.shape, generator=generator(3))
    x = (1 - sigma) * drawn + sigma * noise
    here = (x[:, 0] - 0.2).abs() < 0.02
    found = (noise - drawn)[here, 0].mean()
    expected = flow_on_a_plane.exact_velocity(torch.tensor([[0.2, 0.0]]), sigma, data)[0, 0]
    assert here.sum() > 5000
    assert abs(found - expected) < 0.05


def test_pixels_that_repeat_a_point_want_the_schedule_shifted_by_the_root_of_their_number():
    shape, start = flow_on_a_plane.star(50, generator()), flow_on_a_plane.noise(20, seed=4)

    def ends(copies, shift):
        def velocity(x, sigma):
            return flow_on_a_plane.exact_velocity(x, sigma, shape, copies)

        return flow_on_a_plane.flow(
            velocity, start / copies**0.5, flow_on_a_plane.shifted(6, shift)
        )[-1]

    torch.testing.assert_close(ends(9, 3.0), ends(1, 1.0), rtol=1e-3, atol=1e-3)
    assert (ends(9, 1.0) - ends(1, 1.0)).abs().max() > 0.05


def test_shifted_levels_are_those_of_a_schedule_without_stretch():
    config = SchedulerConfig(
        base_shift=0.7, max_shift=0.7, shift_terminal=0.0, max_image_seq_len=300
    )
    expected = sigmas(7, 256, config)
    found = flow_on_a_plane.shifted(7, torch.tensor(0.7).exp().item())
    torch.testing.assert_close(found, expected)


def test_a_flow_begins_where_it_is_told_and_has_a_state_for_every_level(field):
    x = flow_on_a_plane.noise(5, seed=0)
    states = flow_on_a_plane.flow(
        flow_on_a_plane.ask(field, flow_on_a_plane.STAR), x, flow_on_a_plane.shifted(3, 2.0)
    )
    assert len(states) == 4 and torch.equal(states[0], x)
    assert not torch.equal(states[1], x)


def test_a_field_answers_every_label_in_its_own_way(field):
    x, sigma = flow_on_a_plane.noise(5, seed=0), torch.tensor(0.5)
    answers = [flow_on_a_plane.ask(field, label)(x, sigma) for label in range(3)]
    assert not torch.equal(answers[0], answers[1]) and not torch.equal(answers[1], answers[2])


def test_the_distance_is_that_of_the_nearest_point():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    shape = torch.tensor([[0.0, 1.0], [3.0, 5.0], [9.0, 9.0]])
    assert flow_on_a_plane.distance(x, shape) == pytest.approx(1)


# ---- sliders


def picture(sliders) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sliders.picture.value)).convert("RGB"))


def test_a_moved_slider_changes_the_picture_and_its_words(field):
    sliders = flow_on_a_plane.FlowSliders(field)
    before = sliders.picture.value
    assert sliders.words.value.startswith("8 steps, shift 1: ")
    sliders.steps.value = 16
    assert sliders.picture.value != before
    assert sliders.words.value.startswith("16 steps, shift 1: ")


def test_a_slider_moved_back_shows_the_old_picture_without_drawing_again(field):
    sliders = flow_on_a_plane.FlowSliders(field)
    before = sliders.picture.value
    sliders.shift.value = 5
    sliders._draw = None  # a second drawing would fail
    sliders.shift.value = 1
    assert sliders.picture.value == before


def test_the_words_say_the_distance_that_the_particles_have(field):
    sliders = flow_on_a_plane.FlowSliders(field)
    end = sliders.states(8, 1)[-1]
    said = float(sliders.words.value.split(": ")[1].split()[0])
    assert said == pytest.approx(flow_on_a_plane.distance(end, sliders.shape), abs=1e-3)
    assert picture(sliders).shape[1] > 2 * 300


def test_where_no_widget_can_be_the_sliders_are_words(field):
    bundle = flow_on_a_plane.FlowSliders(field)._repr_mimebundle_()
    assert bundle["text/plain"].startswith("sliders for steps and shift")


def test_arrows_lead_to_the_only_point_of_the_data(monkeypatch):
    drawn = []
    monkeypatch.setattr(flow_on_a_plane, "figure", lambda fig, alt: drawn.extend(fig.axes))
    flow_on_a_plane.arrows((0.5, 0.2), torch.zeros(1, 2), "arrows to one point")
    plt.close("all")
    for ax in drawn:
        (quiver,) = [c for c in ax.collections if hasattr(c, "U")]
        places = torch.tensor(quiver.XY)
        ahead = torch.stack([torch.tensor(quiver.U), torch.tensor(quiver.V)], dim=1)
        off = places.norm(dim=1) > 0.1
        cosine = torch.nn.functional.cosine_similarity(-places[off], ahead[off].to(places), dim=1)
        assert cosine.min() > 0.99
