"""What a streamed network reads ahead, once and in the order of the bytes; what it forgets."""

import io
import os

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.adapt import streaming
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.headers import Place
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.load import load_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "tiny"
    forge(folder, TINY)
    return folder


@torch.no_grad()
def test_each_block_is_read_ahead_once_in_the_order_of_its_bytes(folder, monkeypatch):
    network = empty_network(folder, "transformer")
    load_weights(network, folder / "transformer", torch.bfloat16, streamed=True)
    read, in_order = [], []
    monkeypatch.setattr(streaming, "READERS", 1)  # two would note theirs in turn
    monkeypatch.setattr(streaming, "read_through", read.append)
    for places in network.transformer_blocks.places:
        # a name says nothing about the place, so that the order is one that somebody has made
        shuffled = sorted(places.items(), key=lambda item: item[0][::-1])
        places.clear()
        places.update(shuffled)
        in_order += sorted(places.values(), key=lambda place: (place.file, place.start))
    for _ in network.transformer_blocks:
        pass
    assert read == in_order


class Watched:
    """In place of a path: a file of 100 bytes that notes which of them are read."""

    def __init__(self, path):
        self.path, self.read = path, []
        path.write_bytes(bytes(range(100)))

    def open(self, mode, buffering=-1):
        opened = io.FileIO(self.path, mode)
        fill = opened.readinto

        def readinto(buffer):
            count = fill(memoryview(buffer)[:7])  # a system may give less than it is asked for
            self.read += bytes(buffer[:count])
            return count

        opened.readinto = readinto
        return opened


@pytest.mark.parametrize("size", [1, 16, 40, 1 << 20])
def test_exactly_the_bytes_of_a_tensor_are_read_ahead(size, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "READ", size)
    file = Watched(tmp_path / "file")
    streaming.read_through(Place(file, "U8", (40,), 30, 70))
    assert file.read == list(range(30, 70))


def test_reading_ahead_ends_where_the_file_ends_and_says_nothing(tmp_path):
    file = Watched(tmp_path / "file")
    streaming.read_through(Place(file, "U8", (40,), 80, 120))
    assert file.read == list(range(80, 100))
    streaming.read_through(Place(tmp_path / "none", "U8", (40,), 80, 120))


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="only Linux can be told")
def test_exactly_the_bytes_of_each_tensor_are_forgotten(tmp_path, monkeypatch):
    file, advice = tmp_path / "file", []
    file.write_bytes(bytes(100))

    def advise(descriptor, start, length, what):
        advice.append((os.fstat(descriptor).st_ino, start, length, what))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    gone = Place(tmp_path / "gone", "U8", (9,), 1, 10)
    streaming.forget([Place(file, "U8", (40,), 30, 70), gone, Place(file, "U8", (5,), 90, 95)])
    number, drop = file.stat().st_ino, os.POSIX_FADV_DONTNEED
    assert advice == [(number, 30, 40, drop), (number, 90, 5, drop)]


def test_where_a_system_cannot_be_told_nothing_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    streaming.forget([Place(tmp_path / "file", "U8", (40,), 30, 70)])
