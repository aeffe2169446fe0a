"""Chapter 24: editing."""

import math

import torch

from ...sampler import pack
from ..answers import EX_24_ASSEMBLE, EX_24_SIZE
from .common import demand_shape, exercise, near, need, need_none, numbers
from .token_times import ex_24_halves  # noqa: F401

# (width, height) of pictures; 4225 x 4096 and 4489 x 4096 have a side that is exactly a half
PICTURES = (
    (1920, 1080), (500, 333), (333, 500), (131, 77), (64, 64), (3000, 2000), (4225, 4096),
    (4489, 4096), (4096, 4489), (123, 457), (17, 16), (2560, 1080),
)  # fmt: skip
AREAS = (1024**2, 384**2, 128**2)


def _sides(width, height, area, sides=round, multiple=32):
    """The rule with another rounding or another multiple"""
    exact = math.sqrt(area * width / height)
    return tuple(multiple * sides(side / multiple) for side in (exact, exact / (width / height)))


def _half_up(number: float) -> int:
    return math.floor(number + 0.5)


def _half_down(number: float) -> int:
    return math.ceil(number - 0.5)


def _from_rounded(width, height, area):
    """The height from the width that has been rounded already"""
    first = 32 * round(math.sqrt(area * width / height) / 32)
    return first, 32 * round(first / (width / height) / 32)


def _height_by_area(width, height, area):
    first = 32 * round(math.sqrt(area * width / height) / 32)
    return first, 32 * round(area / first / 32) if first else 0


def _never_larger(width, height, area):
    scale = min(1, math.sqrt(area / (width * height)))
    return 32 * round(scale * width / 32), 32 * round(scale * height / 32)


def _longest(width, height, area):
    scale = math.sqrt(area) / max(width, height)
    return 32 * round(scale * width / 32), 32 * round(scale * height / 32)


# wrong sizes of (width, height, area), and what is wrong with each
SIZES = (
    (
        lambda *given: EX_24_SIZE(*given)[::-1],
        "width and height have changed places: a wide picture stays wide",
    ),
    (
        lambda *given: _sides(*given, sides=math.floor),
        "the sides are rounded down; take the nearest multiple",
    ),
    (
        lambda *given: _sides(*given, sides=math.ceil),
        "the sides are rounded up; take the nearest multiple",
    ),
    (
        lambda *given: _sides(*given, sides=_half_up),
        "a side half way between two multiples goes to the even one, as Python rounds",
    ),
    (
        lambda *given: _sides(*given, sides=_half_down),
        "a side half way between two multiples goes to the even one, as Python rounds",
    ),
    (
        lambda *given: _sides(*given, sides=lambda number: number),
        "the sides are no multiples of 32 yet",
    ),
    (
        lambda *given: _sides(*given, sides=round, multiple=1),
        "the sides are no multiples of 32 yet",
    ),
    (
        lambda *given: _sides(*given, multiple=16),
        "multiples of 16 are enough for the network, but the released models saw multiples of 32",
    ),
    (
        lambda *given: _sides(*given, multiple=28),
        "multiples of 28 are the vision tower's; here they are of 32",
    ),
    (
        lambda *given: _sides(*given, multiple=8),
        "multiples of 8 are the VAE's alone; here they are of 32",
    ),
    (
        lambda *given: EX_24_SIZE(*given[:2], 1024**2),
        "the area is an argument: the vision tower's copies have another one",
    ),
    (
        _from_rounded,
        "the height follows from the width before that is rounded",
    ),
    (
        _height_by_area,
        "the height follows from the width before that is rounded, not from what area is left",
    ),
    (
        _never_larger,
        "small pictures are enlarged, too: the area is the same for every picture",
    ),
    (
        _longest,
        "the area is kept, not the longest side",
    ),
)


@exercise
def ex_24_size(size) -> str:
    """size(width, height, area) for pictures of many proportions, some exactly half way."""
    cases = [(*picture, area) for area in AREAS for picture in PICTURES]
    given = []
    for case in cases:
        answer = size(*case)
        need(
            isinstance(answer, tuple | list) and len(answer) == 2,
            f"give two numbers, width and height, not {answer!r}",
        )
        given.append(tuple(answer))
    right = [EX_24_SIZE(*case) for case in cases]
    if given != right:
        need_none(given, [(_of_all(wrong), hint) for wrong, hint in SIZES], _equal, cases)
    for case, answer, expected in zip(cases, given, right):
        width, height, area = case
        need(
            answer == expected,
            f"a picture of {width} x {height} and an area of {area} give {answer[0]:g} x "
            f"{answer[1]:g}",
        )
        need(
            all(isinstance(side, int) for side in answer),
            "give integers, numbers of pixels of type int",
        )
    return "every picture gets the released models' size"


def _of_all(rule):
    """A rule for one picture as a rule for a list of them"""
    return lambda cases: [tuple(rule(*case)) for case in cases]


def _equal(a, b) -> bool:
    return a == b


# ---- tokens and grids


