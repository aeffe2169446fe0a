"""Instructions in words, English and Chinese: plain ones, and as people say it."""

import random

from .scene import BACKGROUNDS, COLOURS, SHAPES, Shape

_PLACES = {
    "en": {"small left": "left", "small centre": "center", "small right": "right"},
    "zh": {"small left": "左边", "small centre": "中间", "small right": "右边"},
}
_PLAIN = {
    "en": {
        "recolour": ("make the {shape} {colour}", "change the {shape} to {colour}",
                     "turn the {shape} {colour}"),
        "reshape": ("turn the {shape} into a {form}", "replace the {shape} with a {form}",
                    "change the {shape} to a {form}"),
        "move": ("move the {shape} to the {place}", "put the {shape} in the {place}"),
        "swap": ("swap the {shape} and the {second}",
                 "let the {shape} and the {second} change places"),
        "remove": ("remove the {shape}", "take the {shape} away", "delete the {shape}"),
        "add": ("add a {shape} on the {place}", "put a {shape} on the {place}"),
        "word": ('change the text to "{word}"', 'replace the text with "{word}"',
                 'change "{old}" to "{word}"'),
        "background": ("make the background {background}", "change the background to {background}",
                       "use a {background} background"),
    },
    "zh": {
        "recolour": ("把{shape}变成{colour}", "将{shape}改为{colour}"),
        "reshape": ("把{shape}变成{form}", "将{shape}改为{form}"),
        "move": ("把{shape}移到{place}", "将{shape}放在{place}"),
        "swap": ("交换{shape}和{second}", "让{shape}和{second}换位置"),
        "remove": ("去掉{shape}", "删除{shape}"),
        "add": ("在{place}加一个{shape}", "在{place}放一个{shape}"),
        "word": ("把文字改为“{word}”", "将文字“{old}”变成“{word}”"),
        "background": ("把背景变成{background}", "将背景改为{background}"),
    },
}  # fmt: skip
_LOOSE = {
    "en": {
        "recolour": ("can the {shape} be {colour} please", "i want the {shape} in {colour}"),
        "reshape": ("a {form} instead of the {shape}", "i want a {form} where the {shape} is"),
        "move": ("the {shape} should be on the {place} side", "shift the {shape} {place}"),
        "swap": ("the {shape} where the {second} is, and the other way round",
                 "exchange {shape} and {second}"),
        "remove": ("without the {shape} please", "i do not want the {shape}"),
        "add": ("another shape on the {place}, a {shape}", "a {shape} is missing on the {place}"),
        "word": ('write "{word}"', 'it should say "{word}"'),
        "background": ("{background} paper please", "everything on {background}"),
    },
    "zh": {
        "recolour": ("{shape}要{colour}的",),
        "reshape": ("{shape}换成{form}",),
        "move": ("{shape}应该在{place}",),
        "swap": ("{shape}和{second}对换",),
        "remove": ("不要{shape}",),
        "add": ("{place}还要一个{shape}",),
        "word": ("写上“{word}”",),
        "background": ("要{background}的背景",),
    },
}  # fmt: skip
_SEVERAL = {
    "en": {
        "colour of 2": ("the shape of picture {0} in the colour of picture {1}",
                        "paint the shape of picture {0} in the colour of picture {1}"),
        "word of 2": ("put the text of picture {1} on picture {0}",
                      "picture {0} with the text of picture {1}"),
        "background of 2": ("picture {0} with the background of picture {1}",
                            "put picture {0} on the background of picture {1}"),
        "word of 2, background of 3": (
            "picture {0} with the text of picture {1} and the background of picture {2}",),
    },
    "zh": {
        "colour of 2": ("图{0}的形状，图{1}的颜色",),
        "word of 2": ("把图{1}的文字放在图{0}上",),
        "background of 2": ("图{0}，用图{1}的背景",),
        "word of 2, background of 3": ("图{0}，用图{1}的文字和图{2}的背景",),
    },
}  # fmt: skip


def instruction(
    kind: str, words: dict[str, str | Shape], language: str, loose: bool, rng: random.Random
) -> str:
    """What an edit of one poster asks for; `words` are keys of the world's tables, or shapes"""
    wording = rng.choice((_LOOSE if loose else _PLAIN)[language][kind])
    text = wording.format(**{role: _named(role, word, language) for role, word in words.items()})
    return text.replace("a orange", "an orange")


def _named(role: str, word: str | Shape, language: str) -> str:
    if role == "place":
        return _PLACES[language][word]
    if role in ("word", "old"):
        return word
    if language == "en":
        return f"{word.colour} {word.name}" if isinstance(word, Shape) else word
    if isinstance(word, Shape):
        return COLOURS[word.colour][0] + SHAPES[word.name]
    if role == "form":
        return SHAPES[word]
    return {"colour": COLOURS, "background": BACKGROUNDS}[role][word][0]


def of_several(kind: str, numbers: list[int], language: str, rng: random.Random) -> str:
    """The same of several; numbers: of the picture that is changed, and of those it takes from"""
    return rng.choice(_SEVERAL[language][kind]).format(*numbers)
