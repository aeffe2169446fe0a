"""What comes after pre-training: the four errors of a preference, and a round of rewards."""

from .drawing import Drawing
from .sizes import rows

LEFT, MIDDLE, RIGHT = 100, 192, 284  # middles of columns


def four_errors() -> Drawing:
    """Winner and loser under one noise, seen by the network with its LoRA on and off"""
    drawing = Drawing("The four errors of a preference")
    mix = drawing.box(MIDDLE, 42, 344, "mix\nboth under one noise, at one sigma", "noise")
    loss = drawing.box(MIDDLE, 238, 344, "dpo_loss\n-log sigmoid(-beta / 2 lead)", "accent")
    for x, picture, switch in ((LEFT, "winner", "on"), (RIGHT, "loser", "off")):
        drawing.write(x, 14, f"{picture} (B, 16, h, w)")
        drawing.wire((x, 20), (x, mix.top))
        network = drawing.box(x, 140, 150, f"transformer\nLoRA {switch}", "joint")
        drawing.wire((x, mix.bottom), (x, network.top), label="x, both")
        drawing.wire((x, network.bottom), (x, loss.top), label="two errors")
    drawing.wire((MIDDLE, loss.bottom), (MIDDLE, loss.bottom + 24))
    drawing.write(MIDDLE, loss.bottom + 38, "gradient of the LoRA alone")
    drawing.legend(rows("h, w"))
    return drawing


def reward_round() -> Drawing:
    """A group of pictures is sampled, rewarded, compared and learned from"""
    drawing = Drawing("A round of Flow-GRPO")
    drawing.write(MIDDLE, 14, "one caption, a group of noises")
    boxes = drawing.column(
        MIDDLE, 42, 260,
        [
            ("sample\nsteps with noise, LoRA on", "noise", "every x (B, I, 64) and its log p"),
            ("reward\npictures, read by a program", "image", "rewards"),
            ("advantages\nabove the group's mean", "text", "advantages"),
            ("clipped_loss\nratio of new p to old p", "joint", "loss"),
            ("divergence\nfrom the network with LoRA off", "accent", ""),
        ],
    )  # fmt: skip
    drawing.wire((MIDDLE, 20), (MIDDLE, boxes[0].top))
    end = boxes[-1].bottom
    drawing.wire((MIDDLE, end), (MIDDLE, end + 24))
    drawing.write(MIDDLE, end + 38, "gradient of the LoRA alone, then the next round")
    drawing.legend(rows("I"))
    return drawing
