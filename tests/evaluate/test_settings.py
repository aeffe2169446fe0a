"""Sweeps, variety, copies and chance, each on painters whose faults are known beforehand."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image

from qwenimage_ref.evaluate import settings, survey
from qwenimage_ref.evaluate.frechet import features, frechet, frechet_limit
from qwenimage_ref.evaluate.held_out import square_trials
from qwenimage_ref.pocket.curriculum import PHASES
from qwenimage_ref.posters.draw import draw

LESSON = PHASES["everything"]
SQUARE = list(itertools.islice(settings.square_posters(LESSON), 40))


class Eye(torch.nn.Module):
    """Stands in for a VAE: its latents are the picture in blocks of 8x8."""

    def encode(self, img):
        return torch.nn.functional.avg_pool2d(img, 8), None

    def normalize(self, z):
        return z


class Painter:
    """Draws what it is asked for, with the jitter of `jitter(number of the prompt)`.

    stop: how many pictures it paints before somebody presses Ctrl-C.
    """

    def __init__(self, jitter=lambda i: i, scenes=None, stop=None, weights=0.0):
        made = square_trials(12)
        scenes = scenes or {trial.prompt: trial.scene for trial in made}
        self.pictures = {
            prompt: Image.fromarray(draw(scene, jitter(i)))
            for i, (prompt, scene) in enumerate(scenes.items())
        }
        self.vae, self.stop, self.painted = Eye(), stop, 0
        self.tokenizer = SimpleNamespace(encode=str.split)
        self.text_encoder = self.transformer = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.transformer.weight, weights)
        torch.nn.init.zeros_(self.transformer.bias)

    def __call__(self, prompts, **_):
        self.painted += len(prompts)
        if self.stop is not None and self.painted > self.stop:
            raise KeyboardInterrupt
        return [self.pictures[prompt] for prompt in prompts]


def flat(value):
    return np.full((128, 128, 3), value, np.uint8)


# --- settings, marks, variety


def test_home_is_swept_once_and_every_value_is_there():
    points = settings.settings()
    assert points[0] == settings.DEFAULT and len(set(points)) == len(points) == 13
    assert {cfg for steps, cfg in points if steps == 20} == {*settings.GUIDANCES}
    assert {steps for steps, cfg in points if cfg == 4} == {*settings.STEPS}


def test_marks_tell_right_from_wrong_and_from_not_asked():
    made = square_trials(12)
    pictures = [draw(trial.scene) for trial in made]
    pictures[3] = flat(0)
    found = settings.marks(made, pictures)
    assert found["scene"] == "111011111111"
    asked = ["-" if not t.scene.word else "1" for t in made]
    assert found["word"] == "".join(asked[:3] + ["0" if made[3].scene.word else "-"] + asked[4:])


def test_variety_is_counted_within_a_prompt_and_across_prompts():
    rows = [[flat(10), flat(12)], [flat(110), flat(116)]]
    assert settings.variety(rows) == {"between seeds": 4.0, "between prompts": 102.0}


# --- copies


@pytest.fixture(scope="module")
def shelves():
    return settings.training_posters()


def test_a_training_poster_finds_itself(shelves):
    for lesson, number in ((LESSON, SQUARE[5]), (PHASES["words"], 7)):
        scene = lesson.scene(number)
        far, found = settings.nearest(draw(scene, lesson.first + number), scene, shelves)
        assert far == 0 and np.array_equal(found, draw(scene, lesson.first + number))


def test_the_nearest_poster_is_measured_in_pixels(shelves):
    scene = LESSON.scene(SQUARE[5])
    lighter = draw(scene, LESSON.first + SQUARE[5]).clip(0, 252) + 3
    far, _ = settings.nearest(lighter, scene, shelves)
    assert 0 < far <= 3


def trained(count):
    return {LESSON.prompt(i): LESSON.scene(i) for i in SQUARE[:count]}


def test_a_painter_that_learned_by_heart_is_found_out():
    by_heart = Painter(lambda i: LESSON.first + SQUARE[i], trained(12))
    assert settings.recall(by_heart, 12) == {"nearer to the training poster": 12, "of": 12}


def test_a_painter_that_draws_anew_is_nearer_to_training_by_chance_only():
    anew = Painter(lambda i: 77_000_000 + i, trained(40))
    assert 8 <= settings.recall(anew, 40)["nearer to the training poster"] <= 32


# --- Fréchet distance


def sample(n, mean=0.0, seed=0, mix=None):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)).double()
    x = x - x.mean(0)
    values, vectors = torch.linalg.eigh(x.T.cov())
    x = x @ vectors / values.sqrt()  # now mean 0 and covariance 1, exactly
    return (x if mix is None else x @ mix) + mean


def test_equal_heaps_are_at_distance_zero():
    assert frechet(sample(50), sample(70, seed=1)) == pytest.approx(0, abs=1e-9)


def test_a_shift_counts_squared():
    assert frechet(sample(50), sample(50, mean=0.5)) == pytest.approx(4 * 0.25, abs=1e-9)


def test_a_stretch_counts_as_the_difference_of_the_deviations_squared():
    stretched = sample(50, mix=torch.diag(torch.tensor([3.0, 1, 1, 1]).double()))
    assert frechet(sample(50), stretched) == pytest.approx((3 - 1) ** 2, abs=1e-9)


def test_covariances_with_different_axes_follow_the_formula_with_scipy_s_matrix_root():
    rng = torch.Generator().manual_seed(3)
    a, b = (sample(50, mix=torch.randn(4, 4, generator=rng).double()) for _ in range(2))
    A, B = (np.cov(x.T) for x in (a, b))
    mixed = np.trace(scipy.linalg.sqrtm(A @ B)).real
    assert frechet(a, b) == pytest.approx(A.trace() + B.trace() - 2 * mixed, rel=1e-9)


def test_few_samples_of_the_very_same_world_seem_far_and_the_limit_sees_through_it():
    rng = torch.Generator().manual_seed(0)
    world = torch.randn(20_000, 8, generator=rng).double()
    by_size = {
        n: np.mean([frechet(world[i * n : (i + 1) * n], world) for i in range(20)])
        for n in (25, 50, 100, 200)
    }
    assert by_size[25] > 1.7 * by_size[50] > 2.9 * by_size[100] > 4 * by_size[200]
    assert abs(frechet_limit(by_size)) < 0.1 * by_size[25]


def test_features_are_mean_and_deviation_of_each_channel():
    left = flat(0)
    left[:, 64:] = (255, 0, 255)
    found = features(Eye(), [left, flat(255)])
    assert found.shape == (2, 6)
    assert found[0].tolist() == pytest.approx([0, -1, 0, 1.0, 0, 1.0], abs=0.01)
    assert found[1].tolist() == pytest.approx([1, 1, 1, 0, 0, 0], abs=1e-6)


# --- the record


@pytest.fixture
def small(monkeypatch, shelves, tmp_path):
    """A world in which a whole sweep takes a second -> the file to write"""
    monkeypatch.setattr(settings, "TRUE_POSTERS", 30)
    monkeypatch.setattr(settings, "REFERENCE_POSTERS", 60)
    monkeypatch.setattr(settings, "VARIED", 3)
    monkeypatch.setattr(settings, "training_posters", lambda: shelves)
    monkeypatch.setattr(settings, "paint", paint_one_by_one)
    monkeypatch.setattr(settings, "recall", lambda pipe, count: {"of": count})
    return tmp_path / "sweeps.json"


def paint_one_by_one(pipe, made, *_):
    return [pipe([trial.prompt])[0] for trial in made]


def without_times(record):
    timeless = json.loads(json.dumps(record))
    for part in timeless.values():
        if isinstance(part, dict):
            part.pop("seconds_per_picture", None)
    return timeless


def test_a_sweep_that_was_stopped_goes_on_and_finds_the_same(small, capsys):
    whole = Painter()
    expected = settings.sweep(whole, 4, small)
    small.unlink()
    with pytest.raises(KeyboardInterrupt):
        settings.sweep(Painter(stop=23), 4, small)
    assert not small.exists()
    second = Painter()
    found = settings.sweep(second, 4, small)
    assert second.painted == whole.painted - 20, "five settings were kept, the sixth begun anew"
    assert without_times(found) == without_times(expected)
    assert sorted(small.parent.iterdir()) == [small]


def test_what_other_weights_found_is_not_taken_up(small):
    with pytest.raises(KeyboardInterrupt):
        settings.sweep(Painter(stop=23, weights=1.0), 4, small)
    second = Painter()
    settings.sweep(second, 4, small)
    assert second.painted == 4 * (13 + 1) + 3 * 9


def test_a_perfect_painter_is_right_at_every_setting_and_no_copy(small):
    found = settings.sweep(Painter(lambda i: 60_000_000 + i), 6, small)
    assert all(found[settings.name(*point)]["scene"] == "111111" for point in settings.settings())
    far = {kind: np.mean(each) for kind, each in found["at home"]["copies"].items()}
    assert far["painted"] == pytest.approx(far["new true posters"], rel=0.5) and min(far.values())
    assert found["at home"]["samples"]["true"]["by size"].keys() == {25}


def test_a_record_of_these_weights_is_not_measured_again(small, capsys, monkeypatch):
    pipe = Painter()
    monkeypatch.setattr(survey.QwenImage, "from_pretrained", lambda folder: pipe)
    assert settings.main(["--captions", "4", "--to", str(small)]) == 0
    painted = pipe.painted
    assert settings.main(["--captions", "4", "--to", str(small)]) == 0
    assert pipe.painted == painted
    assert "delete it to measure again" in capsys.readouterr().out


def test_a_sweep_needs_captions(capsys):
    assert settings.main(["--captions", "1"]) == 2
    assert "must be at least 2" in capsys.readouterr().err
