"""Block diagrams of the networks as vector drawings: `python -m qwenimage_ref.course.diagrams`."""
