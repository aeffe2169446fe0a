"""Checkers of the exercises against small changes of their own solutions: a sample of each."""

import json
import random

import pytest
import torch
from helpers import exercise_mutants as mutants
from torch.utils.flop_counter import FlopCounterMode

from qwenimage_ref.course import answers
from qwenimage_ref.course.check import counting

SAMPLE = 3  # wrong answers of each exercise; test_checkers_whole.py tries them all


@pytest.mark.parametrize("exercise", mutants.exercises())
def test_small_changes_of_a_solution_are_rejected(exercise):
    every = mutants.wrong_answers(exercise)
    equal = {row["change"] for row in mutants.recorded(exercise)["equal"]}
    chosen = random.Random(exercise).sample(every, min(SAMPLE, len(every)))
    assert {wrong.change for wrong in mutants.accepted(exercise, chosen)} <= equal


def test_every_exercise_has_its_row_and_every_change_that_is_equal_its_reason():
    table = json.loads(mutants.TABLE.read_text(encoding="utf-8"))["exercises"]
    assert [*table] == mutants.exercises()
    for row in table.values():
        assert row["tried"] == row["hint"] + row["stops"] + len(row["equal"])
        assert all(one["same"] for one in row["equal"])


def test_hard_coded_sizes_are_among_the_changes():
    changes = [wrong.change for wrong in mutants.wrong_answers("ex_03_gqa")]
    assert any(change.endswith("H // k.shape[1] -> 2") for change in changes)
    assert any(change.endswith("changed in place") for change in changes)
    assert any(change.endswith("through float16") for change in changes)


def test_an_answer_without_an_end_is_stopped():
    def endless(tokens, ranks):
        while True:
            pass

    assert mutants.outcome("ex_02_merge", endless) == "stops"


def test_a_checker_judges_as_before_after_an_answer_that_spoiled_what_it_was_given():
    right = "ex_06_modulation"
    for wrong in mutants.wrong_answers(right):
        if wrong.change.endswith("changed in place"):
            assert mutants.outcome(right, wrong.answer) == "hint"
    assert mutants.outcome(right, answers.EX_06_MODULATION) == "accepted"


def test_operations_by_layer_add_up_to_what_torch_counts():
    net, inputs = counting.Net(), (torch.zeros(3, 11, 5), torch.zeros(3, 2, 13, 16))
    with FlopCounterMode(display=False) as counter:
        net(*inputs)
    by_layer = counting.tally(counting.per_output)(net, *inputs)
    assert sum(by_layer.values()) == counter.get_total_flops()
    assert by_layer == answers.EX_01_FLOPS(net, *inputs)
