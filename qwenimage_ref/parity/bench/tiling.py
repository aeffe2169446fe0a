"""The memory of a large picture in the VAE, as a whole and in tiles.

python -m qwenimage_ref.parity.bench.tiling [--record]

Official width, random weights, each call in a fresh process. Exit status 1: a target is missed.
"""

import argparse
import sys

from ...config import VAEConfig
from ...provenance import write_record
from ...repository import MEASUREMENTS, in_a_clone
from .fresh_process import measure_call

FILE = MEASUREMENTS / "tiling.json"
SIDE = 2048
SMALL = 512  # a side that the whole decoder takes in moderate memory
MOST = 1.2e9  # bytes above imports, weights included, for a decoded picture of SIDE
CALLS = (  # how, direction, side
    ("tiled", "decode", SIDE),
    ("ours", "decode", SMALL),
    ("tiled", "encode", SIDE // 2),
)
ABOUT = {
    "bytes": "anonymous memory above the imports: weights in float32, and the rise during the call",
    "how": "ours: the whole picture at once; tiled: adapt/tiling.py",
    "most": f"of these bytes for a picture of {SIDE}x{SIDE} decoded in tiles",
}


def measure(calls, base_dim: int) -> list[dict]:
    """(how, direction, side) of each call -> a row each"""
    rows = []
    for how, direction, side in calls:
        memory = measure_call(how, direction, [side], "float32", base_dim)
        total = memory["weights"] + memory["peaks"][0]
        rows.append({"how": how, "call": direction, "side": side, "bytes": total})
    return rows


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tiling", description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args(arguments)
    rows = measure(CALLS, VAEConfig().base_dim)
    for row in rows:
        print("{how:5} {call} {side}x{side}: {gb:.2f} GB".format(gb=row["bytes"] / 1e9, **row))
    if options.record:
        write_record({"about": ABOUT, "most": int(MOST), "rows": rows}, FILE)
    return int(rows[0]["bytes"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
