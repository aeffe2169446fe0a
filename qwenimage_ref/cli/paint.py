"""`qwenimage paint`: all arguments are checked before anything heavy is imported."""

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path

from . import again, loading, paint_control, paint_regions
from .console import UsageError
from .places import demand_file, demand_output
from .pocket import demand_number
from .prompt_notes import note_what_is_new, sent_prompt

EXAMPLE = 'qwenimage paint "a red circle left of a blue star on a white background" -o out.png'
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("prompt", nargs="?", help="what to paint, in quotes")
    add("-o", "--output", type=Path, default=Path("out.png"), help="file to write")
    loading.add_arguments(parser)
    add("--negative", default=" ", metavar="TEXT", help='default " "')
    add("--cfg", type=float, default=4.0, help="guidance, 1 is none; default 4")
    add("--steps", type=int, help="default: what the weights recommend, else 50")
    add("--size", metavar="WxH", help="default: what the weights recommend")
    add("--seed", type=int, default=0, help="chooses the noise, 0 to 2**64 - 1; default 0")
    about = "the schedule of few-step models: shift 3, no guidance, 4 steps unless --steps says"
    add("--lightning", action="store_true", help=about)
    about = "into the captions that the pocket model knows; else a magic phrase is appended"
    add("--rewrite", action="store_true", help=about)
    about = "no notes on what the pocket model was never trained on"
    add("--quiet", action="store_true", help=about)
    about = "paint once more what a PNG file of this command or of the page says of itself"
    add("--again", type=Path, metavar="FILE", help=about)
    about = "write PNG files without what they were painted with"
    add("--no-settings", action="store_true", help=about)
    _add_picture_arguments(parser)
    parser.set_defaults(run=run)


def _add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("pictures").add_argument
    about = "where to start; to an edit model, what to change: once for each of its pictures"
    add("--image", action="append", type=Path, default=[], metavar="FILE", help=about)
    about = "share of the steps that is run, above 0 and at most 1; default 0.6"
    add("--strength", type=float, metavar="S", help=about)
    about = "white where the picture is painted anew, black where it stays"
    add("--mask", type=Path, metavar="FILE", help=about)
    about = "paint only what surrounds the white, N pixels more, and put it back into the picture"
    add("--padding-mask-crop", type=int, metavar="N", help=about)
    about = "soften the mask's edge over N latents of 8 pixels; with --inpaint-blur-sigma"
    add("--inpaint-blur-size", type=int, metavar="N", help=about)
    add("--inpaint-blur-sigma", type=float, metavar="S", help="its standard deviation in latents")
    about = "with the LoRA Edit-Lowres-Fix: pictures keep their size and are spread over the target"
    add("--lowres-fix", action="store_true", help=about)
    paint_control.add_arguments(add)
    paint_regions.add_arguments(add)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Arguments of this command alone -> options. Raises UsageError."""
    return loading.parse(add_arguments, arguments)


COMMAND = again.Command("paint", parse, "prompt", "-o")


def run(options) -> None:
    make(options)


def make(options, load=loading.load, progress=loading.progress) -> list[Path]:
    """-> the file that was written. load, progress: as in loading.py"""
    options = again.recalled(options, COMMAND)
    picture, prompt, steps = painted(options, load, progress)
    # notes come behind the painting, so that an error is a single line
    note_what_is_new(prompt, picture.size, options)
    write(picture, options, steps)
    return [options.output]


def painted(options, load, progress):
    """-> the picture, the prompt that was sent, and the steps of its schedule"""
    # checks of all arguments come before the imports, which take a second
    if options.prompt is None:
        raise UsageError("the following arguments are required: prompt")
    if not options.prompt.strip():
        raise UsageError(f"the prompt must say what to paint, got an empty one; try {EXAMPLE}")
    demand_number(options.cfg)
    width, height = size_of(options.size) if options.size else (None, None)
    check_output(options.output)
    adapters = [loading.adapter(text) for text in options.lora]
    controls, regions = paint_control.wanted(options), paint_regions.wanted(options)
    _check_picture_arguments(options)

    # options that do not go together are refused before the weights are read
    edits = _demand_pictures(options)
    over, guides = _read_pictures(options), paint_control.pictures(controls)
    beside = paint_regions.conditions(regions, options)
    pipe = paint_control.controlled(_load(options, adapters, load), controls, guides, options)
    steps, cfg = _schedule(pipe, options)
    like = None if options.size else _followed(edits, over, guides, beside)
    if like and not edits and options.padding_mask_crop is None:
        width, height = _size_like(like, pipe)
    prompt = sent_prompt(options)
    sides = {"height": height, "width": width, "num_inference_steps": steps}
    how = {"negative_prompt": options.negative, "true_cfg_scale": cfg, "seed": options.seed}
    taken = steps if edits and not options.mask else _steps_taken(steps, over)
    with progress(taken) as advance:
        picture = pipe(prompt, callback=advance, **how, **sides, **over, **beside)[0]
    if like and not options.quiet:
        loading.note_stretch(like.size, picture.size, "--size sets another size")
    return picture, prompt, steps


def _check_picture_arguments(options) -> None:
    """Raises UsageError for options without their picture, and for files that are not there."""
    over = ["strength", "padding_mask_crop", "inpaint_blur_size", "inpaint_blur_sigma"]
    over += [] if options.control else ["mask"]  # a control network may read a mask
    for name in over if not options.image else ():
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} must go with a picture; add --image FILE")
    if options.strength is not None and not 0 < options.strength <= 1:
        raise UsageError(f"--strength must be above 0 and at most 1, got {options.strength}")
    for file in options.image:
        demand_file("--image", file)
    if options.mask:
        demand_file("--mask", options.mask)


def _demand_pictures(options) -> bool:
    """-> whether the weights are an edit model's. Raises UsageError for pictures that do not suit.

    Only model_index.json is read.
    """
    from ..checkpoint import locate
    from ..checkpoint.model_folder import picture_form
    from ..conditions import LayeredForm

    count, form = len(options.image), picture_form(locate.resolve(options.weights))
    if isinstance(form, LayeredForm):
        raise UsageError(
            f"{options.weights} must be used to take pictures apart, it is a layered model; "
            "try qwenimage layers PICTURE"
        )
    if form is None:
        if count > 1:
            raise UsageError(
                f"--image must be given once to a text-to-image model, got {count}; edit models "
                "take several"
            )
        if options.lowres_fix:
            raise UsageError("--lowres-fix must go with the weights of an edit model")
    elif not count:
        raise UsageError(
            f"{options.weights} must be given a picture, it is an edit model; add --image FILE"
        )
    elif options.strength is not None and options.mask is None:
        raise UsageError("--strength must go with --mask FILE where an edit model is used")
    return form is not None


def _read_pictures(options) -> dict:
    """-> the arguments of `QwenImage.__call__` that concern a picture; none without --image"""
    if not options.image:
        return {}
    from ..pictures import input_picture, open_picture
    from ..tasks.inpaint import grey_mask

    pictures = [input_picture(open_picture(file), str(file)) for file in options.image]
    mask = options.mask and grey_mask(open_picture(options.mask), pictures[0].size)
    return {
        "image": pictures,
        "strength": 0.6 if options.strength is None else options.strength,
        "mask_image": mask,
        "padding_mask_crop": options.padding_mask_crop,
        "inpaint_blur_size": options.inpaint_blur_size,
        "inpaint_blur_sigma": options.inpaint_blur_sigma,
    }


def _followed(edits: bool, over: dict, guides: list, beside: dict):
    """-> the picture whose proportions are the target's where no size is asked for, if any"""
    images = over.get("image", [])
    if edits:
        return images[-1]  # upstream's rule
    pictures = [*images, *guides, beside.get("context_image")]
    return next(filter(None, pictures), None)


