"""Qwen-Image in one file: from a prompt to a picture with NumPy and the standard library alone.

    python one_file.py "a red circle left of a blue star on a white background" -o out.png

Weights are trees of dictionaries under the official names, so the transformer's "img_in.weight" is
weights["img_in"]["weight"]. Numbers are float32, without batches. Letters in shapes: T text tokens,
I image tokens, S = T + I, D width, H heads, K width of a head, C channels, h, w rows and columns.
"""

import argparse
import functools
import json
import math
import re
import struct
import sys
import unicodedata
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np

POCKET = Path(__file__).resolve().parents[1] / "data" / "pocket"
T2I = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture,"
    " quantity, text, spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
MOST_TOKENS = 512  # of a prompt and the template's end; the rest is not read
Network = namedtuple("Network", "config weights")
Tokenizer = namedtuple("Tokenizer", "vocab ranks added")
Model = namedtuple("Model", "tokenizer text_encoder transformer vae scheduler")


# -- files: folders to trees of arrays ------------------------------------------------------------
def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_safetensors(path):
    """File -> (name, float32 array) pairs: 8 bytes of length, a JSON header, then the numbers"""
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry["dtype"]]
            array = np.frombuffer(data[start + first : start + end], kind).reshape(entry["shape"])
            if entry["dtype"] == "BF16":  # the upper half of a float32
                array = (array.astype("<u4") << 16).view("<f4")
            yield name, array.astype(np.float32)


def read_network(folder):
    """Folder with config.json and any number of .safetensors -> config, tree of weights"""
    tree = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, array in sorted(read_safetensors(path)):
            *branches, leaf = name.split(".")
            branch = functools.reduce(lambda node, key: node.setdefault(key, {}), branches, tree)
            branch[leaf] = array
    return Network(read_json(folder / "config.json"), tree)


def read_model(folder):
    """Folder in the official layout, such as data/pocket -> Model"""
    tokens = folder / "tokenizer"
    vocab, added = (read_json(tokens / f"{name}.json") for name in ("vocab", "added_tokens"))
    lines = (tokens / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}
    networks = (read_network(folder / part) for part in ("text_encoder", "transformer", "vae"))
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return Model(Tokenizer(vocab, ranks, added), *networks, scheduler)


# -- tokenizer: text to ids -----------------------------------------------------------------------
# Python's `re` has no \p{N}, so numbers are listed; a letter is any other character of a word
EVERY = map(chr, range(sys.maxunicode + 1))
NUMBERS = "".join(each for each in EVERY if unicodedata.category(each).startswith("N"))
WORD = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    rf"|(?:[^\r\n\w]|_)?[^\W_{NUMBERS}]+"  # letters, with one character before them
    rf"|[{NUMBERS}]| ?(?:[^\s\w]|_)+[\r\n]*"  # digits, which never group; punctuation
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"  # whitespace, but its last space belongs to the next word
)
SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
HIDDEN = [byte for byte in range(256) if byte not in SHOWN]  # written as letters from U+0100 on
LETTERS = {byte: chr(byte) for byte in SHOWN} | {b: chr(256 + i) for i, b in enumerate(HIDDEN)}


def merge(tokens, ranks):
    """Merge neighbours, the pair of lowest rank first and leftmost first, until no pair has one"""
    while len(tokens) > 1:
        pairs = zip(tokens, tokens[1:])
        rank, i = min((ranks.get(pair, math.inf), i) for i, pair in enumerate(pairs))
        if rank == math.inf:
            break
        tokens = [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]
    return tokens


def encode(text, tokenizer):
    """Text -> ids. Added tokens such as <|im_end|> are matched before all else."""
    added, ids = sorted(tokenizer.added, key=len, reverse=True), []
    for part in re.split(f"({'|'.join(map(re.escape, added))})", text):
        if part in tokenizer.added:
            ids.append(tokenizer.added[part])
        else:
            for word in WORD.findall(unicodedata.normalize("NFC", part)):
                letters = [LETTERS[byte] for byte in word.encode("utf-8")]
                ids += [tokenizer.vocab[token] for token in merge(letters, tokenizer.ranks)]
    return ids


# -- layers that both transformers have -----------------------------------------------------------
einsum = functools.partial(np.einsum, optimize=True)


def linear(x, layer):
    """(S, D_in) -> (S, D_out)"""
    return x @ layer["weight"].T + layer.get("bias", 0)


def rms_norm(x, layer):
    """(..., D) -> (..., D)"""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * layer["weight"]


def silu(x):
    return x / (1 + np.exp(-x))


