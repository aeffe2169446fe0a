"""Prompts outside the pocket model's grammar, with the scenes that they describe.

The sentences are templates written by hand, in two sets. SEEN was at hand while the rewriter was
written; HELD_OUT was written before the rewriter and has never been used to improve it. No wording
of the training captions, loosened ones included, is among them.
"""

import random
import re

from ..posters.scene import SEVERAL, Scene

SETS = ("seen", "held out")
NO_PAPER = 0.15  # share of the prompts that leave out the background

# the words of each set, {name in the scene: its names in the prompt}
INKS = {
    "red": ("scarlet|bright red|鲜红色|大红色", "crimson|ruby|火红色|朱红色"),
    "green": ("emerald|dark green|翠绿色|绿", "deep green|jade-green|深绿色|草绿色"),
    "blue": ("royal blue|cobalt|宝蓝色|蓝", "azure|ultramarine|湛蓝色|纯蓝色"),
    "yellow": ("golden|lemon yellow|金黄色|黄", "bright yellow|gold|明黄色|柠檬黄"),
    "purple": ("violet|deep purple|紫罗兰色|紫", "lilac|purple-coloured|深紫色|紫红色"),
    "orange": ("tangerine|bright orange|橘色|橙", "amber|orange-coloured|橘黄色|亮橙色"),
    "black": ("jet black|pitch-black|漆黑|纯黑色", "ebony|coal-black|墨黑色|乌黑的"),
    "pink": ("hot pink|rose|粉红色|粉", "light pink|rosy|浅粉色|桃红色"),
}
FORMS = {
    "circle": ("disc|round dot|圆|圆点", "ball|filled circle|圆球|圆圈"),
    "square": ("box|square shape|正方形|方块", "block|perfect square|四方形|方格"),
    "triangle": ("triangular shape|triangle|三角|三角形", "pyramid|trigon|三角块|三角图形"),
    "star": ("five-pointed star|star shape|五角星|星星", "starlet|asterisk star|五角星形|星"),
    "diamond": ("rhombus|diamond shape|菱形块|菱形", "lozenge|rhomb|菱形图案|钻石形"),
    "ring": ("donut|hoop|环|环形", "annulus|hollow circle|圈环|空心圆"),
}
PAPERS = {
    "white": ("pure white|snow-white|纯白|白", "plain white|chalk-white|雪白|洁白"),
    "gray": ("silver-gray|mid-grey|灰|中灰色", "silver|ash-grey|浅灰色|银灰色"),
    "beige": ("cream|sand-coloured|米黄色|奶油色", "ivory|tan|米|沙色"),
    "sky": ("sky blue|light blue|浅蓝色|天空蓝", "baby blue|pale blue|淡蓝色|天蓝"),
    "navy": ("dark blue|navy blue|藏青色|深蓝", "midnight blue|deep blue|海军蓝|藏蓝色"),
    "mint": ("mint green|pale green|薄荷绿|浅绿色", "light green|minty|淡绿色|嫩绿色"),
}
# for each layout the English sentences, then the Chinese ones; {p} is where the background comes
SINGLE = {
    "large": (
        ("Draw me one huge {a}{w}, {p} backdrop", "{p} backdrop: an enormous {a}{w}",
         "画一个巨大的{a}{w}，{p}底", "我想要一个很大的{a}，背景是{p}{w}"),
        ("Give me a really big {a}{w}. Background: {p}", "A gigantic {a} fills the {p} page{w}",
         "请画出硕大的{a}{w}，背景为{p}", "{p}的底色，一个超大的{a}{w}"),
    ),
    "small left": (
        ("a tiny {a} over on the left-hand side{w}, {p} backdrop",
         "At the left, one little {a}; the background is {p}{w}",
         "左侧有一个小小的{a}{w}，{p}底", "一个很小的{a}放在左侧，背景是{p}{w}"),
        ("the left side of a {p} canvas shows a mini {a}{w}",
         "a petite {a} near the left edge{w}, {p} behind it",
         "靠左画一个迷你{a}{w}，背景为{p}", "{p}的底色，左半边是个小{a}{w}"),
    ),
    "small centre": (
        ("a tiny {a} right at the centre{w}, {p} backdrop",
         "In the middle, one little {a}; the background is {p}{w}",
         "正中有一个小小的{a}{w}，{p}底", "一个很小的{a}放在中央，背景是{p}{w}"),
        ("the midpoint of a {p} canvas shows a mini {a}{w}",
         "a petite {a}, centered{w}, {p} behind it",
         "居中画一个迷你{a}{w}，背景为{p}", "{p}的底色，正中央是个小{a}{w}"),
    ),
    "small right": (
        ("a tiny {a} over on the right-hand side{w}, {p} backdrop",
         "At the right, one little {a}; the background is {p}{w}",
         "右侧有一个小小的{a}{w}，{p}底", "一个很小的{a}放在右侧，背景是{p}{w}"),
        ("the right side of a {p} canvas shows a mini {a}{w}",
         "a petite {a} near the right edge{w}, {p} behind it",
         "靠右画一个迷你{a}{w}，背景为{p}", "{p}的底色，右半边是个小{a}{w}"),
    ),
}  # fmt: skip
DOUBLE = {
    "left of": (
        ("To the right of a {a} sits a {b}{w}; {p} backdrop",
         "{a} on the left, {b} on the right{w}, {p} backdrop",
         "There is a {b} and, to its left, a {a}{w}. The background is {p}",
         "{p}底，左边是{a}，右边是{b}{w}", "{b}的左边有一个{a}{w}，背景是{p}"),
        ("On {p}: the {a} stands to the left, the {b} to the right{w}",
         "a {b} whose left neighbour is a {a}{w}, background {p}",
         "Left: {a}. Right: {b}{w}. Background: {p}",
         "左侧画{a}，右侧画{b}{w}，背景为{p}", "在{a}的右侧放一个{b}{w}，{p}的底色"),
    ),
    "above": (
        ("Beneath a {a} there is a {b}{w}; {p} backdrop",
         "{a} at the top, {b} at the bottom{w}, {p} backdrop",
         "There is a {b} and, above it, a {a}{w}. The background is {p}",
         "{p}底，上面是{a}，下面是{b}{w}", "{b}的上面有一个{a}{w}，背景是{p}"),
        ("On {p}: the {a} hovers over the {b}{w}",
         "a {b} underneath a {a}{w}, background {p}",
         "Top: {a}. Bottom: {b}{w}. Background: {p}",
         "上方画{a}，下方画{b}{w}，背景为{p}", "在{a}的下方放一个{b}{w}，{p}的底色"),
    ),
}  # fmt: skip
EQUAL = (
    ("{n} {a}s{w}, {p} backdrop", "a group of {n} {a}s; the background is {p}{w}",
     "{p}底，画{n}{a}{w}", "一共{n}{a}，背景是{p}{w}"),
    ("exactly {n} {a}s{w}, background {p}", "I need {n} identical {a}s on {p}{w}",
     "{n}一样的{a}{w}，背景为{p}", "{p}的底色，排着{n}{a}{w}"),
)  # fmt: skip
NUMBERS = {2: ("a pair of", "两个"), 3: ("three", "三个"), 4: ("four", "四个")}
WORDS = (
    (", the sign says {w}", ", saying '{w}'", ", with {w} written below",
     "，写着「{w}」", "，写着{w}"),
    (", its caption reads “{w}”", ", labelled {w}", ", plus the letters '{w}'",
     "，字样为《{w}》", "，标有“{w}”"),
)  # fmt: skip


