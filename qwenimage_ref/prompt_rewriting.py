"""What the official prompt-rewriting tools do, as far as it works offline. Pure functions.

Sources, in the repository QwenLM/Qwen-Image:
    prompt_utils       `src/examples/tools/prompt_utils.py`, with the first release
    prompt_utils_2512  `src/examples/tools/prompt_utils_2512.py`, with Qwen-Image-2512
    readme             the snippet of the README, which has no rewriting, only magic phrases

Both tools choose a language, send instructions and prompt to a hosted language model (qwen-plus at
DashScope), strip the answer and replace its line breaks by spaces. The rewriting itself is not
possible offline. The first tool's instructions ask for more detail on subject, style, space and
framing, for displayed text in quotation marks with its place, and never translated; in English for
less than 200 words, in Chinese for no negations and no text that was not asked for. Those of 2512
sort the prompt into a portrait, an image that contains text, or a general image, with rules for
each: identity, clothes and pose; content, place and carrier of every text; things, setting and
light. They end with an artistic style, and where no text is visible with a sentence that says so.
"""

import re

MAGIC = {"en": "Ultra HD, 4K, cinematic composition", "zh": "超清，4K，电影级构图"}
README_MAGIC = {"en": ", Ultra HD, 4K, cinematic composition.", "zh": ", 超清，4K，电影级构图."}
TOOLS = ("prompt_utils", "prompt_utils_2512", "readme")
# careful: an apostrophe is no quotation mark, so no letter may stand outside of single ones;
# no opening mark inside a quotation, or thousands of them would take seconds
_QUOTED = re.compile(
    r'"([^"]*)"|“([^“”]*)”|「([^「」]*)」|『([^『』]*)』|《([^《》]*)》'
    r"|(?<![A-Za-z0-9])'((?:[^']|'(?=[A-Za-z]))*)'(?![A-Za-z])"
    r"|‘((?:[^‘’]|’(?=[A-Za-z]))*)’(?![A-Za-z])"
)
_PERSON = re.compile(
    r"\b(portrait|headshot|selfie|(wo)?m[ae]n|girls?|boys?|lady|ladies|gentlem[ae]n|persons?|"
    r"people|child(ren)?|bab(y|ies)|toddlers?|bride|groom|couple|(grand)?(mother|father))\b"
    r"|人像|肖像|头像|自拍|女人|男人|女孩|男孩|女性|男性|女子|男子|女士|先生|少女|少年|小孩|"
    r"儿童|婴儿|老人|新娘|新郎|情侣|美女|帅哥",
    re.IGNORECASE,
)
_TEXT = re.compile(
    r"\b(text|words?|letters?|letterings?|titled?|slogan|captions?|captioned|infographic|"
    r"says|saying|reads|reading|written|writes|typography)\b|文字|字样|写着|写有|标题|标语|信息图",
    re.IGNORECASE,
)


def language(prompt: str) -> str:
    """Prompt -> "zh" if any character lies in U+4E00 to U+9FFF, else "en"; both tools' rule

    Kana, Hangul, full-width letters and the ideographs of the extensions count as English.
    """
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in prompt) else "en"


def quoted(prompt: str) -> list[tuple[int, int, str]]:
    """Prompt -> start, end and text of each part in quotation marks, the marks not in the text

    The marks are straight or curly, single or double, 「」, 『』, and the title marks 《》. A mark
    that is not closed, or an apostrophe, quotes nothing.
    """
    texts = ((match, match.group(match.lastindex)) for match in _QUOTED.finditer(prompt))
    return [(match.start(), match.end(), text) for match, text in texts]


def category(prompt: str) -> str:
    """Prompt -> "text", "portrait" or "general", the three categories of prompt_utils_2512

    There the language model decides. Here quotation marks or a word such as `saying` make it
    "text", which comes first because text must be kept to the letter; else a person makes it
    "portrait".
    """
    if quoted(prompt) or _TEXT.search(prompt):
        return "text"
    return "portrait" if _PERSON.search(prompt) else "general"


def finished(prompt: str, tool: str = "readme") -> str:
    """Prompt -> what the tool makes of it without its language model

    prompt_utils: stripped, line breaks as spaces, then the magic phrase without a separator.
    prompt_utils_2512: the same without the phrase, which the tool defines and does not append.
    readme: the phrase after a comma, with a full stop; nothing else changes.

    Text in quotation marks is never altered; unlike upstream, that includes its line breaks.
    Raises ValueError for another tool.
    """
    if tool not in TOOLS:
        raise ValueError(f"tool must be one of {', '.join(TOOLS)}, got {tool!r}")
    if tool == "readme":
        return prompt + README_MAGIC[language(prompt)]
    cleaned = _in_one_line(prompt).strip()
    return cleaned + MAGIC[language(prompt)] if tool == "prompt_utils" else cleaned


def _in_one_line(prompt: str) -> str:
    parts, end = [], 0
    for start, after, _ in quoted(prompt):
        parts += [prompt[end:start].replace("\n", " "), prompt[start:after]]
        end = after
    return "".join(parts) + prompt[end:].replace("\n", " ")
