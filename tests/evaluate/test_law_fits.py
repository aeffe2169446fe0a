"""A surface gives back its own numbers, points are left out group by group, frontiers."""

import pytest

from qwenimage_ref.evaluate import law_fits

WEIGHTS = (2e5, 1.4e6, 4.7e6, 1.1e7)
TOKENS = (7e5, 1.4e6, 2.8e6, 5.6e6)
TRUE = law_fits.Surface(0.05, 0.06, 0.4, 0.09, 0.7)
GRID = [(N, D, TRUE.at(N, D)) for N in WEIGHTS for D in TOKENS]


def test_the_frontier_has_what_nothing_cheaper_beats():
    compute, losses = (4, 1, 2, 3, 2), (0.5, 0.9, 0.7, 0.8, 0.6)
    assert law_fits.frontier(compute, losses) == [1, 4, 0]
    assert law_fits.frontier((1, 2, 3), (0.5, 0.5, 0.4)) == [0, 2]


def test_a_fit_is_repeated_without_each_group():
    x, y = [1.0, 10.0, 100.0], [1.0, 0.1, 0.2]
    left = law_fits.without_each(lambda *columns: columns, ["a", "b", "c"], x, y)
    assert [*left] == ["a", "b", "c"]
    assert left["b"] == ([1.0, 100.0], [1.0, 0.2]) and left["c"] == (x[:2], y[:2])
    whole = law_fits.without_each(lambda x: sum(x), ["a", "a", "b"], x)
    assert whole == {"a": 100.0, "b": 11.0}


def test_points_of_a_surface_give_it_back():
    fitted = law_fits.surface(*zip(*GRID))
    assert fitted == pytest.approx(TRUE, rel=0.02)
    assert fitted.growth == pytest.approx(0.7 / 1.1, rel=0.02)


def test_one_wild_point_hardly_moves_the_surface():
    wild = [(N, D, L * (1.3 if i == 6 else 1)) for i, (N, D, L) in enumerate(GRID)]
    fitted = law_fits.surface(*zip(*wild))
    assert fitted.at(1e7, 5e6) == pytest.approx(TRUE.at(1e7, 5e6), rel=0.02)


def test_five_points_are_too_few_for_five_numbers():
    assert law_fits.surface(*zip(*GRID[:6])).at(2e5, 7e5) == pytest.approx(GRID[0][2], rel=0.05)
    with pytest.raises(ValueError, match="at least 6, got 5"):
        law_fits.surface(*zip(*GRID[:5]))
