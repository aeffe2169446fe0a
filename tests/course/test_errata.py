"""What the page of errata compares: formulas that circulate, and a chart of said over so."""

import matplotlib.pyplot as plt
import pytest

from qwenimage_ref.course.figures import errata
from tests.helpers.pixels import spots


def test_the_formula_that_circulates_is_anchored_at_no_tokens():
    assert errata.linear_mu(0) == 0.5
    assert errata.linear_mu(8192) == pytest.approx(0.9)


def test_a_lora_of_rank_64_holds_as_many_numbers_as_its_published_file():
    assert errata.lora_numbers(3072, 64, 60) * 4 == 1_698_693_120  # of 1,698,951,104 with header


def test_a_claim_stands_beside_the_truth_by_the_logarithm_of_its_ratio():
    shown = errata.ratios({"too small": (1, 4), "too large": (4, 1)}, "a quarter, four times")
    small, large = spots(shown, "wrong")
    (truth,) = spots(shown, "joint")
    assert small < truth < large
    assert truth - small == pytest.approx(large - truth, abs=3)
    nearer = errata.ratios({"too small": (1, 4), "too large": (2, 1)}, "a quarter, twice")
    small, large = spots(nearer, "wrong")
    (truth,) = spots(nearer, "joint")
    assert truth - small == pytest.approx(2 * (large - truth), rel=0.05)
    assert shown.alt == "a quarter, four times" and plt.get_fignums() == []
