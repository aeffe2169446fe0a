"""`qwenimage eval`: the pocket model's score, GenEval's categories, and how well a VAE copies."""

import argparse
from pathlib import Path

from .console import say
from .paint import size_of
from .places import demand_file, demand_folder, demand_output
from .pocket import add_weights, demand_number

ABOUT = "Without the name of a measure: suite."
ABOUT_GENEVAL = (
    "Without --prompts: the pocket model on held-out captions of its own world, judged by the "
    "exact reader. With --prompts: any model in the official layout paints GenEval's prompts into "
    "the folders that GenEval's own scorer reads; the same command continues what was stopped."
)
ABOUT_VAE = (
    "Encodes every picture to the posterior's mean and decodes it again, in float32, as the "
    "technical report does. A file that cannot be used is named and left out."
)
WITH_PROMPTS = {"samples": 4, "seed": 0, "negative": " ", "batch": 1, "device": "cpu"}  # defaults
MOST_SEED = 2**64 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    parser.fallback = "suite"
    measures = parser.add_subparsers(metavar="MEASURE", required=True)
    about = "paint held-out captions and read them back: scenes, words, languages, the VAE"
    _add_suite(measures.add_parser("suite", help=about))
    about = "GenEval's six categories; or its prompts painted for its own scorer"
    _add_geneval(measures.add_parser("geneval", help=about, description=ABOUT_GENEVAL))
    about = "PSNR and SSIM of any VAE on any folder of pictures"
    _add_vae(measures.add_parser("vae", help=about, description=ABOUT_VAE))


def _add_suite(parser) -> None:
    add_weights(parser)
    parser.add_argument("--captions", type=int, default=200, help="default 200")
    parser.add_argument("--steps", type=int, default=20, help="default 20")
    _add_common(parser)
    parser.set_defaults(run=_suite)


def _add_common(parser) -> None:
    add = parser.add_argument
    add("--cfg", type=float, default=4.0, help="guidance; default 4")
    add("--record", type=Path, metavar="FILE", help="also write a JSON file")
    about = "whose captions; default: the edition in the weights' record, 2 where there is none"
    add("--edition", type=int, choices=(1, 2), help=about)


def _add_geneval(parser) -> None:
    add_weights(parser)
    add = parser.add_argument
    add("--captions", type=int, metavar="N", help="of each category; default 100")
    add("--steps", type=int, help="default 20; with --prompts what the weights recommend, else 50")
    _add_common(parser)
    about = "GenEval's evaluation_metadata.jsonl, or a file of that format"
    official = parser.add_argument_group("for GenEval's own scorer")
    add = official.add_argument
    add("--prompts", type=Path, metavar="FILE", help=about)
    add("--to", type=Path, metavar="FOLDER", help="where the pictures go")
    add("--samples", type=int, metavar="N", help="pictures of each prompt; default 4")
    add("--seed", type=int, help="of the first sample; the next ones count on; default 0")
    add("--size", metavar="WxH", help="default: what the weights recommend, else 1024x1024")
    add("--negative", metavar="TEXT", help='default " "')
    add("--batch", type=int, metavar="N", help="samples painted at a time; default 1")
    add("--stream", action="store_true", help="weights stay on disk, a block at a time; bf16")
    add("--device", help="cpu, cuda, mps; default cpu")
    parser.set_defaults(run=_geneval)


def _add_vae(parser) -> None:
    add_weights(parser)
    add = parser.add_argument
    add("--pictures", type=Path, required=True, metavar="FOLDER", help="searched with its folders")
    add("--side", type=int, default=256, metavar="N", help="cut and scaled to NxN; default 256")
    about = "measure pictures at their own sizes instead, cut to multiples of 8"
    add("--whole", action="store_true", help=about)
    add("--device", default="cpu", help="cpu, cuda, mps; default cpu")
    add("--record", type=Path, metavar="FILE", help="also write a JSON file")
    parser.set_defaults(run=_vae)


def _demand_record(record: Path | None) -> None:
    if record:
        demand_output("--record", record, "score.json")


