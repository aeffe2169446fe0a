"""The command in several processes, as chapter 36 starts it."""

import pytest

from qwenimage_ref.course.torchrun import torchrun


def test_what_ends_the_processes_is_raised_in_their_own_words(tmp_path):
    arguments = ("train", "full", "--shard", "--prepared", "nowhere", "--batch", "3")
    with pytest.raises(RuntimeError, match="batch must be a multiple of the 2 processes, got 3"):
        torchrun(2, *arguments, folder=tmp_path)
