"""What all checkers share: hints, tables of mistakes, and the answer that is still missing."""

import copy
import functools
import inspect
import traceback
from collections.abc import Callable

import numpy as np
import torch

from .. import answers


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def need(holds: bool, hint: str) -> None:
    """Raises NotYet with the hint where something does not hold."""
    if not holds:
        raise NotYet(hint)


def need_all(seen, facts) -> None:
    """[(what must hold, hint), ...], in order: NotYet with the hint of the first that does not.

    seen: what an answer gave, handed to every first entry; and to a hint that is a function.
    """
    for holds, hint in facts:
        if not holds(seen):
            raise NotYet(hint if isinstance(hint, str) else hint(seen))


def need_none(answer, mistakes, near, *arguments) -> None:
    """[(wrong answer as a function, hint), ...]: NotYet with the hint of the one that `answer` is.

    arguments: of every wrong function, and of a hint that is one. near(a, b): whether two values
    are the same.
    """
    for wrong, hint in mistakes:
        if near(answer, wrong(*arguments)):
            raise NotYet(hint if isinstance(hint, str) else hint(*arguments))


def wrong_here(mistakes, right, near, *arguments) -> list[tuple]:
    """The mistakes whose result for these arguments is not the right one, for `need_none`."""
    return [pair for pair in mistakes if not near(pair[0](*arguments), right)]


def need_same(answer: Callable, solution: Callable, near, arguments, hint: str) -> None:
    """NotYet with the hint where an answer and the solution differ, or where the answer stops."""
    try:
        same = near(answer(*arguments), solution(*arguments))
    except NotImplementedError:  # a RuntimeError, too, that says that nothing is written yet
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        raise NotYet(f"{hint}; it stops with: {error}") from None
    need(same, hint)


def numbers(*shape, seed=6) -> torch.Tensor:
    """Normal numbers, the same ones whenever the seed is."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def near(a, b) -> bool:
    """Whether two tensors have one shape, and numbers that differ by rounding at most."""
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def demand_shape(given, shape: tuple, words: str) -> None:
    """NotYet where what an answer gave is no tensor of this shape."""
    need(
        isinstance(given, torch.Tensor) and given.shape == shape,
        f"give a tensor {words}, here {tuple(shape)}"
        + (f"; yours is {tuple(given.shape)}" if isinstance(given, torch.Tensor) else ""),
    )


def exercise(checker: Callable[[object], str]) -> Callable[[object], None]:
    """A checker that prints its verdict; what it returns says in words what is right.

    It also knows a stub (`...`, or a function that raises NotImplementedError), an answer that
    changes its arguments, one whose result has another form than was asked for, so that nothing
    can be computed with it, and the stored answer, which is no success.
    """

    @functools.wraps(checker)
    def check(answer) -> None:
        need(answer is not ..., "there is no answer yet; put yours in the place of the three dots")
        try:
            words = checker(_watched(answer) if callable(answer) else answer)
        except NotImplementedError:
            raise NotYet("your function is still empty; write its body, then check again") from None
        except Exception as error:
            if isinstance(error, NotYet) or _raised_in(answer, error):
                raise
            raise NotYet(
                "what your answer gives cannot be used; compare its type, its shape and its dtype "
                f"with what is asked for ({type(error).__name__}: {_first_line(error)})"
            ) from None
        stored = answer is getattr(answers, checker.__name__.upper())
        print(f"{'stored answer used' if stored else 'right'}: {words}")

    return check


def _raised_in(answer: object, error: Exception) -> bool:
    """Whether an exception arose in the code of an answer, or in what that code called.

    True as well where the answer has no code of its own, as a function of torch for one.
    """
    if not callable(answer):
        return False
    methods = vars(answer).values() if isinstance(answer, type) else [inspect.unwrap(answer)]
    files = {method.__code__.co_filename for method in methods if inspect.isfunction(method)}
    frames = traceback.walk_tb(error.__traceback__)
    return not files or any(frame.f_code.co_filename in files for frame, _ in frames)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0]


def _watched(answer: Callable) -> Callable:
    """The answer, called with copies; NotYet after a call in which one of them has changed."""

    @functools.wraps(answer)
    def called(*arguments, **others):
        copies = [_copy(argument) for argument in arguments]
        weights = [_weights(argument) for argument in arguments]
        given = answer(*copies, **others)
        for number, (argument, copied) in enumerate(zip(arguments, copies)):
            need(
                _same(argument, copied) and _same(_weights(argument), weights[number]),
                f"your function changes {_name(answer, number)} itself, which may still be needed; "
                "make a new one",
            )
        return given

    return called


def _name(answer: Callable, number: int) -> str:
    try:
        return f"its argument {[*inspect.signature(answer).parameters][number]}"
    except (ValueError, IndexError):  # a built-in function, or *arguments
        return f"argument {number + 1}"


def _copy(argument: object) -> object:
    """A copy of what can be changed in place; all else, a network for one, as it is."""
    if isinstance(argument, torch.Tensor):
        return argument.clone()
    return copy.copy(argument) if isinstance(argument, (list, dict, np.ndarray)) else argument


def _weights(argument: object) -> torch.Tensor | None:
    """All weights of a network in one row."""
    if not isinstance(argument, torch.nn.Module):
        return None
    return torch.cat([weight.detach().flatten() for weight in argument.parameters()])


def _same(argument: object, copied: object) -> bool:
    if isinstance(argument, torch.Tensor):
        return torch.equal(argument, copied)
    return argument is copied or bool(np.all(argument == copied))
