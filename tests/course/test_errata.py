"""What the page of errata compares: formulas that circulate, and a chart of said over so."""

import matplotlib.pyplot as plt
import pytest

from qwenimage_ref.course.figures import errata


def test_the_formula_that_circulates_is_anchored_at_no_tokens():
    assert errata.linear_mu(0) == 0.5
    assert errata.linear_mu(8192) == pytest.approx(0.9)


def test_a_lora_of_rank_64_holds_as_many_numbers_as_its_published_file():
    assert errata.lora_numbers(3072, 64, 60) * 4 == 1_698_693_120  # of 1,698,951,104 with header


def test_claims_are_drawn_and_described_and_no_figure_stays_open():
    shown = errata.ratios({"too small": (1, 4), "too large": (9, 3)}, "a quarter, three times")
    assert shown.alt == "a quarter, three times" and shown.data
    assert plt.get_fignums() == []
