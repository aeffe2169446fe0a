"""The ablation study as a table: every variant against the baseline, seed by seed.

ablations.py trains and measures; intervals.py says how much of a difference is luck.
"""

import math
import statistics

from .ablation_variants import VARIANTS
from .intervals import against, interval

# The part by which variants are compared, beside the loss: the number of shapes and their places.
# After so short a training shapes are still blots, and no whole scene is right.
COMPARED = "layout"


def compared(results: dict[str, list[dict]]) -> dict[str, dict]:
    """Each variant's measurements, one a seed -> its entry in the record

    With one seed all variants have the same first weights and noise: seeds are the columns of
    `against`. Variants that were trained are one table, and other paintings with the baseline's
    weights a second one, since among those nothing varies by training.
    """
    seeds = {name: [_of_a_seed(one) for one in each] for name, each in results.items()}
    shares = {
        name: [one["rows"][COMPARED]["share"] for one in each] for name, each in seeds.items()
    }
    trained = [name for name in results if VARIANTS[name].retrained]
    painted = [name for name in results if name == "baseline" or not VARIANTS[name].retrained]
    points = {}
    for names in (trained, painted):
        if len(names) > 1:
            points |= against({name: shares[name] for name in names}, "baseline")
    # logarithms, since losses spread in proportion to their size; a difference is then a ratio
    losses = {name: [math.log(one["loss"]) for one in seeds[name]] for name in trained}
    of_loss = against(losses, "baseline")
    return {
        name: {
            "says": VARIANTS[name].description,
            "retrained": VARIANTS[name].retrained,
            "parameters": each[0]["parameters"],
            "seconds_per_step": statistics.median(one["seconds_per_step"] for one in each),
            "seeds": seeds[name],
            "difference": points.get(name),
            "log_loss_difference": of_loss.get(name),
        }
        for name, each in results.items()
    }


def _of_a_seed(measured: dict) -> dict:
    right = measured["right"]
    rows = {part: interval(bits.count("1"), len(bits)) for part, bits in right.items()}
    return {"loss": measured["loss"], "rows": rows, "bits": right[COMPARED]}
