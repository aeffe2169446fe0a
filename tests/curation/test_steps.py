"""The steps on folders: packed, filtered, encoded, streamed, and what happens in between."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from qwenimage_ref.curation import steps, work
from qwenimage_ref.curation.filters import POSTERS
from qwenimage_ref.curation.workers import Local, WorkError
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.posters.draw import second_poster
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tar_shards import read_shard, shards_in
from qwenimage_ref.train import dataset
from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.run_folder import RunFolder
from qwenimage_ref.train.streamed import Streamed

COUNT, AREA = 7, 96 * 96


def fill(folder: Path, seeds) -> Path:
    folder.mkdir()
    for seed in seeds:
        _, pixels, caption = second_poster(seed, size=(96, 96) if seed % 2 else (128, 128))
        Image.fromarray(pixels).save(folder / f"{seed:03}.png")
        (folder / f"{seed:03}.txt").write_text(caption, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = fill(tmp_path_factory.mktemp("pictures") / "data", range(COUNT))
    (folder / "002.png").write_bytes((folder / "002.png").read_bytes()[:300])
    (folder / "005.png").write_bytes((folder / "001.png").read_bytes())
    return folder


@pytest.fixture
def shards(pictures, tmp_path):
    steps.pack(pictures, tmp_path / "shards", 3)
    return tmp_path / "shards"


def encoded(shards: Path, to: Path, workers=None, areas=(AREA,)) -> Streamed:
    steps.filtered(shards, to / "filtered", POSTERS)
    steps.encode(shards, to / "filtered", to / "encoded", POCKET, areas, workers=workers)
    return Streamed(to / "encoded")


def test_a_packed_example_is_the_files_as_they_were(pictures, shards):
    examples = [each for file in shards_in(shards) for each in read_shard(file)]
    assert [key for key, _ in examples] == [f"{i:08}" for i in range(COUNT)]
    assert examples[2][1] == {
        "png": (pictures / "002.png").read_bytes(), "txt": (pictures / "002.txt").read_bytes()
    }  # fmt: skip
    assert [len(list(read_shard(file))) for file in shards_in(shards)] == [3, 3, 1]


def test_a_table_with_further_columns_is_not_packed(tmp_path):
    folder = fill(tmp_path / "data", [1])
    row = {"image": "001.png", "prompt": "a", "edit_image": "001.png"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="nothing else.*got edit_image.*train prepare"):
        steps.pack(folder, tmp_path / "to", 3)


def test_what_is_removed_is_counted_by_its_reason(shards, tmp_path):
    summary = steps.filtered(shards, tmp_path / "filtered", POSTERS)
    assert summary["removed"] == {"broken": 1, "duplicate": 1}
    assert summary["examples"] == COUNT and summary["kept"] == COUNT - 2
    decided = [json.loads(f.read_text()) for f in sorted((tmp_path / "filtered/decided").iterdir())]
    assert decided == [["00000000", "00000001"], ["00000003", "00000004"], ["00000006"]]


def test_balance_removes_the_frequent(shards, tmp_path):
    summary = steps.filtered(shards, tmp_path / "filtered", POSTERS, most=1)
    assert len(set(summary["kinds"].values())) == 1


def test_an_encoded_example_has_the_bits_that_training_in_memory_has(pictures, shards, tmp_path):
    streamed = encoded(shards, tmp_path)
    pipe = QwenImage.from_pretrained(POCKET)
    one = dataset.Example(pictures / "003.png", (pictures / "003.txt").read_text("utf-8"))
    (wanted,), empty = dataset.encode(pipe, [one], RunFolder(tmp_path / "run"), AREA)
    equal = [torch.equal(each.latents, wanted.latents) for each in streamed]
    assert equal.count(True) == 1
    assert torch.equal(streamed[equal.index(True)].txt, wanted.txt)
    assert torch.equal(streamed.empty, empty)


def test_two_workers_write_the_same_bytes_as_one(shards, tmp_path):
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    one = encoded(shards, tmp_path / "one")
    two = encoded(shards, tmp_path / "two", Local(2))
    assert one.origin == two.origin and one.shards == two.shards


def test_several_scales_make_several_examples(shards, tmp_path):
    streamed = encoded(shards, tmp_path, areas=(AREA, 128 * 128))
    sides = sorted(group[1] * 8 for group in streamed.groups)
    large = sum(seed % 2 == 0 for seed in (0, 1, 3, 4, 6))
    assert sides == [96] * 5 + [128] * large


def test_a_finished_shard_is_not_encoded_again(shards, tmp_path, monkeypatch):
    encoded(shards, tmp_path)
    monkeypatch.setattr(work, "write_shard", lambda *_: pytest.fail("written again"))
    encoded(shards, tmp_path)


def test_a_stop_in_the_middle_loses_nothing_and_doubles_nothing(shards, tmp_path, monkeypatch):
    def stops(file, examples, write=work.write_shard):
        if file.stem == "000001":
            raise OSError("no space left")
        return write(file, examples)

    whole = encoded(shards, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(work, "write_shard", stops)
        with pytest.raises(WorkError, match="no space left"):
            encoded(shards, tmp_path / "halves")
    assert not (tmp_path / "halves/encoded/shards.json").exists()
    assert encoded(shards, tmp_path / "halves").shards == whole.shards


def test_a_truncated_shard_is_one_line_and_the_others_stay(shards, tmp_path):
    file = shards / "000001.tar"
    content = file.read_bytes()
    file.write_bytes(content[:3000])
    with pytest.raises(WorkError, match="000001.tar is damaged after .*copy it again"):
        steps.filtered(shards, tmp_path / "filtered", POSTERS)
    assert [f.name for f in (tmp_path / "filtered/measured").iterdir()] == ["000000.jsonl"]


def test_a_folder_begun_with_other_shards_is_refused(shards, tmp_path):
    steps.filtered(shards, tmp_path / "filtered", POSTERS)
    (shards / "000002.tar").unlink()
    with pytest.raises(DataError, match="was begun with other shards; choose another folder"):
        steps.filtered(shards, tmp_path / "filtered", POSTERS)


def test_encoding_needs_a_decision(shards, tmp_path):
    with pytest.raises(DataError, match="must hold a decision on 000000.tar.*data filter"):
        steps.encode(shards, tmp_path, tmp_path / "to", POCKET, (AREA,))


def test_an_example_without_a_caption_is_named():
    with pytest.raises(ValueError, match="cat must have a picture and a caption.*got png"):
        work.pair(Path("a.tar"), "cat", {"png": b""})
