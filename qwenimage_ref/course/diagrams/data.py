"""The data pipeline: what a worker does with a shard, and the one place that sees all pictures."""

from .drawing import Drawing

LEFT, RIGHT = 104, 280  # middles of two columns


def data_pipeline() -> Drawing:
    """From pictures with captions to a trainer, by way of two kinds of shards"""
    drawing = Drawing("The data pipeline")
    drawing.write(LEFT, 14, "pictures with captions")
    pack = drawing.box(LEFT, 40, 160, "pack\nfiles as they are", "noise")
    drawing.wire((LEFT, 18), (LEFT, pack.top))
    drawing.frame(10, 112, 198, 192, "workers")
    measure = drawing.box(LEFT, 136, 160, "measure\nnumbers of a picture", "image")
    drawing.wire((LEFT, pack.bottom), (LEFT, measure.top), label="shards: png, txt", at=(110, 100))
    decide = drawing.box(LEFT, 232, 160, "decide\nduplicates, balance", "accent")
    drawing.wire((LEFT, measure.bottom), (LEFT, decide.top), label="lines of JSON", at=(110, 212))
    drawing.frame(10, 312, 198, 392, "workers")
    encode = drawing.box(LEFT, 336, 160, "encode\nVAE and text encoder", "joint")
    drawing.wire((LEFT, decide.bottom), (LEFT, encode.top), label="keys that stay", at=(110, 300))
    drawing.wire(
        (pack.right, pack.y), (RIGHT, pack.y), (RIGHT, encode.y), (encode.right, encode.y),
        label="the same shards", at=(RIGHT + 4, 240),
    )  # fmt: skip
    train = drawing.box(LEFT, 444, 160, "train\na batch at a time", "text")
    drawing.wire(
        (LEFT, encode.bottom), (LEFT, train.top), label="shards: latents, text states",
        at=(110, 420),
    )  # fmt: skip
    return drawing
