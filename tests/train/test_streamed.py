"""Examples streamed from shards: every one once an epoch, few shards in memory, exact resume."""

import json

import pytest
import torch
from helpers import encoded_shards, nets
from helpers.encoded_shards import number
from helpers.resumed import assert_same_state

from qwenimage_ref.train import prepared
from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.lora import Settings, train
from qwenimage_ref.train.recipe import Recipe
from qwenimage_ref.train.streamed import INDEX, Streamed

COUNT = 23
RECIPE = Recipe(steps=10, batch=3, lr=1e-3)
SETTINGS = Settings(rank=2, alpha=2.0)


@pytest.fixture
def folder(tmp_path):
    return encoded_shards.write(tmp_path / "shards", encoded_shards.encoded(COUNT))


def epoch(streamed: Streamed, recipe: Recipe, which: int) -> list[list[int]]:
    batches = streamed.batches(recipe.batch, recipe)
    first = which * batches.per_epoch
    return [batches[i] for i in range(first, first + batches.per_epoch)]


def test_an_example_is_what_was_written(folder):
    streamed, written = Streamed(folder), encoded_shards.encoded(COUNT)
    assert len(streamed) == COUNT
    for i in range(COUNT):
        one = streamed[i]
        assert torch.equal(one.latents, written[number(one)].latents)
        assert torch.equal(one.txt, written[number(one)].txt)


def test_groups_are_known_without_reading_a_shard(folder):
    streamed = Streamed(folder)
    groups = streamed.groups
    assert streamed.reads == 0
    assert groups == [streamed[i].group for i in range(COUNT)]


@pytest.mark.parametrize("which", [0, 1])
def test_in_an_epoch_every_example_comes_once(folder, which):
    batches = epoch(Streamed(folder, window=2), RECIPE, which)
    assert sorted(i for batch in batches for i in batch) == list(range(COUNT))


def test_a_batch_holds_examples_of_one_size_and_as_many_as_fit(folder):
    streamed = Streamed(folder, window=2)
    batches = epoch(streamed, RECIPE, 0)
    assert all(len({streamed.groups[i] for i in batch}) == 1 for batch in batches)
    small = [len(batch) for batch in batches if len(batch) < RECIPE.batch]
    assert len(small) <= 2  # one of each size, at the end


def test_epochs_and_seeds_come_in_different_orders(folder):
    streamed = Streamed(folder, window=2)
    other = Recipe(steps=10, batch=3, lr=1e-3, seed=1)
    orders = [epoch(streamed, RECIPE, 0), epoch(streamed, RECIPE, 1), epoch(streamed, other, 0)]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_at_most_a_window_of_shards_is_in_memory(folder):
    streamed = Streamed(folder, window=2)
    for i in range(COUNT):
        streamed[i]
        assert len(streamed._loaded) <= 2


def test_an_epoch_reads_few_shards_twice(tmp_path):
    folder = encoded_shards.write(tmp_path / "many", encoded_shards.encoded(120), each=10)
    streamed = Streamed(folder, window=4)
    for batch in epoch(streamed, RECIPE, 0):
        [streamed[i] for i in batch]
    assert 12 <= streamed.reads < 24


def trained(folder, runs, until=RECIPE.steps) -> None:
    mmdit, streamed = nets.model().requires_grad_(False), Streamed(folder, window=2)
    empty = streamed.empty
    train(mmdit, streamed, empty, RECIPE, SETTINGS, runs, quiet=True, until=until)


def test_a_run_stopped_in_the_middle_of_an_epoch_ends_at_the_same_bits(folder, tmp_path):
    trained(folder, tmp_path / "whole")
    trained(folder, tmp_path / "halves", until=5)
    trained(folder, tmp_path / "halves")
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def test_after_a_stop_the_very_next_example_comes(folder):
    whole = Streamed(folder, window=2).batches(3, RECIPE)
    order = [whole[i] for i in range(whole.per_epoch)]
    resumed = Streamed(folder, window=2).batches(3, RECIPE)
    assert [resumed[i] for i in range(4, whole.per_epoch)] == order[4:]


def test_prepared_takes_a_folder_of_shards(folder):
    examples, empty, origin = prepared.read(folder, "pictures")
    assert isinstance(examples, Streamed) and origin == "random"
    assert torch.equal(empty, encoded_shards.STATES)


# -- damage


def test_a_truncated_shard_is_named_before_the_first_step(folder):
    shard = folder / "000002.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(DataError, match=r"000002.tar must be [\d,]+ bytes, got [\d,]+; copy it"):
        Streamed(folder)


def test_a_missing_shard_is_named_before_the_first_step(folder):
    (folder / "000001.tar").unlink()
    with pytest.raises(DataError, match="000001.tar is missing; copy it again"):
        Streamed(folder)


def test_a_shard_with_another_byte_is_refused_when_it_is_read(folder):
    shard = folder / "000000.tar"
    content = bytearray(shard.read_bytes())
    content[1200] ^= 1
    shard.write_bytes(content)
    streamed = Streamed(folder)
    with pytest.raises(DataError, match="another sha256"):
        streamed[0]
    assert streamed[COUNT - 1].group


def test_a_folder_without_an_index_is_not_finished(tmp_path):
    with pytest.raises(DataError, match="must hold shards.json, which ends its encoding"):
        Streamed(tmp_path)


@pytest.mark.parametrize("change", [{"version": 9}, {"shards": []}, {"shards": [{"file": "a"}]}])
def test_a_damaged_index_is_refused(folder, change):
    index = json.loads((folder / INDEX).read_text()) | change
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(DataError, match="shards.json cannot be read"):
        Streamed(folder)
