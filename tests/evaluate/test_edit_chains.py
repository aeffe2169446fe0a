"""Five edits in a row: instructions, what is counted after each, and a perfect editor."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.evaluate import edit_chains
from qwenimage_ref.posters.draw import paint
from qwenimage_ref.posters.edit_chains import KINDS, chain
from qwenimage_ref.posters.scene import Shape

CHAINS = [chain(number, edit_chains.MIXTURE) for number in range(8)]


def test_each_instruction_follows_from_the_last_and_changes_one_trait():
    for edits in CHAINS:
        assert sorted(each.kind for each in edits) == sorted(KINDS)
        for before, after in zip(edits, edits[1:]):
            assert after.sources == (before.target,)
    names = {"recolour": "colour", "reshape": "form", "move": "place"}
    for each in sum(CHAINS, []):
        seen = edit_chains.traits(each.target, each.pictures[0])
        assert [name for name, kept in seen.items() if not kept] == [
            names.get(each.kind, each.kind)
        ]


def test_the_orders_of_the_kinds_differ_and_a_chain_is_always_the_same():
    assert len({tuple(each.kind for each in edits) for edits in CHAINS}) > 4
    assert chain(3, edit_chains.MIXTURE) == CHAINS[3]


def test_the_drawn_poster_has_all_traits_and_an_empty_one_none_of_its_shape():
    for each in sum(CHAINS, []):
        assert all(edit_chains.traits(each.target, each.wanted).values())
    target = CHAINS[0][0].target
    empty = paint(target).copy()
    empty[:] = empty[0, 0]
    seen = edit_chains.traits(target, empty)
    assert not any(seen[name] for name in ("colour", "form", "place", "word"))
    assert seen["background"]


class Editor:
    """In place of a pipeline: it paints what is wanted, but keeps what was wrong in its picture

    wrong: number of an instruction at which it paints another shape, which then stays.
    """

    def __init__(self, edits, wrong=None):
        self.edits = {each.prompt: (number, each) for number, each in enumerate(edits)}
        self.wrong = wrong

    def __call__(self, prompt, negative, scale, height, width, steps, seed, image):
        number, each = self.edits[prompt]
        spoilt = (
            number == self.wrong
            or not edit_chains.traits(each.sources[0], np.asarray(image[0]))["form"]
        )
        shape = each.target.shapes[0]
        other = Shape("star" if shape.name != "star" else "ring", shape.colour)
        target = SimpleNamespace(**vars(each.target))
        target.shapes = (other,) if spoilt and each.kind != "reshape" else each.target.shapes
        return [Image.fromarray(paint(target))]


def test_an_error_is_carried_along_by_own_results_alone():
    edits = next(each for each in CHAINS if each[-1].kind == "reshape")
    perfect = edit_chains.links(Editor(edits), edits, 0, "own result")
    assert all(row[name] for row in perfect for name in edit_chains.TRAITS)
    assert all(row["away"] == 0 for row in perfect)
    spoilt = Editor(edits, wrong=1)
    own, wanted = (edit_chains.links(spoilt, edits, 0, start) for start in edit_chains.STARTS)
    assert [row["form"] for row in own] == [True, False, False, False, True]
    assert [row["form"] for row in wanted] == [True, False, True, True, True]
    lines = edit_chains.table([own, perfect])
    assert [line["form"]["right"] for line in lines] == [2, 1, 1, 1, 2]
    assert [line["all"]["right"] for line in lines] == [2, 1, 1, 1, 2]
    assert lines[1]["away"]["mean"] > 0 == lines[0]["away"]["mean"]


def test_the_record_holds_both_starts_and_their_paired_difference(tmp_path, monkeypatch):
    pipes = SimpleNamespace(from_pretrained=lambda folder: None)
    monkeypatch.setattr(edit_chains, "QwenImage", pipes)
    monkeypatch.setattr(edit_chains, "terms_of", lambda pipe, count: {"captions": count})

    def copied(pipe, prompt, given, size, seed):
        return Image.fromarray(given[0])

    monkeypatch.setattr(edit_chains, "paint", copied)
    record = edit_chains.measure(tmp_path, 5, tmp_path / "record.json")
    assert record["after"]["own result"][4]["all"]["right"] == 0 and record["last"]["of"] == 5
    of_wanted = record["after"]["wanted poster"]
    assert all(line["all"]["right"] == 0 for line in of_wanted)  # one trait is always the old one
    with pytest.raises(FileNotFoundError):
        (tmp_path / "record.progress").stat()
