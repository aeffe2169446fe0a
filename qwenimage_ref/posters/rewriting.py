"""Free wordings into the captions that the pocket model was trained on. Tables, no model.

    "To the right of a scarlet disc sits a golden star, the sign says A7"
    -> 'a red circle left of a yellow star on a white background with the text "A7"'

The prompt is cut into tokens of a known kind (rewriting_words.py); these make a scene, and the
scene makes a caption in the prompt's language. A quoted word is never altered.
"""

import re
from dataclasses import dataclass, field

from ..prompt_rewriting import language, quoted
from . import rewriting_words as words
from .captions import caption
from .grammar import in_grammar
from .rewriting_tokens import Token, tokens_of
from .scene import BACKGROUNDS, COLOURS, COUNTS, SEVERAL, Scene, Shape

_OPPOSITE = {"right of": "left of", "below": "above"}
_RELATION_OF_SIDE = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}
_WORD = "[A-Z0-9]{1,8}(?![A-Za-z])"


@dataclass(frozen=True)
class Rewriting:
    """What is painted, and how it differs from what was asked for."""

    prompt: str
    scene: Scene | None = None  # None: nothing was rewritten
    dropped: tuple[str, ...] = ()  # words of the prompt that have no counterpart
    assumed: tuple[str, ...] = ()  # what the prompt leaves open, and what stands for it


@dataclass
class _Thing:
    """A shape and what is said of it."""

    name: str = ""
    colour: str = ""
    size: str = ""
    place: str = ""
    count: str = ""


@dataclass
class _Notes:
    dropped: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def rewrite(prompt: str, edition: int = 1) -> Rewriting:
    """Prompt in free words -> the nearest caption of the edition's grammar, with notes

    A caption of the grammar, and a prompt without any known shape, stay as they are. Of more than
    two different shapes the first two are kept.
    """
    if in_grammar(prompt, edition):
        return Rewriting(prompt)
    notes = _Notes()
    scene, chinese = _scene(prompt, edition, notes)
    if scene is None:
        return Rewriting(prompt, dropped=tuple(notes.dropped))
    line = caption(scene, "zh" if chinese else "en", edition=edition)
    return Rewriting(line, scene, tuple(notes.dropped), tuple(notes.assumed))


def scene_of(prompt: str, edition: int = 2) -> Scene | None:
    """The scene that a prompt asks for, exact for captions of the grammar; None without a shape."""
    return _scene(prompt, edition, _Notes())[0]


def _scene(prompt: str, edition: int, notes: _Notes) -> tuple[Scene | None, bool]:
    """-> the scene, and whether the prompt is Chinese"""
    text, word = _without_word(prompt, notes)
    tokens = tokens_of(text, notes.dropped)
    tokens, background = _background(tokens, notes)
    things, relation = _things(tokens, notes)
    if not things:
        return None, False
    shapes, layout = _layout(things, relation, edition, notes)
    return Scene(background, shapes, layout, word), language(text) == "zh"


# --- the word


def _without_word(prompt: str, notes: _Notes) -> tuple[str, str]:
    """-> the prompt without its word, and the word"""
    spans = quoted(prompt)
    for start, end, _ in reversed(spans):
        prompt = f"{prompt[:start]} , {prompt[end:]}"
    if spans:
        notes.dropped += [f'"{text}"' for *_, text in spans[1:]]
        return prompt, spans[0][2]
    for pattern in (
        rf"\b(?i:{words.SAYING})({_WORD})",
        rf"\b(?i:{words.SAYING})([\u4e00-\u9fff]{{1,3}})(?![\u4e00-\u9fff])",
        rf"\b({_WORD}|[\u4e00-\u9fff]{{1,3}}) written(?: below| above| under(?:neath)?)?\b",
        rf"{words.SAYING_CHINESE}\s*({_WORD}|[\u4e00-\u9fff]{{1,3}})(?![\u4e00-\u9fff])",
    ):
        if match := re.search(pattern, prompt):
            return f"{prompt[: match.start()]} , {prompt[match.end() :]}", match[1]
    # in small letters only where nothing follows: "it says hi"
    if match := re.search(rf"(?i)\b(?:{words.SAYING})([a-z0-9]{{1,8}})\s*[.!]?$", prompt):
        notes.assumed.append(f"{match[1]} as {match[1].upper()}")
        return prompt[: match.start()], match[1].upper()
    return prompt, ""


# --- the background


def _background(tokens: list[Token], notes: _Notes) -> tuple[list[Token], str]:
    """-> the tokens that do not speak of the background, and its name"""
    kinds = "".join(token.kind for token in tokens)
    matches = (re.search(pattern, kinds) for pattern in ("[ot]?cb", "bt?c", "oc(?!z*s)"))
    match = next((each for each in matches if each), None)
    if match is None:
        notes.assumed.append("a white background")
        return [token for token in tokens if token.kind not in "bo"], "white"
    inside, rest = tokens[match.start() : match.end()], tokens[: match.start()]
    rest += [Token("j", "", ","), *tokens[match.end() :]]
    colour = next(token for token in inside if token.kind == "c")
    return [token for token in rest if token.kind not in "bo"], _paper(colour, notes)