def _demand_least(options, **least: int) -> None:
    """Raises ValueError for an option below its least value; one that was not given passes."""
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and value < bound:
            raise ValueError(f"--{name} must be at least {bound}, got {value}")


def _suite(options) -> None:
    _demand_least(options, captions=1)
    demand_number(options.cfg)
    _demand_record(options.record)

    from ..evaluate import score, suites
    from ..pipeline import QwenImage

    pipe = QwenImage.from_pretrained(options.weights)
    suite = suites.suite_of(options.weights, options.edition)
    result = score.evaluate(pipe, options.captions, options.steps, options.cfg, suite=suite)
    _show(score.table(result), result, options.record)


def _show(table: str, result: dict, record: Path | None) -> None:
    from ..provenance import write_record

    print(table)
    if record:
        write_record(result, record)


# --- geneval


def _geneval(options) -> None:
    _demand_least(options, captions=1, samples=1, batch=1, steps=1, seed=0)
    demand_number(options.cfg)
    _demand_record(options.record)
    if options.prompts:
        _paint_prompts(options)
        return
    _demand_none(options, ("to", "size", "stream", *WITH_PROMPTS), "goes with --prompts")

    from ..evaluate import geneval, suites
    from ..pipeline import QwenImage

    pipe = QwenImage.from_pretrained(options.weights)
    suite = suites.suite_of(options.weights, options.edition)
    count = options.captions or 100
    result = geneval.evaluate(pipe, suite, count, options.steps or 20, options.cfg)
    _show(geneval.table(result), result, options.record)


def _demand_none(options, names, reason: str) -> None:
    for name in names:
        if getattr(options, name):
            raise ValueError(f"--{name} {reason}; see qwenimage eval geneval --help")


def _paint_prompts(options) -> None:
    if options.to is None:
        raise ValueError("--prompts must go with --to, the folder for the pictures")
    reason = "is for the pocket model's own captions, without --prompts"
    _demand_none(options, ("captions", "record"), reason)
    for name, value in WITH_PROMPTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.seed + options.samples - 1 > MOST_SEED:
        raise ValueError(f"--seed must leave room for {options.samples} samples below 2**64")

    from ..evaluate import geneval_folder
    from ..pipeline import QwenImage

    demand_file("--prompts", options.prompts)
    demand_folder("--to", options.to)
    prompts = geneval_folder.read_prompts(options.prompts)
    size = size_of(options.size) if options.size else None
    pipe = QwenImage.from_pretrained(options.weights, device=options.device, stream=options.stream)
    side = pipe.recommended.get("sample_size", 1024)
    width, height = size or (side, side)
    pipe.noise(options.batch, height, width, 0)  # a check of sizes and memory
    settings = {
        "weights": str(options.weights),
        "steps": options.steps or pipe.recommended.get("num_inference_steps", 50),
        "cfg": options.cfg,
        "negative": options.negative,
        "width": width,
        "height": height,
        "seed": options.seed,
    }
    geneval_folder.prepare(options.to, prompts, settings)
    painted = geneval_folder.paint(
        pipe, prompts, options.to, options.samples, settings, batch=options.batch
    )
    total = len(prompts) * options.samples
    print(f"{options.to}: {total} pictures, {painted} painted now; score them with GenEval's own")


# --- vae


def _vae(options) -> None:
    side = None if options.whole else options.side
    if side is not None and (side < 16 or side % 8):
        raise ValueError(f"--side must be a multiple of 8, 16 or more, got {side}")
    _demand_record(options.record)

    from ..evaluate import vae_protocol

    vae_protocol.picture_files(options.pictures)
    vae = vae_protocol.load_vae(options.weights, options.device)
    if side is not None:
        needed, _ = vae_protocol.needs(vae, (side, side), vae_protocol.BATCH)
        count = vae_protocol.BATCH
        say(f"note: {count} pictures of {side}x{side} at a time need {needed / 1e9:.1f} GB")
    result = vae_protocol.measure(vae, options.pictures, side)
    for line in result["left_out"]:
        say(f"note: left out, {line}")
    _show(vae_protocol.table(result), result, options.record)
