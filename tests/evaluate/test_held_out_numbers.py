"""The stored numbers of held-out captions, against the search through every training scene."""

from qwenimage_ref.evaluate import held_out
from qwenimage_ref.posters.scene import SIZES, SQUARE


def test_the_stored_numbers_are_those_of_the_search():
    for sizes in (SIZES, (SQUARE,)):
        stored = held_out._stored(sizes)
        for i in range(0, len(stored), 7):
            size = sizes[i % len(sizes)]
            assert stored[i] == held_out.first_untrained(i, size), (i, size)
