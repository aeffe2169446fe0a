"""The grammar of the captions: is a prompt one of them, and which of its words are in none?"""

import functools
import re

from ..prompt_rewriting import quoted
from .captions import LOOSE, templates
from .scene import BACKGROUNDS, COLOURS, SHAPES
from .strokes import CHARACTERS
from .writing import LETTERS

_CHINESE = "\u4e00-\u9fff"


def in_grammar(prompt: str, edition: int = 1) -> bool:
    """Whether training has captions like this one, loosened ones included"""
    text = prompt[:1].lower() + prompt[1:]
    return any(_sentence(each, edition).fullmatch(text) for each in ("en", "zh"))


def never_met(prompt: str, edition: int = 1) -> list[str]:
    """Prompt -> its words that are in no training caption, each once, quoted ones last

    A quoted word is met if it has at most four capitals and digits or, in the second edition, three
    of the 24 Chinese characters. Chinese names of colours, shapes and backgrounds are met as a
    whole, the other characters of the captions one by one.
    """
    parts, words, end = [], [], 0
    for start, after, word in quoted(prompt):
        parts.append(prompt[end:start])
        words += [f'"{word}"'] if word and not re.fullmatch(_word(edition), word) else []
        end = after
    text = " ".join([*parts, prompt[end:]])
    english, names, characters = _vocabulary(edition)
    spelled = re.findall(r"[^\W_]+(?:'[^\W_]+)*", re.sub(f"[{_CHINESE}]+", " ", text))
    unmet = [word for word in spelled if word.lower() not in english]
    # careful: a character of a name is not met without the rest of the name
    rest = re.sub(f"{'|'.join(names)}|[{characters}]", " ", text)
    unmet += re.findall(f"[{_CHINESE}]+", rest)
    return list(dict.fromkeys(unmet + words))


def _word(edition: int) -> str:
    letters = f"[{LETTERS}]{{1,4}}"
    return letters if edition == 1 else f"{letters}|[{CHARACTERS}]{{1,3}}"


@functools.cache
def _sentence(language: str, edition: int) -> re.Pattern:
    """The pattern of all captions of a language"""
    chinese = language == "zh"
    colours = "|".join(name if chinese else key for key, (name, _) in COLOURS.items())
    papers = "|".join(name if chinese else key for key, (name, _) in BACKGROUNDS.items())
    between, forms = ("", SHAPES.values()) if chinese else (" ", SHAPES)
    shape = f"(?:{colours}){between}(?:{'|'.join(forms)})"
    shapes = "|".join(templates(language, edition)).replace("{}", shape)
    # the background goes unsaid in some captions of the second edition only
    unsaid = "?" if edition == 2 else ""
    if chinese:
        pattern = f"(?:(?:{papers})背景上，){unsaid}(?:{shapes})(?:，文字“(?:{_word(edition)})”)?"
    else:
        pattern = f"(?:{shapes})(?: on a (?:{papers}) background){unsaid}"
        pattern = pattern.replace("a (?:red|", "(?:an (?=orange)|a (?!orange))(?:red|")
        pattern += f'(?: with the text "(?:{_word(edition)})")?'
    for plain, other in LOOSE:
        pattern = pattern.replace(plain, f"(?:{plain}|{other})")
    return re.compile(f"(?:{pattern})[.。]?")


@functools.cache
def _vocabulary(edition: int) -> tuple[frozenset[str], tuple[str, ...], str]:
    """English words, Chinese names with the longest first, and the other Chinese characters"""
    wordings = [*templates("en", edition), *templates("zh", edition), *sum(LOOSE, ())]
    wordings += ["an on a background with the text", "背景上文字"]
    english = {*COLOURS, *SHAPES, *BACKGROUNDS, *(f"{name}s" for name in SHAPES if edition == 2)}
    english |= set(re.findall("[a-z0-9]+", " ".join(wordings)))
    chinese = [name for name, _ in (*COLOURS.values(), *BACKGROUNDS.values())] + [*SHAPES.values()]
    characters = set(re.findall(f"[{_CHINESE}]", "".join(wordings)))
    return frozenset(english), tuple(sorted(chinese, key=len, reverse=True)), "".join(characters)
