"""Power laws: a law gives back its own numbers, and points are left out group by group."""

import pytest

from qwenimage_ref.evaluate import law_fits

WEIGHTS = (2e5, 1.4e6, 4.7e6, 1.1e7)
TOKENS = (7e5, 1.4e6, 2.8e6, 5.6e6)
TRUE = law_fits.Surface(0.05, 0.06, 0.4, 0.09, 0.7)
GRID = [(N, D, TRUE.at(N, D)) for N in WEIGHTS for D in TOKENS]


def test_points_of_a_power_law_give_it_back():
    x = (3.0, 50.0, 700.0)
    factor, exponent = law_fits.power_law(x, [4 * each**-0.3 for each in x])
    assert factor == pytest.approx(4) and exponent == pytest.approx(0.3)


def test_least_squares_are_between_logarithms():
    # twice and half of a law in the middle of four points, mirrored: the law itself
    x = (1.0, 10.0, 100.0, 1000.0)
    y = [factor / each for factor, each in zip((1, 2, 2, 1), x)]
    factor, exponent = law_fits.power_law(x, y)
    assert exponent == pytest.approx(1) and factor == pytest.approx(2**0.5)


@pytest.mark.parametrize("x, y", [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, 0.0])])
def test_what_is_no_power_law_is_refused(x, y):
    with pytest.raises(ValueError, match="must be"):
        law_fits.power_law(x, y)


def test_the_frontier_has_what_nothing_cheaper_beats():
    compute, losses = (4, 1, 2, 3, 2), (0.5, 0.9, 0.7, 0.8, 0.6)
    assert law_fits.frontier(compute, losses) == [1, 4, 0]
    assert law_fits.frontier((1, 2, 3), (0.5, 0.5, 0.4)) == [0, 2]


def test_a_fit_is_repeated_without_each_group():
    x, y = [1.0, 10.0, 100.0], [1.0, 0.1, 0.1]
    left = law_fits.without_each(law_fits.power_law, ["a", "b", "c"], x, y)
    assert [*left] == ["a", "b", "c"]
    assert left["c"][1] == pytest.approx(1) and left["a"][1] == pytest.approx(0, abs=1e-9)
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
