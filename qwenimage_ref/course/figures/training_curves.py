"""How training went, drawn from the log that lies beside the weights."""

import matplotlib.pyplot as plt

from ..show import PALETTE, Shown, figure


def training(record: dict, alt: str) -> Shown:
    """training.json -> the VAE's fidelity, and the painter's loss through its lessons

    The loss is on a logarithmic scale; a lesson's harder posters let it rise where they begin.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    log = [line for line in record["logs"]["vae"] if "psnr" in line]
    left.plot([x["step"] for x in log], [x["psnr"] for x in log], "o-", color=PALETTE["image"])
    left.set(xlabel="step", ylabel="PSNR (dB)", title="VAE: true posters, there and back")
    done, colours = 0, (PALETTE["text"], PALETTE["joint"], PALETTE["accent"])
    lessons = [name for name in record["logs"] if name != "vae"]
    for name, colour in zip(lessons, colours):
        log = record["logs"][name]
        batch = record["recipes"][name]["batch"] / 1000
        seen = [done + x["step"] * batch for x in log]
        right.plot(seen, [x["loss"] for x in log], color=colour, label=f"lesson: {name}")
        done = seen[-1]
    right.set(xlabel="thousand pictures", ylabel="loss", yscale="log", title="text tower and MMDiT")
    right.legend(frameon=False)
    return figure(fig, alt)