def _grid(rows: int, cols: int, frame: int, centre=None):
    first_row, first_col = centre(rows, cols) if centre else (rows - rows // 2, cols - cols // 2)
    row, col = torch.arange(rows) - first_row, torch.arange(cols) - first_col
    return torch.cartesian_prod(torch.tensor([frame]), row, col)


def _assembled(target, pictures, order=None, frames=None, centre=None):
    """The answer with another order, other frames, or another middle"""
    every = [target, *pictures] if order is None else order(target, pictures)
    frames = range(len(every)) if frames is None else frames(len(every))
    places = [
        _grid(each.shape[2] // 2, each.shape[3] // 2, frame, centre)
        for each, frame in zip(every, frames)
    ]
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)


def _of_target(target, pictures):
    rows, cols = target.shape[2] // 2, target.shape[3] // 2
    middle = rows - rows // 2, cols - cols // 2
    return _assembled(target, pictures, centre=lambda *_: middle)


def _sides_swapped(target, pictures):
    tokens, places = EX_24_ASSEMBLE(target, pictures)
    return tokens, places[:, [0, 2, 1]]


def _columns_first(target, pictures):
    turned = [each.transpose(2, 3) for each in (target, *pictures)]
    _, places = EX_24_ASSEMBLE(turned[0], turned[1:])
    return EX_24_ASSEMBLE(target, pictures)[0], places[:, [0, 2, 1]]


def _in_latents(target, pictures):
    every = [target, *pictures]
    places = [_grid(*each.shape[2:], frame) for frame, each in enumerate(every)]
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)


# wrong pairs of (target, pictures), and what is wrong with each
ASSEMBLED = (
    (
        lambda target, pictures: _assembled(target, pictures, lambda t, p: [*p, t]),
        "the target comes first, and the pictures behind it",
    ),
    (
        lambda target, pictures: _assembled(target, pictures, lambda t, p: [t, *p[::-1]]),
        "the pictures keep their order: picture 1 stands behind the target",
    ),
    (
        lambda target, pictures: _assembled(target, pictures, frames=lambda n: [0] * n),
        "every frame is 0, so that target and pictures have the same places",
    ),
    (
        lambda target, pictures: _assembled(target, pictures, frames=lambda n: [0] + [1] * (n - 1)),
        "the second picture has a frame of its own: 2",
    ),
    (
        lambda target, pictures: _assembled(target, pictures, frames=lambda n: range(1, n + 1)),
        "the target's frame is 0; the pictures count from 1",
    ),
    (
        lambda target, pictures: _assembled(
            target, pictures, frames=lambda n: [n - 1, *range(n - 1)]
        ),
        "the target's frame is 0; the pictures count from 1",
    ),
    (
        lambda target, pictures: _assembled(
            target, pictures, frames=lambda n: [0, *range(-1, -n, -1)]
        ),
        "frames count upwards; a frame of -1 is the layered model's",
    ),
    (
        lambda target, pictures: _assembled(target, pictures, centre=lambda *_: (0, 0)),
        "rows and columns begin at 0; every grid has its middle there",
    ),
    (
        lambda target, pictures: _assembled(
            target, pictures, centre=lambda rows, cols: (rows // 2, cols // 2)
        ),
        "an odd side has its extra row or column on the negative side: 5 is -3 to 1",
    ),
    (_of_target, "every picture is centred on its own size, not on the target's"),
    (_sides_swapped, "rows and columns have changed places"),
    (_columns_first, "the positions run down the columns, but tokens are packed row by row"),
    (_in_latents, "a token is 2 x 2 latents: half as many rows and columns"),
    (
        lambda target, pictures: (_assembled(target, pictures)[0], _assembled(target, [])[1]),
        "the pictures' tokens need positions, too",
    ),
    (
        lambda target, pictures: _assembled(target, pictures[:1]),
        "there may be several pictures, and all of them go in",
    ),
)


@exercise
def ex_24_assemble(assemble) -> str:
    """assemble(target, pictures) for odd and even grids, one to three pictures, and a batch."""
    sides = [
        ((6, 10), [(4, 14)]),
        ((14, 6), [(14, 6), (10, 2)]),
        ((8, 18), [(2, 4), (12, 8), (6, 10)]),
    ]
    for seed, (target, pictures) in enumerate(sides):
        latents = [
            numbers(seed + 1, 16, *side, seed=10 * seed + n)
            for n, side in enumerate((target, *pictures))
        ]
        given = assemble(latents[0], latents[1:])
        need(
            isinstance(given, tuple | list)
            and len(given) == 2
            and all(isinstance(part, torch.Tensor) for part in given),
            "give two tensors: the tokens and their positions",
        )
        right = EX_24_ASSEMBLE(latents[0], latents[1:])
        if not _both_near(given, right):
            need_none(given, ASSEMBLED, _both_near, latents[0], latents[1:])
        demand_shape(given[0], right[0].shape, "of tokens, (B, S, 64)")
        demand_shape(given[1], right[1].shape, "of positions, (S, 3)")
        need(
            torch.equal(given[0], right[0]),
            "the positions may be right, but the tokens are not those of `pack`",
        )
        count = 1 + len(pictures)
        need(
            torch.equal(given[1].long(), right[1]) and near(given[1].float(), right[1].float()),
            f"with {count - 1} pictures, some positions are wrong; the tokens are right",
        )
    return "target and pictures are one sequence, and every token has its place"


def _both_near(a, b) -> bool:
    return all(near(x.float(), y.float()) for x, y in zip(a, b))
