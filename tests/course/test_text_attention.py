"""The pictures of attention and the sliders over it."""

import matplotlib.pyplot as plt
import torch

from qwenimage_ref.course.figures import text_attention

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


def test_the_drawings_are_described_and_leave_no_figure_open():
    assert text_attention.last_token(TOKENS, maps(), 2, "all heads alike").alt == "all heads alike"
    assert text_attention.every_head(maps(), 2, "six triangles").alt == "six triangles"
    assert plt.get_fignums() == []
