"""Our writer of .safetensors files against the library's, and what a kill leaves behind."""

import os
import stat
import subprocess
import sys

import pytest
import torch
from helpers.small_net import network
from safetensors.torch import save as save_theirs
from safetensors.torch import save_file as save_file_theirs

from qwenimage_ref.checkpoint import save
from qwenimage_ref.checkpoint.write import SPELLED, save_file
from qwenimage_ref.files import whole_file


def every_type() -> dict[str, torch.Tensor]:
    """A few numbers of each type, in no order; empty, single and transposed ones among them."""
    tensors = {
        f"{name}{n}": torch.arange(6).reshape(2, 3).to(dtype)
        for n, (dtype, name) in enumerate(SPELLED.items())
    }
    return tensors | {
        'ü\n"': torch.zeros((), dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
        "turned": torch.arange(6.0).reshape(2, 3).T.contiguous(),
    }


def test_the_bytes_are_those_of_the_library(tmp_path):
    save_file(every_type(), tmp_path / "a.safetensors", {"format": "pt"})
    theirs = save_theirs(every_type(), {"format": "pt"})
    ours = (tmp_path / "a.safetensors").read_bytes()
    length = 8 + int.from_bytes(theirs[:8], "little")
    assert ours[:length] == theirs[:length] and ours == theirs


def test_equal_metadata_give_equal_bytes_whatever_their_order(tmp_path):
    pairs = {name: name for name in "hamper"}
    for file, metadata in (("a", pairs), ("b", dict(sorted(pairs.items())))):
        save_file({"x": torch.ones(2)}, tmp_path / file, metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_type_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(TypeError, match="must be of I64, .*, got torch.complex64"):
        save_file({"x": torch.ones(2, dtype=torch.complex64)}, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_saved_weights_have_the_mode_that_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(network(), tmp_path)
        with whole_file(tmp_path / "theirs.safetensors") as partial:
            save_file_theirs({"x": torch.ones(2)}, partial)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}


KILLED = """
import os, signal, sys
from qwenimage_ref.checkpoint import save, write
from helpers.small_net import network

def half(tensors, file, metadata=None):
    file.write_bytes(b"half a file")
    os.kill(os.getpid(), signal.SIGKILL)

sys.modules["qwenimage_ref.checkpoint.save"].save_file = half
save(network(), sys.argv[1])
"""


def test_what_a_killed_save_leaves_is_gone_after_the_next(tmp_path):
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=environment())
    (left,) = tmp_path.iterdir()  # the second run removed what the first one left
    assert left.read_bytes() == b"half a file" and left.name.startswith(".")
    save(network(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["diffusion_pytorch_model.safetensors"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_partial_file_that_is_being_written_is_left_alone(tmp_path):
    # careful: this process lists a folder once, so the folder is new
    with whole_file(tmp_path / "a") as ours:
        code = "import sys; from qwenimage_ref.files import whole_file\n"
        code += "with whole_file(sys.argv[1]) as partial: partial.write_text('theirs')"
        subprocess.run([sys.executable, "-c", code, tmp_path / "a"], env=environment(), check=True)
        ours.write_text("ours")
    assert (tmp_path / "a").read_text() == "ours"
