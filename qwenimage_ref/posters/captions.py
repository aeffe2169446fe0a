"""A scene in words, English or Chinese; the second edition has more wordings than the first."""

import random

from .scene import BACKGROUNDS, COLOURS, SEVERAL, SHAPES, Scene, Shape

_ENGLISH_PLACE = {
    "large": ("a large {}",),
    "small left": ("a small {} on the left", "a small {} at the left side"),
    "small centre": ("a small {} in the center", "a small {} in the middle"),
    "small right": ("a small {} on the right", "a small {} at the right side"),
}
_ENGLISH_RELATION = {
    "left of": ("a {} left of a {}", "a {} to the left of a {}", "a {} with a {} on its right"),
    "above": ("a {} above a {}", "a {} on top of a {}", "a {} over a {}"),
}
_ENGLISH_REVERSED = {
    "left of": ("a {} right of a {}", "a {} to the right of a {}"),
    "above": ("a {} below a {}", "a {} under a {}"),
}
_CHINESE_PLACE = {
    "large": ("一个大的{}", "大{}"),
    "small left": ("左边一个小的{}", "一个小的{}在左边"),
    "small centre": ("中间一个小的{}", "一个小的{}在中间"),
    "small right": ("右边一个小的{}", "一个小的{}在右边"),
}
_CHINESE_RELATION = {
    "left of": ("{}在{}的左边", "{}在{}左侧"),
    "above": ("{}在{}的上面", "{}在{}上方"),
}
_CHINESE_REVERSED = {
    "left of": ("{}在{}的右边", "{}在{}右侧"),
    "above": ("{}在{}的下面", "{}在{}下方"),
}
# what the second edition adds: a shape without a size is a large one
_MORE_PLACES = {"en": {"large": ("a {}",)}, "zh": {"large": ("一个{}",)}}
_ENGLISH_COUNT = {2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
_CHINESE_COUNT = {2: ("两个", "2个"), 3: ("三个", "3个"), 4: ("四个", "4个")}


def caption(
    scene: Scene, language: str = "en", seed: int | str | None = None, edition: int = 1
) -> str:
    """The scene in words. Without a seed the plainest wording, with one a random wording."""
    rng = random.Random(seed) if seed is not None else None
    if language not in ("en", "zh"):
        raise ValueError(f"language must be en or zh, got {language!r}")
    shapes = _shapes(scene, language, rng, edition)
    if language == "zh":
        text = f"，文字“{scene.word}”" if scene.word else ""
        return f"{BACKGROUNDS[scene.background][0]}背景上，{shapes}{text}"
    shapes = shapes.replace("a orange", "an orange")
    text = f' with the text "{scene.word}"' if scene.word else ""
    return f"{shapes} on a {scene.background} background{text}"


def _shapes(scene: Scene, language: str, rng: random.Random | None, edition: int) -> str:
    chinese = language == "zh"
    names = [_name(shape, chinese) for shape in scene.shapes]
    if scene.layout == SEVERAL:
        counts = (_CHINESE_COUNT if chinese else _ENGLISH_COUNT)[len(names)]
        count = rng.choice(counts) if rng else counts[0]
        return count + names[0] if chinese else f"{count} {names[0]}s"
    if len(names) == 1:
        wordings = (_CHINESE_PLACE if chinese else _ENGLISH_PLACE)[scene.layout]
        if edition == 2:
            wordings += _MORE_PLACES[language].get(scene.layout, ())
    else:
        wordings = (_CHINESE_RELATION if chinese else _ENGLISH_RELATION)[scene.layout]
        if rng and rng.random() < 0.3:  # the same scene from the second shape's side
            wordings = (_CHINESE_REVERSED if chinese else _ENGLISH_REVERSED)[scene.layout]
            names.reverse()
    return (rng.choice(wordings) if rng else wordings[0]).format(*names)


def templates(language: str, edition: int = 1) -> tuple[str, ...]:
    """All wordings of the shapes in one language, with {} for each colour and shape"""
    chinese = language == "zh"
    tables = (
        (_CHINESE_PLACE, _CHINESE_RELATION, _CHINESE_REVERSED)
        if chinese
        else (_ENGLISH_PLACE, _ENGLISH_RELATION, _ENGLISH_REVERSED)
    )
    if edition == 2:
        counts = (_CHINESE_COUNT if chinese else _ENGLISH_COUNT).values()
        equal = "{}{{}}" if chinese else "{} {{}}s"
        several = tuple(equal.format(count) for each in counts for count in each)
        tables += (_MORE_PLACES[language], {SEVERAL: several})
    return tuple(wording for table in tables for each in table.values() for wording in each)


def _name(shape: Shape, chinese: bool) -> str:
    if chinese:
        return COLOURS[shape.colour][0] + SHAPES[shape.name]
    return f"{shape.colour} {shape.name}"


def reworded(scene: Scene, seed: int | str, edition: int = 1) -> str:
    """The scene in a random language and wording: a third of the captions are Chinese."""
    language = "zh" if random.Random(f"language {seed}").random() < 1 / 3 else "en"
    return caption(scene, language, f"wording {seed}", edition)


LOOSE = (
    ("gray", "grey"),
    ("a large ", "a big "),
    ("in the center", "in the centre"),
    ("一个大的", "一个大"),
    ("一个小的", "一个小"),
    ("的上面", "的上方"),
    ("的下面", "的下方"),
)


def loosened(text: str, seed: int | str) -> str:
    """A caption as people type it: another common word, a capital at the start, a full stop."""
    rng = random.Random(f"loosened {seed}")
    for plain, other in LOOSE:
        if rng.random() < 0.3:
            text = text.replace(plain, other)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.2:
        text += "。" if "背景" in text else "."
    return text


def without_background(text: str) -> str:
    """A caption that leaves the background to the painter, as "a large star" does."""
    for name, (chinese, _) in BACKGROUNDS.items():
        text = text.replace(f" on a {name} background", "").replace(f"{chinese}背景上，", "")
    return text
