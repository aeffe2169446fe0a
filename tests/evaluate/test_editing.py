"""How editors are measured: held-out instructions, answers, and the tables made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.evaluate import editing
from qwenimage_ref.posters.edits import SINGLE
from qwenimage_ref.posters.scene import UNSEEN_PAIRS
from qwenimage_ref.posters.understanding import KINDS


def painter(answer):
    """In place of a pipeline: it paints `answer` of the instruction that it recognises"""

    def paint(prompt, negative, scale, height, width, steps, seed, image):
        picture = Image.fromarray(answer(prompt, image).copy())
        assert picture.size == (width, height)
        return [picture]

    return paint


def by_prompt(asked):
    return {each.prompt: each for each in asked}


def test_every_kind_is_asked_as_often_and_some_wanted_pairs_were_never_trained():
    wanted = editing.instructions(64)
    kinds = [each.kind for each in wanted]
    assert {kinds.count(kind) for kind in SINGLE} == {8}
    pairs = [{(s.colour, s.name) for s in each.target.shapes} & UNSEEN_PAIRS for each in wanted]
    assert 4 <= sum(map(bool, pairs)) <= 10


def test_a_perfect_editor_has_every_point_and_one_that_copies_leaves_all_untouched():
    wanted = editing.instructions(16)
    known = by_prompt(wanted)
    perfect = editing.answers(painter(lambda prompt, _: known[prompt].wanted), wanted)
    assert perfect == {"obeyed": "1" * 16, "untouched": "1" * 16, "both": "1" * 16}
    copied = editing.answers(painter(lambda prompt, _: known[prompt].pictures[0]), wanted)
    assert copied == {"obeyed": "0" * 16, "untouched": "1" * 16, "both": "0" * 16}
    whole, *rows = editing.table(copied, wanted)
    assert whole["kind"] == "all" and whole["untouched"]["of"] == 16
    assert [row["kind"] for row in rows] == list(SINGLE)
    assert all(row["obeyed"]["right"] == 0 and row["obeyed"]["of"] == 2 for row in rows)


def test_questions_are_scored_by_kind():
    asked = editing.questions(8)
    known = by_prompt(asked)
    numbers = editing.scores(painter(lambda prompt, _: known[prompt].wanted), asked)
    assert {kind: len(scores) for kind, scores in numbers.items()} == dict.fromkeys(KINDS, 2)
    assert numbers["mask"] == [1.0, 1.0] and numbers["depth"] == [1.0, 1.0]
    summed = editing.understanding(numbers | {"edges": [20.0, 22.0], "mirror": [30.0, 31.0]})
    assert summed["mask"]["mean"] == 1.0 and summed["depth"]["share"] == 1.0
    assert summed["edges"]["mean"] == 21.0


def test_pictures_that_change_places_under_the_same_words_ask_for_something_else():
    def of(order):
        return [
            editing.edit_of_several(editing.FIRST_SEED + i, ("colour of 2",), editing.MIXTURE,
                                    order=order) for i in range(4)
        ]  # fmt: skip

    def seen(prompt, pictures):
        return prompt, tuple(Image.fromarray(each).tobytes() for each in pictures)

    known = {seen(each.prompt, each.pictures): each for order in ((0, 1), (1, 0))
             for each in of(order)}  # fmt: skip

    def obedient(prompt, image):
        """It knows both orders of the pictures by their words; else it copies"""
        asked = known.get((prompt, tuple(each.tobytes() for each in image)))
        return asked.wanted if asked else np.asarray(image[0])

    answers = editing.swapped(painter(obedient), 4)
    assert answers == {"straight": "1111", "turned": "1111", "pictures": "0000"}


def test_a_folder_that_paints_from_text_alone_is_refused(tmp_path, monkeypatch):
    plain = SimpleNamespace(from_pretrained=lambda folder: SimpleNamespace(form=None))
    monkeypatch.setattr(editing, "QwenImage", plain)
    with pytest.raises(ValueError, match="must hold a model that edits; train one first$"):
        editing.measure(tmp_path, 40, tmp_path / "record.json")


def test_an_editor_of_one_path_is_measured_with_pictures_there_alone(tmp_path, monkeypatch):
    form, paths = SimpleNamespace(most=1), []
    pipe = SimpleNamespace(form=form)
    monkeypatch.setattr(editing, "QwenImage", SimpleNamespace(from_pretrained=lambda folder: pipe))
    monkeypatch.setattr(editing, "EditForm", SimpleNamespace)
    monkeypatch.setattr(editing, "terms_of", lambda pipe, count: {"captions": count})

    def on_one_path(pipe, path):
        paths.append(path)
        return painter(lambda prompt, image: np.asarray(image[0]))

    monkeypatch.setattr(editing, "on_one_path", on_one_path)
    record = editing.measure(tmp_path, 40, tmp_path / "record.json", "vae")
    assert paths == ["vae"] and record["path"] == "vae"
    assert record["edits"][0]["untouched"]["of"] == 40 == record["captions"]
