"""Chapter 00: a picture in sixty seconds."""

EX_00_WORD = "a red circle right of a blue star on a white background"

SPOILERS = {"ex_00_word": {"right"}}
