"""Optional libraries: which extra of pyproject.toml installs each; one line if it is missing."""

import importlib.util
import sys

LIBRARIES = {  # names under which they are imported
    "control": ("skimage",),
    "parity": ("diffusers", "transformers", "peft"),
    "notebooks": ("jupyterlab", "ipywidgets", "matplotlib"),
    "serve": ("gradio", "fastapi", "uvicorn"),
    "ray": ("ray", "pyarrow"),
    "dev": ("jupytext", "nbclient", "nbformat"),
}


class MissingLibraryError(ValueError):
    """A library that an extra of the package installs; the message says how to get it."""


def demand_extra(extra: str) -> None:
    """Raises MissingLibraryError unless every library of that extra can be imported."""
    if missing := [name for name in LIBRARIES[extra] if importlib.util.find_spec(name) is None]:
        raise MissingLibraryError(
            f"{', '.join(missing)} must be installed for this; "
            f'pip install "qwenimage_ref[{extra}]", or in a clone: make setup'
        )


def demand_extra_for_command(extra: str) -> None:
    """The same for every `python -m` of a room: called by its __init__, it ends in status 2.

    Code that imports the room gets Python's own ImportError instead.
    """
    if sys.argv[:1] != ["-m"]:  # what argv holds while `python -m` is still looking for its module
        return
    try:
        demand_extra(extra)
    except MissingLibraryError as error:
        print(f"qwenimage: {error}", file=sys.stderr)
        raise SystemExit(2) from None