def _paper(colour: Token, notes: _Notes) -> str:
    if colour.value in BACKGROUNDS:
        return colour.value
    paper = words.NEAREST_PAPER.get((colour.shade, colour.value))
    if paper is None:
        notes.dropped.append(f"{colour.text} as background")
        paper = "white"
    if paper == "white" or not colour.shade:
        notes.assumed.append(f"a {paper} background")
    return paper


# --- shapes and layout


def _things(tokens: list[Token], notes: _Notes) -> tuple[list[_Thing], tuple[str, int] | None]:
    """-> the shapes in their order; the relation of one to the other, and the other's number"""
    things, relation, coming, before = [], None, _Thing(), ""
    for clause in _clauses(tokens):
        separator, *inside = clause
        if separator.kind == "r":
            relation = (separator.value, len(things))
        elif separator.kind == "i":
            relation = (separator.value, 0)
        first = next((token.kind for token in inside if token.kind in "cs"), "")
        shapes_left = sum(token.kind == "s" for token in inside)
        for token in inside:
            if token.kind == "s":
                shapes_left -= 1
                coming.name = token.value
                things, coming = [*things, coming], _Thing()
            elif token.kind == "d" and before == "s" and not things[-1].place:
                relation = (_RELATION_OF_SIDE[token.value], len(things) - 1)
            elif token.kind in "czpdn":
                later = shapes_left and (first == "c" or token.kind in "zn" or before != "s")
                coming = _say(token, things, coming, bool(later), notes)
            before = token.kind
        before = ""
    return things, relation


def _clauses(tokens: list[Token]) -> list[list[Token]]:
    """Tokens -> lists that each begin with what separates them from the one before"""
    clauses = [[Token("j", "", "")]]
    for token in tokens:
        if token.kind in "jri":
            clauses.append([token])
        else:
            clauses[-1].append(token)
    return clauses


def _say(token: Token, things, coming: _Thing, later: bool, notes: _Notes) -> _Thing:
    """Store an attribute with the shape before it, or with the coming one, which is returned"""
    name = {"c": "colour", "z": "size", "n": "count"}.get(token.kind, "place")
    value = token.value
    if name == "colour":
        value = words.NEAREST_INK.get(value, value)
        if value not in COLOURS:
            notes.dropped.append(f"{token.text} as a shape's colour")
            return coming
    owner = coming if later or not things or getattr(things[-1], name) else things[-1]
    if not getattr(owner, name):
        setattr(owner, name, value)
    return coming


def _layout(things: list[_Thing], relation, edition: int, notes: _Notes):
    """-> the shapes and the layout of a scene"""
    notes.dropped += [thing.name for thing in things[2:]]
    shapes = _shapes(things[:2], notes)
    if len(shapes) == 1:
        return _one(things[0], shapes[0], edition, notes)
    notes.dropped += [thing.size for thing in things[:2] if thing.size]
    notes.dropped += [thing.count for thing in things[:2] if thing.count]
    if relation is None:
        relation = _from_places(*things[:2])
    if relation is None:
        relation = ("left of", 1)
        notes.assumed.append("left of")
    name, anchor = relation
    ordered = shapes if anchor == 1 else shapes[::-1]
    if name in _OPPOSITE:
        name, ordered = _OPPOSITE[name], ordered[::-1]
    return tuple(ordered), name


def _shapes(things: list[_Thing], notes: _Notes) -> list[Shape]:
    shapes = []
    for thing in things:
        if not thing.colour:
            used = {each.colour for each in things}
            thing.colour = next(colour for colour in COLOURS if colour not in used)
            notes.assumed.append(f"{thing.colour} for the {thing.name}")
        shapes.append(Shape(thing.name, thing.colour))
    return shapes


def _one(thing: _Thing, shape: Shape, edition: int, notes: _Notes):
    if thing.count and edition == 2 and int(thing.count) in COUNTS:
        notes.dropped += [each for each in (thing.size, thing.place) if each]
        return (shape,) * int(thing.count), SEVERAL
    if thing.count:
        notes.dropped.append(thing.count)
    if thing.place in ("left", "right"):
        notes.dropped += ["large"] if thing.size == "large" else []
        return (shape,), f"small {thing.place}"
    notes.dropped += [thing.place] if thing.place in ("top", "bottom") else []
    return (shape,), "small centre" if thing.size == "small" else "large"


def _from_places(first: _Thing, second: _Thing) -> tuple[str, int] | None:
    """The relation of two shapes that are on different sides of the picture."""
    if first.place in _RELATION_OF_SIDE:
        return _RELATION_OF_SIDE[first.place], 1
    if second.place in _RELATION_OF_SIDE:
        return _RELATION_OF_SIDE[second.place], 0
    return None
