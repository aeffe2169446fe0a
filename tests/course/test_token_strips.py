"""Chapter 02: strips and trees of tokens, and the text field over them."""

import re

import matplotlib.pyplot as plt
import pytest

from qwenimage_ref import bpe
from qwenimage_ref.course import answers, check, show
from qwenimage_ref.course.figures import merge_trees, token_strips
from qwenimage_ref.posters.draw import caption, sample_scene
from qwenimage_ref.tokenizer import Tokenizer
from tests.helpers.pixels import painted


@pytest.fixture(scope="module")
def pocket() -> Tokenizer:
    return Tokenizer.load(show.pocket_folder() / "tokenizer")


@pytest.fixture(scope="module")
def ranks(pocket) -> dict:
    return {pair: rank for rank, pair in enumerate(pocket.merges)}


# ---- strips


@pytest.mark.parametrize("text", ["a blue cat", "薄荷色背景上🐱", "caf\u00e9 <|im_end|>\n", ""])
def test_pieces_hold_the_ids_and_all_bytes_of_a_text(pocket, text):
    cut = token_strips.pieces(pocket, text)
    assert [id for id, _ in cut] == pocket.encode(text)
    assert bytes.fromhex("".join(held for _, held in cut)).decode() == text


def test_a_piece_of_a_character_is_shown_in_hex_and_a_space_as_a_sign():
    assert token_strips.shown([0, "20e7baa2"]) == "␣红"
    assert token_strips.shown([0, "e7ba"]) == "<e7 ba>"


def test_a_strip_is_html_with_every_token_escaped_and_words_where_no_html_can_be(pocket):
    strip = token_strips.Strip(token_strips.pieces(pocket, "<b> a circle"))
    assert "<b>" not in strip._repr_html_() and "&lt;" in strip._repr_html_()
    assert strip._repr_html_().count("<span") == len(pocket.encode("<b> a circle"))
    assert repr(strip).endswith("␣a | ␣circle")


def test_neighbours_in_a_strip_have_different_colours(pocket):
    text = token_strips.Strip(token_strips.pieces(pocket, "1234567"))._repr_html_()
    colours = re.findall(r'<span style="background:(#\w+)', text)
    assert len(colours) == 7 and all(a != b for a, b in zip(colours, colours[1:]))


def test_a_picture_of_strips_is_described_and_leaves_no_figure_open(pocket):
    rows = {
        "red": token_strips.pieces(pocket, "红色"),
        "blue": token_strips.pieces(pocket, "a blue circle"),
    }
    assert token_strips.picture(rows, "two rows of cells").alt == "two rows of cells"
    assert plt.get_fignums() == []


def test_a_cell_of_a_strip_is_as_wide_as_its_bytes():
    def area(count):
        row = {"": [[7, "20" * count]]}  # spaces, so that only ids and signs stand on the colour
        return painted(token_strips.picture(row, "one token of spaces"), "light", opacity=0.4)

    assert area(8) == pytest.approx(4 * area(2), rel=0.25)


def test_a_row_that_would_be_too_small_to_read_is_refused(pocket):
    with pytest.raises(ValueError, match="at most 56 bytes to be legible, got 57"):
        token_strips.picture({"long": token_strips.pieces(pocket, "1" * 57)}, "a long row")


def test_a_summary_counts_characters_bytes_and_tokens(pocket):
    cut = token_strips.pieces(pocket, "caf\u00e9")
    assert token_strips.summary("caf\u00e9", cut) == "4 characters, 5 bytes, 5 tokens"


# ---- the text field


def test_typing_changes_the_strip_and_its_count(pocket):
    typing = token_strips.TokenField(pocket, "a blue circle")
    before = typing.strip.value
    typing.text.value = "a blue cat"
    assert typing.strip.value != before
    assert typing.count.value == "10 characters, 10 bytes, 5 tokens"


def test_half_a_character_is_said_and_leaves_the_strip(pocket):
    typing = token_strips.TokenField(pocket, "a blue circle")
    before = typing.strip.value
    typing.text.value = "\ud83d"
    assert "half a character" in typing.count.value and typing.strip.value == before


def test_where_no_widget_can_be_the_field_is_words(pocket):
    bundle = token_strips.TokenField(pocket, "a")._repr_mimebundle_()
    assert bundle["text/plain"].startswith("a text field over the strip of its tokens")


# ---- trees


def test_a_tree_ends_in_the_tokens_of_the_word(pocket, ranks):
    for i in range(60):
        for word in bpe.split_words(caption(sample_scene(i), ("en", "zh")[i % 2], i)):
            tokens = [merge_trees.letters(tree) for tree in merge_trees.grow(word, ranks)]
            assert tokens == bpe.merge(bpe.to_letters(word), ranks)


def test_a_history_goes_from_bytes_to_tokens_one_merge_at_a_time():
    ranks = {("b", "c"): 0, ("a", "bc"): 1}
    assert merge_trees.history("abc", ranks) == [
        (None, ["a", "b", "c"]),
        (0, ["a", [0, "b", "c"]]),
        (1, [[1, "a", [0, "b", "c"]]]),
    ]


def test_a_tree_knows_its_letters_and_merges():
    tree = [7, "a", [3, "b", "c"]]
    assert merge_trees.letters(tree) == "abc" and merge_trees.merges(tree) == [7, 3]


def test_a_label_is_text_where_the_bytes_are_ascii():
    assert merge_trees.label("Ġb") == "␣b"
    assert merge_trees.label(bpe.to_letters("红")) == "e7 ba a2"


def test_a_picture_of_trees_is_described_and_leaves_no_figure_open(ranks):
    words = {"blue": merge_trees.grow(" blue", ranks), "two tokens": merge_trees.grow("cat", ranks)}
    shown = merge_trees.picture(words, "two merge trees")
    assert shown.alt == "two merge trees" and plt.get_fignums() == []
    assert painted(shown, "text") > 0, "the merges"


def test_a_letter_alone_has_no_merge_and_two_that_join_have_one():
    letter, pair = (
        merge_trees.picture({"": [tree]}, "a small tree") for tree in ("a", [7, "a", "b"])
    )
    assert painted(letter, "noise") > 0 == painted(letter, "text")
    assert painted(pair, "text") > 0 and painted(pair, "noise") > 1.5 * painted(letter, "noise")


# ---- the exercises


def test_the_dearest_prompt_is_the_answer_and_all_have_twelve_characters(pocket):
    prices = {prompt: len(pocket.encode(prompt)) for prompt in check.PROMPTS_02}
    assert {len(prompt) for prompt in prices} == {12}
    dearest = max(prices.values())
    assert [p for p, price in prices.items() if price == dearest] == [answers.EX_02_DEAR]


def test_the_answer_merges_as_the_package_does(ranks):
    for i in range(60):
        for word in bpe.split_words(caption(sample_scene(i), ("en", "zh")[i % 2], i)):
            letters = bpe.to_letters(word)
            assert answers.EX_02_MERGE([*letters], ranks) == bpe.merge(letters, ranks)
