"""English as an engineer writes it: words and turns that the course and the documents do without.

A banned turn is translated word by word, treats a thing as a person, or stands for a term that the
field has. To add one, add it here with what to write in its place, and rewrite what the test finds.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from qwenimage_ref.course.publish import build

ROOT = Path(__file__).resolve().parents[2]
THING = (
    "noise tensor vector matrix layer block token head weight latent schedule gate mask norm "
    "sampler pixel state key query value loss network transformer model tower encoder decoder "
    "vae mlp attention sigma format stream tokenizer package".split()
)
VERB = (
    "knows? tells? asks? wants? waits? thinks? believes? feels? hears? speaks? hopes? loves? "
    "forgets? forgives? remembers? understands? guess(?:es)?".split()
)
BANNED = {  # pattern: what to write
    rf"\b(?:{'|'.join(THING)})s? (?:that |never |only |will |would |can |could |cannot )?"
    rf"(?:{'|'.join(VERB)})\b(?! the same)": "what it holds, receives, computes or depends on",
    r"\b(?:is|are|was|were|be|been|gets?) (?:also |only |already )?told\b": "gets, receives",
    r"\bnobody told\b": "no label says, it was in no example",
    r"\b(?:noise|velocity|loss|vae|network|model) says?\b": "holds, predicts, shows",
    r"\bthinks? for itself\b|\bspeaks about\b": "is computed separately; is a statement about",
    r"\btrainings\b": "training runs",
    r"\b(?:a|one|each|every|another) training\b"
    r"(?= ?(?:[.,;:|]|without|is|was|with|ended|of a\b))": "a training run",
    r"\bdear\b": "expensive, long",
    r"\bunhandy\b": "hard to handle",
    r"\banew\b": "again, from scratch",
    r"\balive\b": "in use",
    r"\bnapkins?\b(?<!on a napkin)": "estimate",
    r"\bdoors?\b": "projection, input, output",
    r"\bpiles?\b": "stack",
    r"\bpainters?\b": "transformer, model",
    r"\bheaps of\b|\b(?:two|each) heaps?\b": "sets of",
    r"\bthe own\b": "its own, our own",
    r"\bmay you\b": "can you, can one",
    r"\bin vain\b": "without effect",
    r"\bin earnest\b": "in practice",
    r"\bof one mind\b": "uses two conventions, agrees",
    r"\bfalls? into pieces\b": "is split",
    r"\bst(?:ands?|ood|anding) still\b": "does not change",
    r"\bgone on\b": "resumed, continued",
    r"\bmoody\b": "varies",
    r"\bdearest\b": "the most expensive",
    r"\b(?:is|are) hung\b|\bhangs? (?:each|the right)\b": "is shown beside",
    r"\b(?:empty|blank) papers?\b": "blank background",
    r"\bwhoever\b": "anyone who, or the act itself: mixing them leads",
    r"(?:[.;:,]|\band) who (?!is\b|are\b|sees whom)\w+s\b": "anyone who, a run that, copying it",
    r"\bnobody\b": "no process, it is not known, there is no",
    r"\bwhole numbers?\b": "integers",
    r"\b(?:does|do) not (?:even )?(?:care|mind|notice)\b": "does not depend on, is not affected by",
    r"\b(?:token|word|number|one|letter|they|which|that|latents?|chapters?) stands? "
    r"(?:at|in|before|behind|beside|where|after|above|below|under)\b": "is at, comes before",
    r"\bthe very (?!first|last|same|beginning|end|next)": "exactly the",
    r"\bdeep noise\b": "high noise",
    r"(?<=[.] )One trap:|(?<=[.] )Notice:": "a sentence: there is one trap; beware of",
    r"`code` (?:does not ask|asks) for\b": "has no points for, tests",
    r"\b(?:informations|softwares|knowledges|feedbacks)\b": "the singular",
    r"\ballows? to\b": "lets you, makes it possible to",
    r"\bso-called\b": "the term alone",
    r"\bresp\.": "respectively, or",
    r"\bhereby\b|\bherewith\b|\bwhereat\b": "so, with this",
    r"\bin the (?:following|sequel)\b": "below",
    r"\bthe both\b|\bthe most of\b": "both, most of",
    r"\bsince (?:\w+ )(?:years|months|weeks)\b": "for",
    r"\bat the end of the day\b|\bneedless to say\b|\bit goes without saying\b": "nothing",
    r"\b(?:delve|leverage|utilize|seamless(?:ly)?|cutting-edge|game-changer)\b": "a plain word",
}
CHECKERS = sorted((ROOT / "qwenimage_ref" / "course" / "check").glob("*.py"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "site/index.md"]
DOCUMENTS += [f"site/pages/{path.name}" for path in sorted((ROOT / "site" / "pages").glob("*.md"))]


def banned(text: str) -> list[str]:
    """Where a text has banned turns, each with what to write; code and quotations do not count."""
    text = re.sub(r"```.*?```|`[^`\n]*`|“[^”]*”|\"[^\"\n]*\"", "`code`", text, flags=re.S)
    text = re.sub(r"[ \n]+", " ", text.replace("*", ""))
    return [
        f"{text[max(0, match.start() - 40) : match.end() + 40]!r}: write {instead}"
        for pattern, instead in BANNED.items()
        for match in re.finditer(pattern, text, re.I)
    ]


@pytest.mark.parametrize("source", build.sources(), ids=lambda path: path.stem[:2])
def test_a_chapter_has_no_banned_turn(source):
    cells = build.from_source(source).cells
    assert banned("\n\n".join(c.source for c in cells if c.cell_type == "markdown")) == []


def said_in_code(source: str) -> list[str]:
    """Comments and strings of a cell: what a learner reads beside the code and below it."""
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return comments + [string for string in strings if isinstance(string, str)]


@pytest.mark.parametrize("source", build.sources(), ids=lambda path: path.stem[:2])
def test_what_the_code_of_a_chapter_prints_and_comments_has_no_banned_turn(source):
    cells = [c.source for c in build.from_source(source).cells if c.cell_type == "code"]
    assert [turn for cell in cells for text in said_in_code(cell) for turn in banned(text)] == []


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda path: path.stem)
def test_a_hint_has_no_banned_turn(checker):
    texts = said_in_code(checker.read_text(encoding="utf-8"))
    assert [turn for text in texts for turn in banned(text)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_has_no_banned_turn(document):
    assert banned((ROOT / document).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Files of 40 GB are unhandy.",
        "Long rows are dear.",
        "The network is told the noise level.",
        "Who says this speaks about trainings.",
        "After attention every token\nthinks for itself.",
        "A pile of blocks with a *door* at each end.",
        "Weights that stand still are trained in vain.",
        "Two wrongs make a right; who copies one of them gets this.",
        "Noise is drawn anew, and nobody sees whole numbers.",
        "The word stands behind the picture, and bf16 does not care.",
        "These are the very steps that start in deep noise.",
    ],
)
def test_a_banned_turn_is_seen_across_lines_and_marks(sentence):
    assert banned(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Run `model.tell(door)`.",
        "The model sees `x`.",
        "The command tells which.",
        "People who read posters.",
        "From the very first step on, training goes on.",
    ],
)
def test_code_and_plain_sentences_pass(sentence):
    assert banned(sentence) == []
