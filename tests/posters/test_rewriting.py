"""Free wordings become captions of the grammar; a quoted word never changes."""

import pytest

from qwenimage_ref.evaluate.free_wordings import free_wording
from qwenimage_ref.posters.captions import loosened, reworded
from qwenimage_ref.posters.grammar import in_grammar
from qwenimage_ref.posters.rewriting import rewrite
from qwenimage_ref.posters.scene import sample, sample_scene

PAIR = "a red circle left of a blue star on a white background"
STACK = "a red circle above a blue star on a white background"
ZH_PAIR = "白色背景上，红色圆形在蓝色星形的左边"


@pytest.mark.parametrize(
    "prompt, expected",
    [
        # order of the words
        ("To the right of a red circle sits a blue star, white background", PAIR),
        ("On white: a blue star with a red circle on its left", PAIR),
        ("white background; circle in red on the left, star in blue on the right", PAIR),
        ("a blue star. To its left, a red circle. The background is white", PAIR),
        ("a star, blue, right of a circle, red, against white", PAIR),
        ("a blue star underneath a red circle, white backdrop", STACK),
        ("at the top a red circle, at the bottom a blue star, on white paper", STACK),
        ("白底，左边是红圆，右边是蓝色五角星", ZH_PAIR),
        ("蓝色星星的左边有一个红色的圆，背景是白色", ZH_PAIR),
        ("在红圆的右侧放蓝色星形，背景为白色", ZH_PAIR),
        ("红色圆形在左边，蓝色星形在右边，白色底", ZH_PAIR),
        # synonyms, casing and punctuation
        ("A SCARLET DISC LEFT OF A COBALT PENTAGRAM ON A PURE-WHITE BACKDROP!!", PAIR),
        ("huge golden rhombus, navy-blue canvas", "a large yellow diamond on a navy background"),
        ("a tiny violet donut in the middle, cream page",
         "a small purple ring in the center on a beige background"),
        ("light blue background, pink box on the right",
         "a small pink square on the right on a sky background"),
        ("a tangerine pyramid on pale green", "a large orange triangle on a mint background"),
        ("居中画一个迷你橘色方块，浅绿色背景", "薄荷色背景上，中间一个小的橙色方形"),
        # both languages in one prompt
        ("a 红色 circle 在 blue star 的左边, 白色 background", ZH_PAIR),
        # a word without quotation marks
        ("a big red circle on white, the sign says A7",
         'a large red circle on a white background with the text "A7"'),
        ("a big red circle on white, it reads hi",
         'a large red circle on a white background with the text "HI"'),
        ("a big red circle, A7 written below, white backdrop",
         'a large red circle on a white background with the text "A7"'),
        ("白底，大红色圆形，写着A7", "白色背景上，一个大的红色圆形，文字“A7”"),
    ],
)  # fmt: skip
def test_a_free_wording_becomes_the_caption_that_it_means(prompt, expected):
    assert rewrite(prompt).prompt == expected
    assert in_grammar(expected)


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a pair of scarlet discs on white", "two red circles on a white background"),
        ("white backdrop, 3 cobalt boxes", "three blue squares on a white background"),
        ("三颗金色星星，白底", "白色背景上，三个黄色星形"),
        ("四个红圆，写着“中山”，白底", "白色背景上，四个红色圆形，文字“中山”"),
    ],
)
def test_counts_are_for_the_second_edition(prompt, expected):
    assert rewrite(prompt, 2).prompt == expected and in_grammar(expected, 2)
    single = rewrite(prompt)
    assert len(single.scene.shapes) == 1 and single.dropped


@pytest.mark.parametrize("marks", ['""', "''", "“”", "‘’", "「」", "『』", "《》"])
@pytest.mark.parametrize("word", ["A7", "Hello", "red circle", "小猫", "a left of b", "x, y"])
def test_a_quoted_word_is_never_altered(marks, word):
    prompt = f"the sign says {marks[0]}{word}{marks[1]} under a green ring, gray backdrop"
    result = rewrite(prompt)
    assert result.scene.word == word and f'"{word}"' in result.prompt
    assert result.prompt.startswith("a large green ring on a gray background")


@pytest.mark.parametrize("edition", [1, 2])
def test_a_caption_of_the_grammar_stays_as_it_is(edition):
    for seed in range(300):
        scene = sample_scene(seed) if edition == 1 else sample(seed)
        text = loosened(reworded(scene, seed, edition), seed)
        assert rewrite(text, edition).prompt == text


@pytest.mark.parametrize("prompt", ["a fluffy cat", "一只猫", "", "!?", '"A7"', "red on blue"])
def test_a_prompt_without_a_known_shape_stays_as_it_is(prompt):
    result = rewrite(prompt)
    assert result.prompt == prompt and result.scene is None


@pytest.mark.parametrize(
    "prompt, dropped",
    [
        ("a fluffy red circle eats a blue star on white", ("fluffy", "eats")),
        ("一只可爱的猫看着红色圆形，白底", ("可爱", "猫看")),
        ("a big red circle and a small blue star on white", ("large", "small")),
        ("red circle, blue star, green ring on white", ("ring",)),
        ("a red circle at the top on white", ("top",)),
        ("a red circle on a purple background", ("purple as background",)),
        ("a white circle on a mint background", ("white as a shape's colour",)),
        ("a red circle on white, 'A7' and 'B8'", ('"B8"',)),
    ],
)
def test_what_has_no_counterpart_is_named(prompt, dropped):
    assert rewrite(prompt).dropped == dropped


@pytest.mark.parametrize(
    "prompt, assumed",
    [
        ("a big red circle", ("a white background",)),
        ("a circle and a red star on white", ("green for the circle", "left of")),
        ("a red circle on a green background", ("a mint background",)),
        ("a red circle on white that says hi", ("hi as HI",)),
    ],
)
def test_what_the_prompt_leaves_open_is_named(prompt, assumed):
    assert set(assumed) == set(rewrite(prompt).assumed)


def test_every_seen_template_is_understood_in_both_editions():
    for seed in range(200):
        scene = sample_scene(seed, None) if seed % 2 else sample(seed, unseen=None)
        language = ("en", "zh")[seed % 3 == 0]
        prompt, says_paper = free_wording(scene, language, held_out=False, seed=seed)
        found_scene = rewrite(prompt, 1 if seed % 2 else 2).scene
        assert (found_scene.shapes, found_scene.layout) == (scene.shapes, scene.layout), prompt
        assert found_scene.word == scene.word, prompt
        assert found_scene.background == scene.background or not says_paper, prompt


def test_a_rewritten_prompt_is_in_the_grammar():
    for seed in range(200):
        scene = sample(seed, unseen=None)
        prompt, _ = free_wording(scene, ("en", "zh")[seed % 2], seed % 3 == 0, seed)
        result = rewrite(prompt, 2)
        assert result.scene is None or in_grammar(result.prompt, 2), prompt


def test_the_free_wordings_are_outside_the_grammar():
    for seed in range(200):
        scene = sample(seed, unseen=None)
        prompt, _ = free_wording(scene, ("en", "zh")[seed % 2], seed % 3 == 0, seed)
        assert not in_grammar(prompt, 1) and not in_grammar(prompt, 2)
