"""Paths of this repository. They exist only in a checkout, not in an installed wheel."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
POCKET = DATA / "pocket"
MEASUREMENTS = DATA / "measurements"
