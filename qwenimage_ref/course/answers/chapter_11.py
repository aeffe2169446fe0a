"""Chapter 11: gallery of wrong answers."""

EX_11_DIAGNOSE = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "padding counted",
]

SPOILERS = {
    "ex_11_diagnose": {
        "statistics",
        "inverted",
        "padding",
        "attended",
        "half",
        "split",
        "rotation",
        "shift",
        "scale",
        "counted",
    }
}