def _size_like(picture, pipe) -> tuple[int, int]:
    """-> width and height: the area that the weights recommend, in the picture's proportions

    Upstream has no rule for these tasks, so sides are whole tokens; those of edit models are
    multiples of 32.
    """
    from ..conditions import size_of_area
    from ..limits import TOKEN

    area = pipe.recommended.get("sample_size", 1024) ** 2
    return size_of_area(*picture.size, area, multiple=TOKEN)


def _steps_taken(steps: int, over: dict) -> int:
    from ..tasks.image_to_image import first_step

    return steps - first_step(steps, over["strength"]) if over else steps


def _load(options, adapters: list[tuple[str, float]], load):
    """-> the pipeline with its single files and LoRAs"""
    pipe = load(options, adapters)
    if options.lowres_fix:
        pipe.form = replace(pipe.form, auto_resize=False, rope_interpolation=True)
    return pipe


def _schedule(pipe, options) -> tuple[int, float]:
    """-> steps and guidance; with --lightning the pipeline also takes that schedule"""
    from ..config import SchedulerConfig

    steps, cfg = options.steps, options.cfg
    if options.lightning:
        pipe.scheduler, cfg = SchedulerConfig.lightning(), 1.0
        steps = 4 if steps is None else steps
    return (pipe.recommended.get("num_inference_steps", 50) if steps is None else steps), cfg


def write(picture, options, steps: int) -> None:
    """Write the picture, a PNG file with its settings, and print one line on it."""
    from ..files import whole_file
    from ..png_settings import settings_chunk

    kind, extra = format_of(options.output), {}
    if kind == "PNG" and not options.no_settings:
        folder, resolved = options.output.parent, {"steps": steps}
        settings = again.settings_of(options, COMMAND, folder, resolved)
        extra = {"pnginfo": settings_chunk(settings)}
    with whole_file(options.output) as partial:
        picture.save(partial, format=kind, **extra)
    # a console that is closed or lacks a letter does not undo a picture that is on the disk
    with contextlib.suppress(OSError, ValueError):
        size = f"{picture.width}x{picture.height}"
        print(f"{options.output}: {size}, seed {options.seed}", flush=True)


def size_of(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise UsageError(f"--size must be WIDTHxHEIGHT, for example 128x128, got {text}") from None


def format_of(path: Path) -> str:
    return {".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower(), path.suffix[1:].upper())


def check_output(path: Path) -> None:
    """Raises UsageError if a picture cannot be written there."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"-o must end in one of {', '.join(PICTURE_SUFFIXES)}, got {path}")
    demand_output("-o", path, "out.png")
