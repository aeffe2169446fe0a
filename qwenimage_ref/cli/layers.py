"""`qwenimage layers`: a picture is taken apart, into PNG files and one that designers open."""

import argparse
import contextlib
import os
from pathlib import Path

from . import again, loading
from .console import UsageError, say
from .places import demand_file, demand_folder
from .pocket import demand_number

ABOUT = (
    "Takes a picture apart into transparent layers: layer_1.png, the lowest, to layer_N.png, and "
    "all of them in layers.psd, which Photoshop, GIMP and Krita open. A PNG file says how it was "
    "painted, and --again repeats it. The weights are those of Qwen-Image-Layered; with --extract, "
    "also those of Layered-Control."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    add = parser.add_argument
    add("picture", nargs="?", type=Path, metavar="PICTURE", help="with or without transparency")
    loading.add_arguments(parser)
    add("--to", type=Path, metavar="FOLDER", help="new or empty; gets the layers")
    add("--layers", type=int, metavar="N", help="1 to 64; default 4")
    about = "what the whole picture shows, hidden parts too; default: what the text encoder says"
    add("--prompt", metavar="TEXT", help=about)
    about = "language of that description; default en"
    add("--caption", choices=("en", "zh"), default="en", help=about)
    add("--negative", metavar="TEXT", help='default " ", with --extract ""')
    add("--cfg", type=float, help="guidance, 1 is none; default 4, with --mask 1")
    about = "guidance keeps each token's length, as the model card has it; the default"
    add("--cfg-normalize", action=argparse.BooleanOptionalAction, default=True, help=about)
    add("--steps", type=int, help="default: what the weights recommend, else 50; --extract 30")
    add("--seed", type=int, default=0, help="chooses the noise, 0 to 2**64 - 1; default 0")
    about = (
        "area of the layers as a square's side, 640 or 1024; default: what the weights recommend"
    )
    add("--resolution", type=int, metavar="SIDE", help=about)
    about = "take apart once more what a PNG file of this command or of the page says of itself"
    add("--again", type=Path, metavar="FILE", help=about)
    about = "write PNG files without what they were painted with"
    add("--no-settings", action="store_true", help=about)
    add = parser.add_argument_group("one layer, with Layered-Control").add_argument
    add("--extract", metavar="TEXT", help="the layer that is wanted, in words; writes layer.png")
    add("--mask", type=Path, metavar="FILE", help="with its LoRA V2: opaque where the layer is")
    parser.set_defaults(run=run)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Arguments of this command alone -> options. Raises UsageError."""
    return loading.parse(add_arguments, arguments)


COMMAND = again.Command("layers", parse, "picture", "--to")


def run(options) -> None:
    make(options)


def make(options, load=loading.load, progress=loading.progress) -> list[Path]:
    """-> the files that were written. load, progress: as in loading.py"""
    options = again.recalled(options, COMMAND)
    # checks of all arguments come before the imports, which take a second
    _check_arguments(options)
    adapters = [loading.adapter(text) for text in options.lora]

    # before the weights: what does not go together is refused at once
    _demand_layered_model(options)
    picture, mask = _read(options.picture), options.mask and _read_mask(options.mask)
    pipe = load(options, adapters)
    if options.extract is None:
        given = (options.prompt or "").strip()
        described = "" if given else _description(options, pipe, picture)
        steps = options.steps or pipe.recommended.get("num_inference_steps", 50)
        resolved = {"steps": steps, "prompt": given or described}
        layers = _decompose(options, pipe, picture, **resolved, progress=progress)
        files = [f"layer_{number}.png" for number in range(1, len(layers) + 1)]
    else:
        described, resolved = "", {"steps": options.steps or 30}
        layer = _extract(options, pipe, picture, mask, **resolved, progress=progress)
        layers, files = [layer], ["layer.png"]
    # notes come behind the painting, so that an error is a single line
    _note(options, picture, layers[0].size, described)
    return _write(options, layers, files, resolved)


def _note(options, picture, size: tuple[int, int], described: str) -> None:
    """Print how the picture was read. size: of the layers; described: by the text encoder."""
    from ..pictures import is_opaque

    if is_opaque(picture):
        say(f"note: {options.picture} has no transparency; it is taken as opaque in RGBA")
    loading.note_stretch(picture.size, size, "crop it to those proportions")
    if described:
        say(f"note: the picture is described as: {described}")


def _check_arguments(options) -> None:
    """Raises UsageError for files that are not there, and for what does not go together."""
    missing = {"PICTURE": options.picture is None, "--to": options.to is None}
    if any(missing.values()):
        names = ", ".join(name for name in missing if missing[name])
        raise UsageError(f"the following arguments are required: {names}")
    demand_file("PICTURE", options.picture)
    if options.mask is not None:
        demand_file("--mask", options.mask)
    if options.cfg is not None:
        demand_number(options.cfg)
    if options.steps is not None and options.steps < 1:
        raise UsageError(f"--steps must be at least 1, got {options.steps}")
    if options.mask is not None and options.extract is None:
        raise UsageError("--mask must go with --extract TEXT, got no words for the layer")
    if options.extract is not None:
        for name in ("layers", "prompt"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name} must be left out with --extract, which is one layer")
    demand_folder("--to", options.to)
    if options.to.is_dir() and any(options.to.iterdir()):
        raise UsageError(f"--to must be a new or empty folder, got {options.to}; name another")


def _demand_layered_model(options) -> None:
    """Raises UsageError for other weights, and for layers that none have; reads no weights."""
    from ..checkpoint import locate
    from ..checkpoint.model_folder import picture_form, read_model_index
    from ..conditions import LayeredForm
    from ..tasks.captions import demand_reader
    from ..tasks.layers import check_count

    folder = locate.resolve(options.weights)
    form = picture_form(folder)
    if not isinstance(form, LayeredForm):
        kind = "a text-to-image model" if form is None else "an edit model"
        raise UsageError(
            f"{options.weights} must be of Qwen-Image-Layered to take a picture apart, it is "
            f"{kind}; give another folder with --weights"
        )
    if options.layers is not None:
        check_count(options.layers)
    if options.extract is None and not (options.prompt or "").strip():
        demand_reader(read_model_index(folder), "--prompt")


def _read(file: Path):
    """A picture's file -> RGBA, opaque where it has no transparency"""
    from ..pictures import input_picture, open_picture

    return input_picture(open_picture(file, alpha=True), str(file), alpha=True)


def _read_mask(file: Path):
    """A mask's file -> RGBA. Raises ValueError, one line, for one that shows no place."""
    from ..tasks.layers import check_mask

    mask = _read(file)
    check_mask(mask)
    return mask


def _description(options, pipe, picture) -> str:
    """What the text encoder says of the picture"""
    from ..tasks.captions import caption
    from ..tasks.layers import encoded_copy

    copy = encoded_copy(pipe, picture, options.resolution)
    return caption(pipe, copy, options.caption == "en")


def _decompose(options, pipe, picture, steps: int, prompt: str, progress) -> list:
    from ..tasks.layers import decompose

    with progress(steps) as advance:
        return decompose(
            pipe,
            picture,
            prompt,
            negative_prompt=" " if options.negative is None else options.negative,
            true_cfg_scale=4.0 if options.cfg is None else options.cfg,
            layers=4 if options.layers is None else options.layers,
            num_inference_steps=steps,
            seed=options.seed,
            resolution=options.resolution,
            cfg_normalize=options.cfg_normalize,
            callback=advance,
        )


def _extract(options, pipe, picture, mask, steps: int, progress):
    from ..tasks.layers import extract

    with progress(steps) as advance:
        return extract(
            pipe,
            picture,
            options.extract,
            mask,
            negative_prompt=options.negative or "",
            true_cfg_scale=options.cfg,
            num_inference_steps=steps,
            seed=options.seed,
            resolution=options.resolution,
            callback=advance,
        )


def _write(options, layers: list, names: list[str], resolved: dict) -> list[Path]:
    """resolved: as in again.py"""
    from ..files import whole_file
    from ..png_settings import settings_chunk
    from ..psd import TOGETHER, save_psd

    os.makedirs(options.to, exist_ok=True)
    extra = {}
    if not options.no_settings:
        settings = again.settings_of(options, COMMAND, options.to, resolved)
        extra = {"pnginfo": settings_chunk(settings)}
    for layer, name in zip(layers, names):
        with whole_file(options.to / name) as partial:
            layer.save(partial, format="PNG", **extra)
    if options.extract is None:
        save_psd(layers, options.to / TOGETHER)
        names = [*names, TOGETHER]
    width, height = layers[0].size
    # a console that is closed or lacks a letter does not undo files that are on the disk
    with contextlib.suppress(OSError, ValueError):
        listed = ", ".join(names)
        print(f"{options.to}: {width}x{height}, seed {options.seed}: {listed}", flush=True)
    return [options.to / name for name in names]
