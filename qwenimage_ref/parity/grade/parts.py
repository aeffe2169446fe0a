"""All parts that `make grade` compares, and by which function."""

from .pieces import PIECES


def _pieces_of(file: str) -> dict[str, str]:
    return {part: "piece" for part in PIECES if part.startswith(f"{file}:")}


# every part in the order of the model's own data flow: the function that computes it, in ours.py
# and in theirs.py; a part of NETWORKS is a network, a part of PIECES a single function
PARTS = {
    "tokenizer: text to ids": "ids",
    "tokenizer: ids to text": "texts",
    "tokenizer: a prompt in its template": "prompts",
    **_pieces_of("text encoder"),
    "text encoder: a prompt": "network",
    "text encoder: shorter prompts, padded": "network",
    "text encoder: quiet states": "network",
    **_pieces_of("vae"),
    "vae: picture to latents": "network",
    "vae: latents to picture": "network",
    "vae: the scale of latents": "statistics",
    "rope: angles of positions": "rotations",
    "rope: positions of grids": "positions",
    "rope: pairs turned": "rotate",
    **_pieces_of("mmdit"),
    "mmdit: a picture of odd size": "network",
    "mmdit: shorter prompts, padded": "network",
    "mmdit: quiet streams": "network",
    "mmdit: condition pictures": "network",
    "mmdit: layers": "network",
    "sampler: tokens of latents": "packing",
    "sampler: noise levels": "levels",
    "sampler: the time that the network sees": "times",
    "sampler: Euler steps": "euler",
    "sampler: guidance": "guidance",
    "pipeline: states of prompts": "states",
    "pipeline: noise": "start",
    "pipeline: a picture from end to end": "picture",
}
