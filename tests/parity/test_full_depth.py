"""Sixty blocks one after the other: the machinery of the full-width run, at a tiny width."""

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.bounds import exact_entry

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.course.figures.error_growth import FILE, growth
from qwenimage_ref.mmdit import Block, MMDiT
from qwenimage_ref.parity import full_depth
from qwenimage_ref.parity.tolerances import TOLERANCES, within

TINY = MMDiTConfig(
    num_layers=60,
    num_attention_heads=3,
    attention_head_dim=24,
    joint_attention_dim=40,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 8, 12),
)
RECORD = Path(__file__).parents[2] / "data" / "measurements" / "depth.json"


def walk(layers: int = 60) -> list[dict]:
    return list(full_depth.walk(replace(TINY, num_layers=layers), image_tokens=12, text_tokens=5))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return walk()


def largest(rows, kind: str, number: str = "relative") -> float:
    return max(error[number] for row in rows for error in row[kind].values())


# -- sixty blocks ---------------------------------------------------------------------------------


def test_through_sixty_blocks_ours_stay_within_tolerance_in_float32(rows):
    assert len(rows) == 60
    assert largest(rows, "float32 forced") <= within("block")
    assert largest(rows, "float32 free") <= within("depth")


def test_through_sixty_blocks_ours_stay_within_tolerance_in_bf16(rows):
    for kind, name in (("bf16 forced", "block"), ("bf16 free", "depth")):
        assert largest(rows, kind) <= TOLERANCES[exact_entry(name, torch.bfloat16)].value


def test_ours_are_no_farther_from_float32_in_bf16_than_the_reference_is(rows):
    for stream in ("img", "txt"):
        ours, theirs = (
            rows[-1][f"bf16 {who} from float32"][stream]["rms"] for who in ("ours", "theirs")
        )
        assert ours <= 1.1 * theirs


def test_the_tolerance_leaves_room_for_other_last_bits_and_for_little_more(rows):
    grown = largest(rows, "float32 last bit")
    assert 3 * grown <= within("depth") <= 30 * grown


def test_no_block_leaves_the_streams_as_they_are_and_none_lets_them_explode(rows):
    sizes = [row["size"]["img"]["rms"] for row in rows]
    assert 1.5 * sizes[0] < sizes[-1] < 10 * sizes[0]


# -- planted errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attn.norm_added_k.weight", "img_mlp.net.2.weight"])
@pytest.mark.parametrize("planted", [0, 4])
def test_an_error_in_one_block_of_the_reference_is_found_at_that_block(monkeypatch, planted, name):
    def spoilt(block, config):
        twin = lend(block, config)
        if len(made) == planted + 1:
            owner, _, key = name.rpartition(".")
            weight = getattr(twin.get_submodule(owner), key).detach()
            shifted = torch.nn.Parameter(weight + 0.1 * weight.std())
            setattr(twin.get_submodule(owner), key, shifted)
        return twin

    made, draw, lend = [], full_depth.seeded, full_depth.reference_block

    def drawn(kind, *numbers, **prefix):
        network = draw(kind, *numbers, **prefix)
        if kind is Block:
            made.append(network)
        return network

    monkeypatch.setattr(full_depth, "seeded", drawn)
    monkeypatch.setattr(full_depth, "reference_block", spoilt)
    found = walk(layers=6)
    assert full_depth.first_failure(found)["block"] == planted
    beyond = found[planted + 1 :]
    assert largest(beyond, "float32 forced") <= within("block")  # fed the reference's own input
    assert largest(beyond, "float32 free") > within("depth")  # while free runs stay apart


def test_nothing_is_found_where_nothing_is_wrong(rows):
    assert full_depth.first_failure(rows) is None


def test_nan_in_one_block_is_found(rows):
    error = {"max": float("nan"), "relative": float("nan"), "rms": float("nan")}
    broken = rows[7] | {"bf16 forced": {"img": error, "txt": error}}
    assert full_depth.first_failure([*rows[:7], broken, *rows[8:]]) is broken


# -- memory ---------------------------------------------------------------------------------------


