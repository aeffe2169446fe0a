"""The pictures of attention and the sliders over it."""

import matplotlib.pyplot as plt
import torch

from qwenimage_ref.course.figures import text_attention
from tests.helpers.pixels import painted, spots, where

TOKENS = ["<|im_start|>", " a", "\n", " <b>", " "]


def maps():
    """(L, H, T, T) = (3, 2, 5, 5): every token reads all that came before it alike."""
    T = len(TOKENS)
    return torch.ones(T, T).tril().div(torch.arange(1, T + 1)[:, None]).expand(3, 2, T, T)


def test_marks_line_ends_and_spaces_are_spelled_with_signs():
    assert [*map(text_attention.spelled, TOKENS)] == ["‹start›", "a", "↵", "<b>", "␣"]


def test_a_strip_holds_each_token_once_and_escapes_it():
    text = text_attention.strip(TOKENS, [0.01, 0.6, 0.1, 0.2, 0.09])
    assert text.count("<span") == len(TOKENS)
    assert "&lt;b&gt;" in text and "<b>" not in text


def test_a_larger_share_stands_on_a_darker_ground_and_next_to_none_on_none():
    assert "0.60)" in text_attention.strip(["a"], [0.6])
    assert "0.00)" in text_attention.strip(["a"], [0.01])


def test_the_sliders_show_one_strip_a_head_up_to_the_reading_token():
    book = text_attention.TextAttentionSliders(TOKENS, maps())
    assert book.strips.value.count("head ") == 2
    assert book.strips.value.count("<span") == 2 * len(TOKENS)
    book.token.value = 1
    assert book.strips.value.startswith("<b>a</b> reads")
    assert book.strips.value.count("<span") == 2 * 2


def test_another_layer_shows_other_shares():
    shares = maps().clone()
    shares[2] = torch.eye(len(TOKENS))
    book = text_attention.TextAttentionSliders(TOKENS, shares)
    before = book.strips.value
    book.layer.value = 2
    assert book.strips.value != before
    book.layer.value = 1
    assert book.strips.value == before


def test_where_no_widget_can_be_the_sliders_are_words():
    bundle = text_attention.TextAttentionSliders(TOKENS, maps())._repr_mimebundle_()
    assert bundle["text/plain"].startswith("sliders for layer and token")


def whole(token: int):
    """(L, H, T, T): every token gives all its attention to one."""
    shares = torch.zeros(3, 2, len(TOKENS), len(TOKENS))
    shares[..., token] = 1
    return shares


def test_the_last_token_s_attention_is_dark_at_the_token_that_it_looks_at():
    drawn = [
        text_attention.last_token(TOKENS, whole(token), 2, "one dark column") for token in (0, 4)
    ]
    # the darkest colour of the scale is also the letters', so their share of both is the same
    first, last = (where(shown, "ink").sum(0) for shown in drawn)
    assert int((first - last).argmax()) < int((last - first).argmax())
    (cut,), (cut_too,) = (spots(shown, "wrong") for shown in drawn)
    assert int((first - last).argmax()) < cut == cut_too < int((last - first).argmax())
    assert drawn[0].alt == "one dark column" and plt.get_fignums() == []


def test_every_head_has_its_map_with_a_line_at_the_cut():
    shown = text_attention.every_head(whole(0), 2, "six maps with a dark column")
    assert len(spots(shown, "wrong")) >= 2, "a line in each of two columns of maps"
    empty = text_attention.every_head(0 * whole(0), 2, "six maps without a dark column")
    assert painted(shown, "ink") > painted(empty, "ink") + 6 * 500
    assert plt.get_fignums() == []
