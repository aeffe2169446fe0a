"""`--again` of `paint` and `layers`: what a PNG file says of its painting, written and followed."""

import argparse
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..files import shorten
from ..png_settings import SettingsError, mark_of, read_settings
from . import loading, paint_control, paint_regions
from .console import UsageError, say

# what may go with --again, and is in no file
BESIDE = ("output", "to", "quiet", "device", "no_settings")
# careful: loading.py, paint_control.py and paint_regions.py parse what is not a plain path
Parse = Callable[[list[str]], argparse.Namespace]
MOST_THREADS = 1024  # that a file may ask for
PATHS = ("picture", "mask", "context", "transformer", "vae", "text_encoder")


@dataclass(frozen=True)
class Command:
    """One of the commands whose files can be followed"""

    name: str  # word for it in the files
    parse: Parse
    subject: str  # name of the argument that stands without an option
    output: str  # where its files go, as people write it

    def __str__(self) -> str:
        return f"qwenimage {self.name}"


# -- written


def settings_of(
    options: argparse.Namespace, command: Command, folder: Path, resolved: dict
) -> dict:
    """The options of one painting -> what its PNG files in a folder say of it

    Paths are relative to the folder, and each file's sha256 stands beside it. resolved: {name of an
    option: its value} of what an option may leave to the weights, such as the schedule's steps.
    """
    import torch

    from ..checkpoint import locate

    known = {command.subject: str(getattr(options, command.subject)), "seed": options.seed}
    known |= resolved
    # what is repeated is given in full, and must come to the same order and so to the same file
    changed = {n: value for n, value in _changed(options, command).items() if n not in known}
    changed |= known
    marks: dict[str, str] = {}

    def place(path: str | Path) -> str:
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
        marks[relative] = mark_of(path)
        return relative

    if os.path.isdir(options.weights) and "weights" in changed:
        changed["weights"] = os.path.relpath(options.weights, folder)
    return {
        "command": command.name,
        "program": f"qwenimage_ref {__version__}",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": options.device,
        "options": _with_files(changed, place),
        "weights_sha256": _mark_of_weights(locate.resolve(options.weights)),
        "files_sha256": marks,
    }


def _changed(options: argparse.Namespace, command: Command) -> dict:
    """{name of an option: its value} of those that are not left to their default"""
    defaults = vars(command.parse(["subject"]))
    left_out = {*BESIDE, command.subject, "again", "run"}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name in defaults and name not in left_out and value != defaults[name]
    }


def _with_files(values: dict, place) -> dict:
    """The same values, each file in them named by `place`"""
    placed = values | {name: place(values[name]) for name in PATHS if name in values}
    if "image" in values:
        placed["image"] = [place(file) for file in values["image"]]
    if "lora" in values:
        pairs = map(loading.adapter, values["lora"])
        placed["lora"] = [{"file": place(file), "scale": scale} for file, scale in pairs]
    if "region" in values:
        pairs = map(paint_regions.region, values["region"])
        placed["region"] = [{"prompt": prompt, "file": place(file)} for prompt, file in pairs]
    if "control" in values:
        controls = [paint_control.control(text)._asdict() for text in values["control"]]
        for control in controls:
            control["file"] = place(control["file"])
            if os.path.exists(control["net"]):
                control["net"] = place(control["net"])
        placed["control"] = controls
    return placed


@functools.lru_cache(maxsize=1)
def _mark_of_weights(folder: Path) -> str:
    # careful: what one process has loaded stays the same, even if the folder changes meanwhile
    return mark_of(folder)


# -- followed


def recalled(options: argparse.Namespace, command: Command) -> argparse.Namespace:
    """Options with --again -> those that the picture was painted with; others stay as they are

    Raises UsageError or SettingsError, one line, where a file has changed since.
    """
    if options.again is None:
        return options
    given = list(_changed(options, command))
    if given or getattr(options, command.subject) is not None:
        name = given[0].replace("_", "-") if given else f"a {command.subject}"
        raise UsageError(
            f"--again must stand without {name}: everything but {command.output} is in the file; "
            "leave it out"
        )
    settings = read_settings(options.again)
    _demand_same_command(options.again, settings, command)
    try:
        arguments = _arguments(settings["options"], options.again.parent, command)
        marks = {Path(path): str(mark) for path, mark in settings["files_sha256"].items()}
        weights, threads = settings["weights_sha256"], int(settings["threads"])
        conditions = {name: str(settings[name]) for name in ("torch", "device")}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise SettingsError(f"the settings of {options.again} are damaged ({error!r})") from None
    again = command.parse(arguments)
    for path, mark in marks.items():
        _demand_unchanged(options.again.parent / path, mark)
    _demand_weights(again.weights, weights)
    _paint_alike(threads, conditions, options.device)
    for name in BESIDE:
        if hasattr(options, name):
            setattr(again, name, getattr(options, name))
    return again


def _demand_same_command(file: Path, settings: dict, command: Command) -> None:
    """Raises SettingsError for a file of the other command; the first ones named none."""
    name = settings.get("command", "paint")
    if name != command.name:
        raise SettingsError(
            f"{file} must be a file of {command}, it is one of qwenimage {shorten([str(name)])}; "
            f"try: qwenimage {shorten([str(name)])} --again"
        )


def _arguments(options: dict, folder: Path, command: Command) -> list[str]:
    """What a file says -> arguments of the command. Raises LookupError, TypeError, ..."""
    values = dict(options)
    for name in PATHS:
        if name in values:
            values[name] = folder / values[name]
    if (folder / values.get("weights", "")).is_dir() and "weights" in values:
        values["weights"] = folder / values["weights"]
    values["image"] = [folder / file for file in values.get("image", [])]
    values["lora"] = [f"{folder / x['file']}={x['scale']}" for x in values.get("lora", [])]
    values["region"] = [f"{x['prompt']}={folder / x['file']}" for x in values.get("region", [])]
    values["control"] = [_control(x, folder) for x in values.get("control", [])]
    subject, arguments = values.pop(command.subject), []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments += [option if value else f"--no-{option[2:]}"]
        else:
            each = value if isinstance(value, list) else [value]
            arguments += [f"{option}={one}" for one in each]
    if {argument.partition("=")[0] for argument in arguments} & {"--again", "--output", "--to"}:
        raise ValueError("they name an output")
    return [*arguments, "--", str(subject)]


def _control(entry: dict, folder: Path) -> str:
    net = folder / entry["net"] if (folder / entry["net"]).exists() else entry["net"]
    return f"{net}={folder / entry['file']}@{entry['scale']},{entry['start']},{entry['end']}"


def _demand_unchanged(path: Path, mark: str) -> None:
    if not path.exists():
        raise SettingsError(f"{path} must be there to paint this again, and is missing")
    if mark_of(path) != mark:
        raise SettingsError(
            f"{path} must be the file of the first painting, and has changed since; bring it back"
        )


def _demand_weights(weights, mark: str) -> None:
    from ..checkpoint import locate

    if _mark_of_weights(locate.resolve(weights)) != mark:
        raise SettingsError(
            f"{weights} must hold the weights of the first painting, and holds others; "
            "bring them back"
        )


def _paint_alike(threads: int, then: dict[str, str], device: str) -> None:
    """Compute with as many threads as then, which decides how sums are split and rounded."""
    import torch

    if 1 <= threads <= MOST_THREADS and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    now = {"torch": torch.__version__, "device": device}
    for name in (name for name in now if now[name] != then[name]):
        say(
            f"note: it was painted with {name} {shorten([then[name]])}, now it is {now[name]}; the "
            "last bits may differ"
        )