def free_wording(scene: Scene, language: str, held_out: bool, seed: int) -> tuple[str, bool]:
    """Scene -> a prompt outside the grammar, and whether it says the background"""
    rng = random.Random(f"free wording {seed}")
    side = int(held_out)

    def pick(sentences) -> str:
        """One of the sentences of the language."""
        return rng.choice([s for s in sentences if (language == "zh") == _is_chinese(s)])

    def name(table: dict, key: str) -> str:
        return pick(table[key][side].split("|"))

    things = [name(INKS, s.colour) + _between(language) + name(FORMS, s.name) for s in scene.shapes]
    if scene.layout == SEVERAL:
        template = pick(EQUAL[side])
    else:
        template = pick((SINGLE | DOUBLE)[scene.layout][side])
    says_paper = rng.random() >= NO_PAPER
    if not says_paper:
        template = _without_paper(template)
    fields = {"a": things[0], "b": things[-1], "p": name(PAPERS, scene.background)}
    fields["w"] = pick(WORDS[side]).format(w=scene.word) if scene.word else ""
    if scene.layout == SEVERAL:
        fields["n"] = NUMBERS[len(things)][language == "zh"]
    text = template.format(**fields)
    return re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", text), says_paper


def _is_chinese(text: str) -> bool:
    return bool(re.search("[一-鿿，「《]", text))


def _between(language: str) -> str:
    return " " if language == "en" else ""


def _without_paper(template: str) -> str:
    """The template without the part that speaks of the background."""
    for pattern in (
        r"[,;.]? ?(The|the) background is \{p\}",
        r"[,;.] ?([Bb]ackground:? )?\{p\}( backdrop| behind it)?",
        r"^\{p\} backdrop: |^On \{p\}: | on \{p\}",
        r"a \{p\} (?=canvas)|(?<=the )\{p\} (?=page)",
        r"，?背景[是为]\{p\}|，\{p\}的?底色?|^\{p\}的?底色?，",
    ):
        template = re.sub(pattern, "", template)
    return template