def attend(q, k, v, visible=True):
    """(S, H, K), (S, H, K), (S, H, K) -> (S, H K); visible (S, S): may a row see a column?"""
    scores = np.where(visible, einsum("shk,thk->hst", q, k) / math.sqrt(q.shape[-1]), -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return einsum("hst,thk->shk", weights, v).reshape(len(q), -1)


def turns(place, dim, theta):
    """(S,) -> (S, dim / 2): the angle of each pair of head dimensions, slower from pair to pair"""
    return np.outer(place, theta ** -(np.arange(0, dim, 2) / dim)).astype(np.float32)


# -- text encoder: ids to states ------------------------------------------------------------------
def rotate_halves(x, angle):
    """(T, H, K), (T, K/2) -> (T, H, K): pairs (k, k + K/2)"""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def text_layer(x, layer, angle):
    """(T, D) -> (T, D): causal attention, where a key-value head serves a group of query heads"""
    attn, mlp, K = layer["self_attn"], layer["mlp"], 2 * angle.shape[1]
    y = rms_norm(x, layer["input_layernorm"])
    q, k, v = (linear(y, attn[f"{n}_proj"]).reshape(len(y), -1, K) for n in "qkv")
    q, k = rotate_halves(q, angle), rotate_halves(k, angle)
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat(group, axis=1), v.repeat(group, axis=1)
    x = x + linear(attend(q, k, v, visible=np.tri(len(x), dtype=bool)), attn["o_proj"])
    y = rms_norm(x, layer["post_attention_layernorm"])
    y = silu(linear(y, mlp["gate_proj"])) * linear(y, mlp["up_proj"])
    return x + linear(y, mlp["down_proj"])


def encode_prompt(prompt, model):
    """Prompt -> (T, D), after the final norm and without the states of the template's beginning"""
    start = len(encode(T2I.partition("{}")[0], model.tokenizer))
    ids = encode(T2I.replace("{}", prompt), model.tokenizer)[: start + MOST_TOKENS]
    config, tower = model.text_encoder.config, model.text_encoder.weights["model"]
    width = config["hidden_size"] // config["num_attention_heads"]
    angle = turns(np.arange(len(ids)), width, config["rope_theta"])
    x = tower["embed_tokens"]["weight"][ids]
    for i in range(config["num_hidden_layers"]):
        x = text_layer(x, tower["layers"][str(i)], angle)
    return rms_norm(x, tower["norm"])[start:]


# -- MSRoPE: where every token stands -------------------------------------------------------------
def positions(rows, cols, text_length):
    """-> (I, 3), (T, 3): frame, row, column. The picture is centred, the text on the diagonal."""
    row, col = np.indices((rows, cols)).reshape(2, -1)
    # careful: an odd size has its extra row on the negative side
    img = np.stack([0 * row, row - (rows + 1) // 2, col - (cols + 1) // 2], axis=-1)
    txt = max(rows, cols) // 2 + np.arange(text_length)
    return img, np.stack([txt, txt, txt], axis=-1)


def angles(pos, axes_dims):
    """(S, 3) -> (S, K/2): some pairs turn with the frame, some with the row, some the column"""
    return np.concatenate([turns(x, dim, 10_000) for x, dim in zip(pos.T, axes_dims)], axis=1)


def rotate_pairs(x, angle):
    """(S, H, K), (S, K/2) -> (S, H, K): pairs (2k, 2k + 1)"""
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


# -- MMDiT: noisy latents, text states and a noise level to the velocity --------------------------
def embed_time(sigma, layers):
    """Noise level -> (D,)"""
    angle = turns([1000 * sigma], 256, 10_000)[0]
    waves = np.concatenate([np.cos(angle), np.sin(angle)])
    return linear(silu(linear(waves, layers["linear_1"])), layers["linear_2"])


def modulate(x, shift, scale):
    """(S, D), (D,), (D,) -> (S, D)"""
    x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6) * (1 + scale) + shift


def mlp(x, layers):
    """(S, D) -> (S, D): linear, GELU, linear"""
    x = linear(x, layers["net"]["0"]["proj"])
    x = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return linear(x, layers["net"]["2"])


def joint_attention(img, txt, attn, img_angle, txt_angle):
    """(I, D), (T, D), ..., (I, K/2), (T, K/2) -> (I, D), (T, D): every token sees all tokens"""
    I, T, K = len(img), len(txt), 2 * img_angle.shape[1]
    img_q, img_k, img_v = (linear(img, attn[f"to_{n}"]).reshape(I, -1, K) for n in "qkv")
    txt_q, txt_k, txt_v = (linear(txt, attn[f"add_{n}_proj"]).reshape(T, -1, K) for n in "qkv")
    img_q, img_k = rms_norm(img_q, attn["norm_q"]), rms_norm(img_k, attn["norm_k"])
    txt_q, txt_k = rms_norm(txt_q, attn["norm_added_q"]), rms_norm(txt_k, attn["norm_added_k"])
    img_q, img_k = rotate_pairs(img_q, img_angle), rotate_pairs(img_k, img_angle)
    txt_q, txt_k = rotate_pairs(txt_q, txt_angle), rotate_pairs(txt_k, txt_angle)
    # text first; (T + I, D)
    out = attend(*map(np.concatenate, [(txt_q, img_q), (txt_k, img_k), (txt_v, img_v)]))
    return linear(out[T:], attn["to_out"]["0"]), linear(out[:T], attn["to_add_out"])


def block(img, txt, temb, layers, img_angle, txt_angle):
    """(I, D), (T, D), (D,), ..., (I, K/2), (T, K/2) -> (I, D), (T, D)"""
    img_mod, txt_mod = (linear(silu(temb), layers[name]["1"]) for name in ("img_mod", "txt_mod"))
    img_shift, img_scale, img_gate, img_shift2, img_scale2, img_gate2 = np.split(img_mod, 6)
    txt_shift, txt_scale, txt_gate, txt_shift2, txt_scale2, txt_gate2 = np.split(txt_mod, 6)

    img_in, txt_in = modulate(img, img_shift, img_scale), modulate(txt, txt_shift, txt_scale)
    img_out, txt_out = joint_attention(img_in, txt_in, layers["attn"], img_angle, txt_angle)
    img = img + img_gate * img_out
    txt = txt + txt_gate * txt_out

    img = img + img_gate2 * mlp(modulate(img, img_shift2, img_scale2), layers["img_mlp"])
    txt = txt + txt_gate2 * mlp(modulate(txt, txt_shift2, txt_scale2), layers["txt_mlp"])
    return img, txt


def predict_velocity(img, txt, sigma, rows, cols, transformer):
    """(I, 4C), (T, Dt) -> (I, 4C): noise - data, as the network guesses it"""
    config, weights = transformer
    places, axes = positions(rows, cols, len(txt)), config["axes_dims_rope"]
    img_angle, txt_angle = (angles(pos, axes) for pos in places)
    temb = embed_time(sigma, weights["time_text_embed"]["timestep_embedder"])
    img = linear(img, weights["img_in"])
    txt = linear(rms_norm(txt, weights["txt_norm"]), weights["txt_in"])
    for i in range(config["num_layers"]):
        layers = weights["transformer_blocks"][str(i)]
        img, txt = block(img, txt, temb, layers, img_angle, txt_angle)
    # careful: (scale, shift) here, (shift, scale, gate) in the blocks
    scale, shift = np.split(linear(silu(temb), weights["norm_out"]["linear"]), 2)
    return linear(modulate(img, shift, scale), weights["proj_out"])


# -- sampler: noise to latents --------------------------------------------------------------------
def draw_noise(shape, seed):
    """-> normal numbers: the Mersenne Twister's bits, made normal by Box and Muller's formula"""
    # torch.randn's on a CPU: a word's lower 24 bits, and of 16 words 8 for radii and 8 for angles
    words = np.random.RandomState(seed % 2**32).bytes(4 * math.prod(shape))
    uniform = (np.frombuffer(words, "<u4") % 2**24).astype(np.float32) / 2**24
    u, v = uniform.reshape(-1, 2, 8).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log(1 - u)), 2 * math.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(shape)


def pack(latents):
    """(C, h, w) -> (I, 4C): every 2x2 patch becomes a token, channels in order (c, dy, dx)"""
    C, h, w = latents.shape
    return latents.reshape(C, h // 2, 2, w // 2, 2).transpose(1, 3, 0, 2, 4).reshape(-1, 4 * C)


def unpack(tokens, rows, cols):
    """(I, 4C) -> (C, h, w), the inverse of `pack`"""
    patches = tokens.reshape(rows, cols, -1, 2, 2)
    return patches.transpose(2, 0, 3, 1, 4).reshape(-1, 2 * rows, 2 * cols)


def noise_levels(steps, image_tokens, scheduler):
    """-> (steps + 1,), falling from 1 to 0; larger pictures stay longer at high noise"""
    few, many = scheduler["base_image_seq_len"], scheduler["max_image_seq_len"]
    low, high = scheduler["base_shift"], scheduler["max_shift"]
    shift = math.exp(low + (high - low) * (image_tokens - few) / (many - few))
    done = 1 - shift / (shift + (1 / np.linspace(1, 1 / steps, steps) - 1))
    levels = 1 - done / done[-1] * (1 - scheduler["shift_terminal"])
    return np.append(levels, 0).astype(np.float32)


def guide(cond, uncond, scale):
    """(I, 4C), (I, 4C) -> (I, 4C): away from the negative prompt, the length of tokens kept"""
    combined = uncond + scale * (cond - uncond)
    lengths = (np.linalg.norm(each, axis=-1, keepdims=True) for each in (cond, combined))
    return combined * np.divide(*lengths)


def denoise(noise, levels, txt, negative, scale, transformer):
    """(C, h, w), (steps + 1,), (T, Dt), (T', Dt) -> (C, h, w): one straight step for each level"""
    x, rows, cols = pack(noise), noise.shape[1] // 2, noise.shape[2] // 2
    for sigma, sigma_next in zip(levels, levels[1:]):
        cond = predict_velocity(x, txt, sigma, rows, cols, transformer)
        uncond = predict_velocity(x, negative, sigma, rows, cols, transformer)
        x = x + (sigma_next - sigma) * guide(cond, uncond, scale)
    return unpack(x, rows, cols)


# -- VAE decoder: latents to pixels ---------------------------------------------------------------
def convolve(x, layer):
    """(C_in, h, w) -> (C_out, h, w), zeros around the edge"""
    kernel = layer["weight"]
    kernel = kernel[:, :, -1] if kernel.ndim == 5 else kernel  # a still meets the last tap in time
    size, edge = kernel.shape[2:], kernel.shape[-1] // 2
    x = np.pad(x, [(0, 0), (edge, edge), (edge, edge)])
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return einsum("ihwyx,oiyx->ohw", windows, kernel) + layer["bias"][:, None, None]


def channel_norm(x, layer):
    """(C, h, w) -> (C, h, w): each pixel's vector scaled to length sqrt(C)"""
    length = np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    return x / length * math.sqrt(len(x)) * layer["gamma"].reshape(-1, 1, 1)


def res_block(x, layers):
    """(C_in, h, w) -> (C_out, h, w)"""
    y = convolve(silu(channel_norm(x, layers["norm1"])), layers["conv1"])
    y = convolve(silu(channel_norm(y, layers["norm2"])), layers["conv2"])
    return y + (convolve(x, layers["conv_shortcut"]) if "conv_shortcut" in layers else x)


def place_attention(x, layers):
    """(C, h, w) -> (C, h, w): one head over all places"""
    qkv = convolve(channel_norm(x, layers["norm"]), layers["to_qkv"])
    q, k, v = np.split(qkv.reshape(len(qkv), -1).T[:, None], 3, axis=-1)  # (hw, 1, C)
    return x + convolve(attend(q, k, v).T.reshape(x.shape), layers["proj"])


def decode(latents, vae):
    """(C, h, w) -> (3, 8h, 8w) in [-1, 1]"""
    mean, std = (np.float32(vae.config[f"latents_{each}"]) for each in ("mean", "std"))
    decoder, middle = vae.weights["decoder"], vae.weights["decoder"]["mid_block"]
    x = latents * std[:, None, None] + mean[:, None, None]
    x = convolve(convolve(x, vae.weights["post_quant_conv"]), decoder["conv_in"])
    x = place_attention(res_block(x, middle["resnets"]["0"]), middle["attentions"]["0"])
    x = res_block(x, middle["resnets"]["1"])
    for layers in decoder["up_blocks"].values():
        for layer in layers["resnets"].values():
            x = res_block(x, layer)
        if "upsamplers" in layers:
            x = x.repeat(2, axis=1).repeat(2, axis=2)  # every pixel four times
            x = convolve(x, layers["upsamplers"]["0"]["resample"]["1"])
    return convolve(silu(channel_norm(x, decoder["norm_out"])), decoder["conv_out"]).clip(-1, 1)


# -- picture --------------------------------------------------------------------------------------
def paint(prompt, model, negative=" ", scale=4.0, steps=20, height=128, width=128, seed=0):
    """Prompt -> (height, width, 3) bytes, of sides that are multiples of 16, in at least 2 steps"""
    txt, negative_txt = encode_prompt(prompt, model), encode_prompt(negative, model)
    noise = draw_noise((16, height // 8, width // 8), seed)
    levels = noise_levels(steps, height // 16 * (width // 16), model.scheduler)
    latents = denoise(noise, levels, txt, negative_txt, scale, model.transformer)
    pixels = decode(latents, model.vae).transpose(1, 2, 0)
    return np.round(255 * (pixels / 2 + 0.5)).astype(np.uint8)


def png(pixels):
    """(height, width, 3) bytes -> the bytes of a PNG file"""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: a row that is not filtered
    header = struct.pack(">IIBBBBB", pixels.shape[1], len(pixels), 8, 2, 0, 0, 0)  # 8 bits, RGB
    file = b"\x89PNG\r\n\x1a\n"
    for body in (b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"):
        file += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Paint a prompt with NumPy alone.")
    parser.add_argument("prompt")
    parser.add_argument("-o", "--output", type=Path, default=Path("out.png"))
    parser.add_argument("--weights", type=Path, default=POCKET, help="a folder like data/pocket")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pixels = paint(given.prompt, read_model(given.weights), steps=given.steps, seed=given.seed)
    given.output.write_bytes(png(pixels))
