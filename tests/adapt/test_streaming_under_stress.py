"""Streamed networks when files change, threads call at once and processes fork."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers import speed
from helpers.tiny_model import TINY

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.load import load_weights
from qwenimage_ref.repository import POCKET


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "model"
    forge(folder, TINY)
    return folder


def call(seed=0):
    generator = torch.Generator().manual_seed(seed)
    img, txt = (torch.randn(1, *size, generator=generator) for size in ((12, 64), (5, 48)))
    return img, txt, torch.tensor([0.7]), [(1, 3, 4)]


def test_gradients_through_a_streamed_network_are_those_of_the_resident_one(forged):
    resident, streamed = (empty_network(forged, "transformer") for _ in range(2))
    load_weights(resident, forged / "transformer", torch.float32)
    load_weights(streamed, forged / "transformer", torch.float32, streamed=True)
    gradients = []
    for mmdit in (resident.eval(), streamed.eval()):  # each block's weights are needed once more
        img, *others = call()
        img.requires_grad_(True)
        mmdit(img, *others).square().sum().backward()
        gradients.append(img.grad)
    assert torch.equal(*gradients)


SHRINKS = """
import os, sys
from pathlib import Path
import torch
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.load import load_weights
from qwenimage_ref.repository import POCKET

folder, moment = Path(sys.argv[1]), int(sys.argv[2])
(file,) = (folder / "transformer").glob("*.safetensors")
mmdit = empty_network(folder, "transformer")
load_weights(mmdit, folder / "transformer", torch.float32, streamed=True)
generator = torch.Generator().manual_seed(0)
img, txt = (torch.randn(1, *size, generator=generator) for size in ((12, 64), (5, 48)))
blocks, calls = mmdit.transformer_blocks, []
whole = type(blocks)._call

def shrink(self, i, weights, *inputs):
    if i == moment:
        os.truncate(file, 100)  # as `cp new old` does before it writes
    return whole(self, i, weights, *inputs)

type(blocks)._call = shrink
try:
    mmdit(img, txt, torch.tensor([0.7]), [(1, 3, 4)])
except CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize("moment", [0, 3])
def test_a_file_that_shrinks_under_a_stream_is_one_line_and_never_a_signal(tmp_path, moment):
    forge(tmp_path / "model", TINY)
    run = subprocess.run(
        [sys.executable, "-c", SHRINKS, tmp_path / "model", str(moment)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "changed while it was in use; load the model again" in run.stdout
    assert run.stdout.count("\n") == 1


@torch.no_grad()
def test_eight_threads_get_the_bits_that_one_gets(forged):
    mmdit = empty_network(forged, "transformer")
    load_weights(mmdit, forged / "transformer", torch.float32, streamed=True)
    expected = [mmdit(*call(seed)) for seed in range(24)]

    def velocity(seed):
        with torch.no_grad():  # each thread has a mode of its own
            return mmdit(*call(seed))

    with ThreadPoolExecutor(8) as threads:
        for ours, one in zip(threads.map(velocity, range(24)), expected):
            assert torch.equal(ours, one)


@torch.no_grad()
def test_threads_read_prompts_through_one_streamed_text_encoder(forged):
    encoder = empty_network(forged, "text_encoder")
    load_weights(encoder, forged / "text_encoder", torch.float32, streamed=True)
    prompts = [torch.arange(start, start + 9).unsqueeze(0) for start in range(16)]
    expected = [encoder(ids) for ids in prompts]

    def states(ids):
        with torch.no_grad():
            return encoder(ids)

    with ThreadPoolExecutor(8) as threads:
        assert all(map(torch.equal, threads.map(states, prompts), expected))


def test_an_id_that_the_embedding_does_not_have_is_named(forged):
    encoder = empty_network(forged, "text_encoder")
    load_weights(encoder, forged / "text_encoder", torch.float32, streamed=True)
    tokens = encoder.config.vocab_size
    for ids in ([tokens], [-1]):
        with pytest.raises(IndexError, match=f"ids must be 0 to {tokens - 1}, got"):
            encoder(torch.tensor([ids]))


FORKS = """
import os, sys
import torch
from qwenimage_ref import QwenImage

torch.set_num_threads(2)
pipe = QwenImage.from_pretrained(sys.argv[1], dtype=torch.float32, stream=sys.argv[2] == "streamed")
request = dict(height=64, width=64, num_inference_steps=2, seed=0)
expected = pipe("a red circle", " ", **request)[0].tobytes()
child = os.fork()
if not child:
    os._exit(pipe("a red circle", " ", **request)[0].tobytes() != expected)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
@pytest.mark.parametrize("how", ["resident", "streamed"])
def test_a_forked_child_paints_the_picture_of_its_parent(how):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", FORKS, POCKET, how]
    limit = speed.wall_seconds(120)
    assert subprocess.run(command, env=environment, timeout=limit).returncode == 0
