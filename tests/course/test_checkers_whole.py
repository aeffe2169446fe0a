"""Every small change of every exercise's own solution is rejected by its checker, or equal."""

import pytest
from helpers import exercise_mutants as mutants


@pytest.mark.parametrize("exercise", mutants.exercises())
def test_every_small_change_of_a_solution_is_rejected_or_has_its_reason(exercise):
    counted, recorded = mutants.counted(exercise), mutants.recorded(exercise)
    assert counted["equal"] == recorded["equal"] and all(one["same"] for one in counted["equal"])
    assert counted["tried"] == recorded["tried"]
