"""Looking inside the transformer while it paints: what is seen, and what stands in the text.

Everything here is a hook on its blocks, from outside; the model's files know nothing of it. A hook
changes every call of its block, so pictures are painted without guidance, in a single branch.
"""

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator

import torch
from torch import Tensor, nn

Places = list[list[int]]  # for each picture of a batch, numbers of tokens of its text


# -- which tokens ---------------------------------------------------------------------------------


def text_tokens(tokenizer, prompt: str) -> list[str]:
    """Tokens whose states reach the transformer: those of the prompt and of the template's end"""
    return [tokenizer.decode([id]) for id in _ids(tokenizer, prompt)]


def span(text: str, part: str) -> tuple[int, int]:
    """Where a part stands last in a text: its first character, and the first one behind it

    Raises ValueError for a part that is not there.
    """
    start = text.rindex(part)
    return start, start + len(part)


def places_of(tokenizer, prompt: str, start: int, stop: int) -> list[int]:
    """Numbers of the text tokens that hold any of the characters from start up to stop"""
    ids = _ids(tokenizer, prompt)
    # careful: a token may end inside a character, which is U+FFFD until the next one completes it
    texts = [tokenizer.decode(ids[:n]) for n in range(len(ids) + 1)]
    return [
        n
        for n, (before, after) in enumerate(itertools.pairwise(texts))
        if len(before.rstrip("\ufffd")) < stop and len(after) > start
    ]


def _ids(tokenizer, prompt: str) -> list[int]:
    return tokenizer.encode_prompt(prompt)[tokenizer.prefix_length :]


def marked(places: Places, length: int) -> Tensor:
    """Places in each of B texts, T -> (B, T), true there"""
    marks = torch.zeros(len(places), length, dtype=torch.bool)
    for row, numbers in zip(marks, places):
        row[numbers] = True
    return marks


# -- what is seen ---------------------------------------------------------------------------------


def visible_text(hidden: Tensor, image_tokens: int, heads: int, of: Collection[int] | None = None):
    """(B, T), I, H -> (B, H, S, S): true where a token (row) may see another (column), text first

    hidden: text tokens that no image token sees, in the heads of `of`; None: in all. Text tokens
    still see everything.
    """
    B, T = hidden.shape
    S = T + image_tokens
    seen = torch.ones(B, heads, S, S, dtype=torch.bool, device=hidden.device)
    for head in range(heads) if of is None else of:
        seen[:, head, T:, :T] = ~hidden.unsqueeze(1)
    return seen


@contextlib.contextmanager
def hiding(
    transformer: nn.Module,
    places: Places,
    blocks: Collection[int],
    heads: Collection[int] | None = None,
    steps: Collection[int] | None = None,
) -> Iterator[None]:
    """While this is open, image tokens do not see these text tokens

    In some blocks, and only in some heads and at some steps, counted from 0; None: in all.
    """

    def hide(attn, arguments):
        img, txt, *rotations, mask = arguments
        hidden = marked(places, txt.shape[1]).to(txt.device)
        seen = visible_text(hidden, img.shape[1], attn.heads, heads)
        return img, txt, *rotations, seen if mask is None else seen & mask

    attentions = [transformer.transformer_blocks[block].attn for block in blocks]
    with _before(attentions, hide, steps):
        yield


# -- what stands there ----------------------------------------------------------------------------


@contextlib.contextmanager
def patching(transformer: nn.Module, places: Places, block: int) -> Iterator[None]:
    """While this is open, text states of one picture are put into another's before a block

    The batch holds receivers and then as many donors, pictures of other prompts or noises: the
    states at the places of each receiver become those at its donor's, which are as many.
    """

    def patch(_block, arguments):
        img, txt, *shared = arguments
        return img, patched(txt, places), *shared

    with _before([transformer.transformer_blocks[block]], patch, None):
        yield


def patched(txt: Tensor, places: Places) -> Tensor:
    """(2 B, T, D) -> the same with the donors' states, rows B and on, in the receivers' places"""
    txt, half = txt.clone(), len(txt) // 2
    for n, (into, out_of) in enumerate(zip(places[:half], places[half:], strict=True)):
        txt[n, into] = txt[half + n, out_of]
    return txt


@contextlib.contextmanager
def _before(modules: list[nn.Module], change: Callable, steps: Collection[int] | None):
    """change(module, arguments) -> arguments before the calls of these modules at these steps"""
    handles = []
    for module in modules:
        calls = itertools.count()  # a call a step, without guidance

        def hook(module, arguments, calls=calls):
            step = next(calls)
            return change(module, arguments) if steps is None or step in steps else None

        handles.append(module.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
