"""`qwenimage serve`: the page in the browser. Nothing here loads torch; the workers do."""

import argparse
import sys
from pathlib import Path

from ..extras import demand_extra
from . import loading
from .console import UsageError, say
from .places import demand_folder

ABOUT = (
    "A page that paints, for this machine alone unless --host says otherwise: it has no password. "
    "It needs no network and calls none. Each picture is a PNG file in the history that says how "
    "it was painted; `qwenimage paint --again FILE` paints it once more, `qwenimage layers --again "
    "FILE` takes it apart once more. --lora and --control are what visitors may choose from."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    loading.add_arguments(parser)
    add = parser.add_argument
    about = "a control network that visitors may use; may be given several times"
    add("--control", action="append", default=[], metavar="NET", help=about)
    about = "127.0.0.1, the default, is this machine alone; 0.0.0.0 is everybody who can reach it"
    add("--host", default="127.0.0.1", help=about)
    add("--port", type=int, default=7860, help="default 7860; 0 takes any that is free")
    about = "folder of what was painted; default pictures"
    add("--history", type=Path, default=Path("pictures"), metavar="FOLDER", help=about)
    parser.set_defaults(run=run)


def run(options) -> None:
    demand_extra("serve")
    from ..serve.history import History
    from ..serve.jobs import Queue
    from ..serve.server import LOOPBACK, listening, serve

    offers = {"lora": [loading.adapter(text)[0] for text in options.lora]}
    offers["control"] = options.control
    demand_folder("--history", options.history)
    devices = options.device.split(",")
    if len(set(devices)) < len(devices):
        raise UsageError(f"--device must name each device once, got {options.device}")
    opened = listening(options.host, options.port)
    if options.host not in LOOPBACK:
        say("note: the page is open to everybody who can reach this machine; it has no password")
    history = History(options.history)
    serve(Queue([_command(options, device) for device in devices]), opened, history, offers)


def _command(options, device: str) -> list[str]:
    """What starts the worker of one device"""
    arguments = [f"--device={device}"]
    for name in ("weights", "transformer", "vae", "text_encoder"):
        if (value := getattr(options, name)) is not None:
            arguments.append(f"--{name.replace('_', '-')}={value}")
    for name in ("stream", "vae_tiling", "lora_partial"):
        if getattr(options, name):
            arguments.append(f"--{name.replace('_', '-')}")
    return [sys.executable, "-m", "qwenimage_ref.cli.worker", *arguments]
