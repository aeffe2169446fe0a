"""What a LoRA file states beside its tensors: alpha, rank, and exceptions for some layers.

Trainers write it in three places: single numbers in the file's header (kohya and others), PEFT's
config as one JSON value of that header (diffusers), or the config in a file of its own (PEFT).
"""

import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import regex

from ..files import parse_json, read_json, shorten

HEADER_ALPHAS = ("lora_alpha", "ss_network_alpha", "alpha")
PEFT_CONFIG = "lora_adapter_metadata"  # diffusers' name for it in a header
MOST_PATTERNS, MOST_EXPRESSIONS, LONGEST_PATTERN = 10_000, 100, 300
MATCHING = 1.0  # seconds of the processor for all expressions of one file; they need 0.02


@dataclass
class Settings:
    """Strength as stated beside the tensors; None where nothing is stated."""

    alpha: float | None = None
    rank: int | None = None
    alphas: dict[str, float] = field(default_factory=dict)  # keys: PEFT's patterns
    ranks: dict[str, int] = field(default_factory=dict)
    rank_stabilised: bool = False  # the product counts alpha / sqrt(r) times

    def of_layers(self, names: list[str]) -> dict[str, tuple[float | None, int | None]]:
        """{name: (alpha, rank)}. Raises ValueError for patterns that cannot be matched."""
        alphas, ranks = first_fits(self.alphas, names), first_fits(self.ranks, names)
        return {
            name: (
                self.alphas[alphas[name]] if name in alphas else self.alpha,
                self.ranks[ranks[name]] if name in ranks else self.rank,
            )
            for name in names
        }

    def idle(self, names: list[str]) -> list[str]:
        """Patterns with an alpha of their own that decide for none of these layers."""
        return sorted(self.alphas.keys() - first_fits(self.alphas, names).values())


def settings_of_header(metadata: dict[str, str]) -> Settings:
    """Raises ValueError for settings that cannot be read, or that contradict each other."""
    if PEFT_CONFIG in metadata:
        config = parse_json(metadata[PEFT_CONFIG].encode("utf-8", "surrogatepass"))
        if not isinstance(config, dict):
            raise ValueError(f"{PEFT_CONFIG} must be a JSON object")
        return _settings({key.removeprefix("transformer."): v for key, v in config.items()})
    stated = {key: metadata[key] for key in HEADER_ALPHAS if metadata.get(key, "None") != "None"}
    alphas = {key: number(text, f"{key} of the header") for key, text in stated.items()}
    if len(set(alphas.values())) > 1:
        both = ", ".join(f"{key} {alpha:g}" for key, alpha in alphas.items())
        raise ValueError(f"the header must state one alpha, got {both}")
    return Settings(next(iter(alphas.values()), None))


def settings_of_config(file: Path) -> Settings:
    """PEFT's adapter_config.json. Raises OSError, or ValueError as above."""
    config = read_json(file)
    if not isinstance(config, dict):
        raise ValueError("it must be a JSON object")
    return _settings(config)


def number(value, name: str) -> float:
    """A strength as a float. Raises ValueError unless float32 holds it, and not as zero."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not 1e-30 < abs(result) < 1e30:
        raise ValueError(f"{name} must be finite and non-zero, got {shorten([value])}")
    return result


def _settings(config: dict) -> Settings:
    alpha, rank = config.get("lora_alpha", config.get("alpha")), config.get("r")
    return Settings(
        None
        if alpha is None
        else number(alpha, "lora_alpha" if "lora_alpha" in config else "alpha"),
        None if rank is None else _rank(rank, "r"),
        {p: number(a, "alpha_pattern") for p, a in _patterns(config, "alpha_pattern").items()},
        {p: _rank(r, "rank_pattern") for p, r in _patterns(config, "rank_pattern").items()},
        bool(config.get("use_rslora")),
    )


def _rank(value, name: str) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {shorten([value])}")
    return value


def _patterns(config: dict, key: str) -> dict:
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict):
        raise ValueError(f"{key} must be a JSON object")
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(
            f"{key} must have at most {MOST_PATTERNS:,} entries, got {len(patterns):,}"
        )
    if long := [p for p in patterns if len(p) > LONGEST_PATTERN]:
        raise ValueError(
            f"{key} must have patterns of at most {LONGEST_PATTERN} characters, "
            f"got {len(long[0]):,} ({shorten(long)})"
        )
    return patterns


def first_fits(patterns: Iterable[str], names: list[str]) -> dict[str, str]:
    """{name: the first pattern that fits it}; names that no pattern fits are absent.

    As PEFT matches: a pattern is a regular expression for a whole name or for its end after a dot.
    Patterns that stand literally in some name, usually all of them, are looked up instead: their
    number times that of the layers would be half a million. Raises ValueError for too many other
    patterns, for malformed ones, and for those that take too long.
    """
    patterns = list(patterns)
    known = {end for name in names for end in _ends(name)}
    place = {pattern: i for i, pattern in enumerate(patterns)}
    others = [pattern for pattern in patterns if pattern not in known]
    if len(others) > MOST_EXPRESSIONS:
        raise ValueError(
            f"patterns beside names of layers must be at most {MOST_EXPRESSIONS}, "
            f"got {len(others):,} ({shorten(others)})"
        )
    compiled = {place[pattern]: _compiled(pattern) for pattern in others}
    deadline, fits = time.process_time() + MATCHING, {}
    for name in names:
        literal = min((place[end] for end in _ends(name) if end in place), default=len(patterns))
        earlier = (i for i, e in compiled.items() if i < literal and _matches(e, name, deadline))
        if (first := next(earlier, literal)) < len(patterns):
            fits[name] = patterns[first]
    return fits


def _ends(name: str) -> Iterator[str]:
    """The name, then what follows each of its dots."""
    yield name
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _compiled(pattern: str) -> regex.Pattern:
    whole = rf"(.*\.)?({pattern})$"
    try:
        re.compile(whole)  # the syntax is that of re; regex, which can stop, knows some more
        return regex.compile(whole)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern {shorten([pattern])} is malformed: {error}") from None


def _matches(expression: regex.Pattern, name: str, deadline: float) -> bool:
    try:
        left = max(deadline - time.process_time(), 0.001)
        return expression.match(name, timeout=left) is not None
    except TimeoutError:
        raise ValueError(
            f"pattern {shorten([expression.pattern])} takes too long to match; simplify it"
        ) from None
