"""What a visitor hands in: files that were uploaded to this page, and none that lie elsewhere.

gradio takes the path of a file from a request. Mounted in another application, as here, it does not
ask whose file that is, and it fetches what an address leads to.
"""

import os
from pathlib import Path

import gradio as gr

REFUSAL = "a picture must be uploaded to this page; addresses and other files are not read"


def guard(blocks: gr.Blocks) -> None:
    """Let a request with any other file end in one line, before anything of it is touched."""
    read = blocks.preprocess_data

    async def guarded(block_fn, inputs, *rest, **options):
        if not all(map(is_uploaded, paths_in(inputs))):
            raise gr.Error(REFUSAL, print_exception=False)
        return await read(block_fn, inputs, *rest, **options)

    blocks.preprocess_data = guarded


def paths_in(value):
    """Yields every path in a request, however deep it lies."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from paths_in(each)


def is_uploaded(path) -> bool:
    folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
    return isinstance(path, str) and Path(path).resolve().is_relative_to(folder)
