"""How much of a prompt is read, and when something is left out."""

import inspect
import warnings
from pathlib import Path

import pytest

from qwenimage_ref import QwenImage

PROMPT = "a red circle left of a blue star on a white background"


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(Path(__file__).parents[2] / "data" / "pocket")


def test_a_prompt_that_fits_exactly_is_read_without_a_warning(pipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        length = pipe.encode_prompt([PROMPT])[0].shape[1]
        assert pipe.encode_prompt([PROMPT], max_sequence_length=length)[0].shape[1] == length


def test_a_prompt_that_the_tokenizer_has_cut_off_says_so_at_the_longest_length_too(pipe):
    with pytest.warns(UserWarning, match="longer than 1024 tokens; its end is not read"):
        assert pipe.encode_prompt(["and " * 1100], max_sequence_length=1024)[0].shape[1] == 1024


def test_groups_of_prompts_are_read_to_512_tokens_too(pipe):
    with pytest.warns(UserWarning, match="longer than 512 tokens"):
        (branch,) = pipe.encode_prompts([["and " * 600]])
    assert branch.txt.shape[1] == 512


def test_fifty_steps_are_taken_unless_another_number_is_asked_for():
    assert inspect.signature(QwenImage.__call__).parameters["num_inference_steps"].default == 50
