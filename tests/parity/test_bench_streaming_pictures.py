"""The benchmark of streamed models that are given pictures: both tasks paint, and are bounded."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.adapt.control import BlockwiseConfig, BlockwiseControlNet
from qwenimage_ref.checkpoint import save
from qwenimage_ref.checkpoint.forge import EDIT_PLUS, forge
from qwenimage_ref.parity.bench import streaming_pictures
from qwenimage_ref.parity.bench.streaming_pictures import MOST_GB, NETWORK, TASKS, measured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what was read")


def forged(folder, task):
    transformer = replace(TINY.transformer, zero_cond_t=True)
    edit = replace(TINY, transformer=transformer, pipeline=EDIT_PLUS)
    forge(folder, edit if task == "edit" else TINY)
    numbers = BlockwiseConfig(TINY.transformer.num_layers, TINY.transformer.inner_dim)
    save(BlockwiseControlNet(numbers), folder / NETWORK, "model")
    return folder


@torch.no_grad()
@pytest.mark.parametrize("task", TASKS)
def test_a_task_paints_with_its_picture(tmp_path, monkeypatch, task):
    monkeypatch.setattr(streaming_pictures, "SIDE", 64)
    (paint,) = TASKS[task](forged(tmp_path / "model", task))
    paint()


def test_the_peak_is_compared_with_its_bound(tmp_path, monkeypatch):
    line = json.dumps({"peak_gb": 2.0})
    monkeypatch.setattr(
        streaming_pictures.subprocess, "run", lambda *_, **__: type("Ended", (), {"stdout": line})
    )
    for interpreter, ok in ((0.6, True), (0.3, False)):
        monkeypatch.setattr(streaming_pictures, "interpreter_gb", lambda gb=interpreter: gb)
        result = measured(tmp_path, "edit")
        assert result["ok"] is ok and result["most_gb"] == MOST_GB["edit"] == 1.5
