"""The offline part of the official prompt tools: language, categories, magic phrases, quotes."""

import pytest
from helpers import speed

from qwenimage_ref.prompt_rewriting import TOOLS, category, finished, language, quoted

MARKS = ['""', "''", "“”", "‘’", "「」", "『』", "《》"]


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a red circle", "en"),
        ("红色圆形", "zh"),
        ('a sign that says "中"', "zh"),
        ("\u4e00", "zh"),
        ("\u9fff", "zh"),
        ("\u4dff\ua000", "en"),
        ("\u3400 \U00020000", "en"),
        ("ひらがな 한글 ＡＢＣ，。", "en"),
        ("", "en"),
    ],
)
def test_a_single_ideograph_makes_a_prompt_chinese(prompt, expected):
    assert language(prompt) == expected


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a fox in the snow", "general"),
        ("雪地里的一只狐狸", "general"),
        ("a woman in a green coat", "portrait"),
        ("Headshot, soft light", "portrait"),
        ("一位穿红衣的女孩", "portrait"),
        ("the humane manor", "general"),
        ('a shop with "OPEN" on its door', "text"),
        ("a woman under a sign that says OPEN", "text"),
        ("海报，写着“开业”", "text"),
    ],
)
def test_a_prompt_belongs_to_one_of_three_categories(prompt, expected):
    assert category(prompt) == expected


def test_the_first_tool_appends_the_phrase_without_a_separator():
    assert finished(" a cat\non a mat \n", "prompt_utils") == (
        "a cat on a matUltra HD, 4K, cinematic composition"
    )
    assert finished("一只猫", "prompt_utils") == "一只猫超清，4K，电影级构图"


def test_the_tool_of_2512_appends_nothing():
    assert finished(" a cat\non a mat \n", "prompt_utils_2512") == "a cat on a mat"
    assert finished("一只猫", "prompt_utils_2512") == "一只猫"


def test_the_readme_appends_the_phrase_with_comma_and_full_stop():
    assert finished("a cat") == "a cat, Ultra HD, 4K, cinematic composition."
    assert finished("一只猫") == "一只猫, 超清，4K，电影级构图."


def test_another_tool_is_refused_by_name():
    with pytest.raises(ValueError, match="tool must be one of prompt_utils, .* got 'gpt'"):
        finished("a cat", "gpt")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("text", ["Hello", " two\nlines ", "don't", "天 地", ""])
def test_no_tool_alters_a_quoted_word(tool, marks, text):
    prompt = f"a sign {marks[0]}{text}{marks[1]} over\na door"
    assert quoted(prompt)[0][2] == text
    assert f"{marks[0]}{text}{marks[1]}" in finished(prompt, tool)


@pytest.mark.parametrize("prompt", ["the dog's bowl isn't the cats' bowl", 'six " wide', "‘open"])
def test_an_apostrophe_or_a_mark_alone_quotes_nothing(prompt):
    assert quoted(prompt) == []


def test_quotes_come_in_the_order_of_the_prompt():
    assert [text for *_, text in quoted("'A7', “B8” 和《C9》")] == ["A7", "B8", "C9"]


@pytest.mark.parametrize("mark", ["“", "‘", "「", "《", '"', "'a", " '"])
def test_fifty_thousand_marks_are_searched_in_a_moment(mark):
    with speed.at_most(0.2):
        quoted(mark * (50_000 // len(mark)) + ".")