def test_no_two_blocks_of_either_kind_are_ever_alive_together(monkeypatch):
    alive = {"ours": weakref.WeakSet(), "theirs": weakref.WeakSet()}
    most = {"ours": 0, "theirs": 0}
    draw, lend = full_depth.seeded, full_depth.reference_block

    def count(kind, block):
        alive[kind].add(block)
        most[kind] = max(most[kind], len(alive[kind]))
        return block

    def drawn(kind, *numbers, **prefix):
        if kind is Block:  # counted before it has memory: the one before must be gone by now
            most["ours"] = max(most["ours"], 1 + len(alive["ours"]))
        network = draw(kind, *numbers, **prefix)
        return count("ours", network) if kind is Block else network

    monkeypatch.setattr(full_depth, "seeded", drawn)
    monkeypatch.setattr(full_depth, "reference_block", lambda *given: count("theirs", lend(*given)))
    gc.disable()  # what only the collector would free counts as alive
    try:
        walk(layers=3)
    finally:
        gc.enable()
    assert most == {"ours": 1, "theirs": 1}


def test_a_twin_has_no_memory_of_its_own():
    block = full_depth.seeded(Block, TINY.inner_dim, TINY.num_attention_heads, prefix="any.")
    ours = {tensor.data_ptr() for tensor in block.state_dict().values()}
    theirs = {
        tensor.data_ptr()
        for tensor in full_depth.reference_block(block, TINY).state_dict().values()
    }
    assert theirs == ours


# -- weights --------------------------------------------------------------------------------------


def test_a_tensor_depends_on_its_official_name_alone():
    whole = full_depth.seeded(MMDiT, replace(TINY, num_layers=3)).state_dict()
    prefix = "transformer_blocks.2."
    alone = full_depth.seeded(Block, TINY.inner_dim, TINY.num_attention_heads, prefix=prefix)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, whole[prefix + name]), name
    other = whole["transformer_blocks.1.attn.to_q.weight"]
    assert not torch.equal(other, whole[prefix + "attn.to_q.weight"])


def test_weights_are_the_same_in_both_types():
    network = full_depth.seeded(Block, TINY.inner_dim, TINY.num_attention_heads, prefix="any.")
    assert all(torch.equal(p, p.bfloat16().float()) for p in network.parameters())


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--tokens", "64"], "--tokens must be two numbers such as 64+24, got 64"),
        (["--tokens", "0+24"], "must be two numbers such as 64+24, got 0+24"),
        (["--blocks", "0"], "--blocks must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_one_line_with_the_remedy(monkeypatch, capsys, options, complaint):
    monkeypatch.setattr("sys.argv", ["depth", *options])
    with pytest.raises(SystemExit) as exit:
        full_depth.main()
    assert exit.value.code == 2 and complaint in capsys.readouterr().err.splitlines()[-1]


def test_the_command_writes_all_blocks_and_where_they_come_from(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(full_depth.MMDiTConfig, "official", lambda: replace(TINY, num_layers=3))
    monkeypatch.setattr(full_depth, "FILE", tmp_path / "depth.json")
    monkeypatch.setattr("sys.argv", ["depth", "--blocks", "2", "--tokens", "6+3"])
    full_depth.main()
    assert list(tmp_path.iterdir()) == []  # a part of the depth is shown and not kept
    monkeypatch.setattr("sys.argv", ["depth", "--blocks", "3", "--tokens", "6+3"])
    full_depth.main()
    record = json.loads((tmp_path / "depth.json").read_text(encoding="utf-8"))
    assert len(record["bf16 free"]["txt"]["max"]) == 3
    assert record["tokens"] == {"image": 6, "text": 3} and "diffusers" in record["versions"]
    assert capsys.readouterr().out.count("block  2") == 1


# -- the record -----------------------------------------------------------------------------------


def test_a_table_holds_every_number_of_every_block_in_order(rows):
    kept = full_depth.table(rows)["bf16 ours from float32"]["txt"]["rms"]
    expected = [row["bf16 ours from float32"]["txt"]["rms"] for row in rows]
    assert kept == pytest.approx(expected, rel=0.006)


def test_the_record_in_the_repository_is_of_all_sixty_blocks_and_within_tolerance():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    for dtype, kind in ((torch.float32, "float32"), (torch.bfloat16, "bf16")):
        for stream in ("img", "txt"):
            forced, free = (record[f"{kind} {how}"][stream] for how in ("forced", "free"))
            assert len(free["relative"]) == 60
            assert max(forced["relative"]) <= within("block", dtype)
            assert max(free["relative"]) <= within("depth", dtype)
    assert record["peak_gb"] < 4.5


def test_the_picture_is_drawn_from_the_record_and_says_its_numbers():
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    shown = growth()
    assert f"{record['bf16 ours from float32']['img']['rms'][-1]:.1%}" in shown.alt
    assert f"differ by {max(record['float32 free']['img']['max']):.2g}" in shown.alt
    assert shown.data.startswith(b"\x89PNG") and FILE.read_bytes().startswith(b"\x89PNG")
