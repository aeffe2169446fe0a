"""Every kind of tensor of the machine by its name and its concept, and one block drawn to scale."""

import re

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from ..show import PALETTE, Shown, figure

# lists of equal modules: which one it is makes no other kind of tensor
NUMBERED = re.compile(
    r"\b(transformer_blocks|layers|blocks|down_blocks|up_blocks|resnets|attentions|upsamplers)\.\d+"
)

# part: {what it is: its name on disk, without .weight and .bias}
TENSORS = {
    "transformer": {
        "noise level, its waves to width D": "time_text_embed.timestep_embedder.linear_1",
        "noise level, second layer": "time_text_embed.timestep_embedder.linear_2",
        "text states to one size": "txt_norm",
        "image tokens to width D": "img_in",
        "text states to width D": "txt_in",
        "modulation of the image": "transformer_blocks.{i}.img_mod.1",
        "image queries to one size, a head": "transformer_blocks.{i}.attn.norm_q",
        "image keys to one size, a head": "transformer_blocks.{i}.attn.norm_k",
        "image queries": "transformer_blocks.{i}.attn.to_q",
        "image keys": "transformer_blocks.{i}.attn.to_k",
        "image values": "transformer_blocks.{i}.attn.to_v",
        "text keys": "transformer_blocks.{i}.attn.add_k_proj",
        "text values": "transformer_blocks.{i}.attn.add_v_proj",
        "text queries": "transformer_blocks.{i}.attn.add_q_proj",
        "attention back to the image": "transformer_blocks.{i}.attn.to_out.0",
        "attention back to the text": "transformer_blocks.{i}.attn.to_add_out",
        "text queries to one size, a head": "transformer_blocks.{i}.attn.norm_added_q",
        "text keys to one size, a head": "transformer_blocks.{i}.attn.norm_added_k",
        "image MLP, up": "transformer_blocks.{i}.img_mlp.net.0.proj",
        "image MLP, down": "transformer_blocks.{i}.img_mlp.net.2",
        "modulation of the text": "transformer_blocks.{i}.txt_mod.1",
        "text MLP, up": "transformer_blocks.{i}.txt_mlp.net.0.proj",
        "text MLP, down": "transformer_blocks.{i}.txt_mlp.net.2",
        "last modulation: scale, shift": "norm_out.linear",
        "image stream to the velocity": "proj_out",
    },
    "text_encoder": {
        "a vector for every token": "model.embed_tokens",
        "queries": "model.layers.{i}.self_attn.q_proj",
        "keys, fewer heads": "model.layers.{i}.self_attn.k_proj",
        "values, fewer heads": "model.layers.{i}.self_attn.v_proj",
        "attention back to the stream": "model.layers.{i}.self_attn.o_proj",
        "gate of the MLP": "model.layers.{i}.mlp.gate_proj",
        "MLP, up": "model.layers.{i}.mlp.up_proj",
        "MLP, down": "model.layers.{i}.mlp.down_proj",
        "norm before attention": "model.layers.{i}.input_layernorm",
        "norm before the MLP": "model.layers.{i}.post_attention_layernorm",
        "norm of the text states": "model.norm",
        "next word; never used here": "lm_head",
        "picture patches to vectors": "visual.patch_embed.proj",
        "vision: norm before attention": "visual.blocks.{i}.norm1",
        "vision: norm before the MLP": "visual.blocks.{i}.norm2",
        "vision: queries, keys, values": "visual.blocks.{i}.attn.qkv",
        "vision: attention back": "visual.blocks.{i}.attn.proj",
        "vision: gate of the MLP": "visual.blocks.{i}.mlp.gate_proj",
        "vision: MLP, up": "visual.blocks.{i}.mlp.up_proj",
        "vision: MLP, down": "visual.blocks.{i}.mlp.down_proj",
        "vision: last norm": "visual.merger.ln_q",
        "vision: four patches to one vector": "visual.merger.mlp.0",
        "vision: to the language's width": "visual.merger.mlp.2",
    },
    "vae": {
        "pixels to channels": "encoder.conv_in",
        "encoder: first norm": "encoder.down_blocks.{i}.norm1",
        "encoder: first convolution": "encoder.down_blocks.{i}.conv1",
        "encoder: second norm": "encoder.down_blocks.{i}.norm2",
        "encoder: second convolution": "encoder.down_blocks.{i}.conv2",
        "encoder: shortcut, to more channels": "encoder.down_blocks.{i}.conv_shortcut",
        "encoder: to half the size": "encoder.down_blocks.{i}.resample.1",
        "encoder: half the frames; unused": "encoder.down_blocks.{i}.time_conv",
        "encoder, middle: norm of attention": "encoder.mid_block.attentions.{i}.norm",
        "encoder, middle: queries, keys, values": "encoder.mid_block.attentions.{i}.to_qkv",
        "encoder, middle: attention back": "encoder.mid_block.attentions.{i}.proj",
        "encoder, middle: first norm": "encoder.mid_block.resnets.{i}.norm1",
        "encoder, middle: first convolution": "encoder.mid_block.resnets.{i}.conv1",
        "encoder, middle: second norm": "encoder.mid_block.resnets.{i}.norm2",
        "encoder, middle: second convolution": "encoder.mid_block.resnets.{i}.conv2",
        "encoder: last norm": "encoder.norm_out",
        "channels to mean and log variance": "encoder.conv_out",
        "latents, mixed once more": "quant_conv",
        "latents, mixed before decoding": "post_quant_conv",
        "latents to channels": "decoder.conv_in",
        "decoder, middle: norm of attention": "decoder.mid_block.attentions.{i}.norm",
        "decoder, middle: queries, keys, values": "decoder.mid_block.attentions.{i}.to_qkv",
        "decoder, middle: attention back": "decoder.mid_block.attentions.{i}.proj",
        "decoder, middle: first norm": "decoder.mid_block.resnets.{i}.norm1",
        "decoder, middle: first convolution": "decoder.mid_block.resnets.{i}.conv1",
        "decoder, middle: second norm": "decoder.mid_block.resnets.{i}.norm2",
        "decoder, middle: second convolution": "decoder.mid_block.resnets.{i}.conv2",
        "decoder: first norm": "decoder.up_blocks.{i}.resnets.{i}.norm1",
        "decoder: first convolution": "decoder.up_blocks.{i}.resnets.{i}.conv1",
        "decoder: second norm": "decoder.up_blocks.{i}.resnets.{i}.norm2",
        "decoder: second convolution": "decoder.up_blocks.{i}.resnets.{i}.conv2",
        "decoder: shortcut, to fewer channels": "decoder.up_blocks.{i}.resnets.{i}.conv_shortcut",
        "decoder: to twice the size": "decoder.up_blocks.{i}.upsamplers.{i}.resample.1",
        "decoder: twice the frames; unused": "decoder.up_blocks.{i}.upsamplers.{i}.time_conv",
        "decoder: last norm": "decoder.norm_out",
        "channels to pixels": "decoder.conv_out",
    },
}


def kind(key: str) -> str:
    """A tensor's name -> that of its kind: numbers of equal modules become {i}, the last word goes

    transformer_blocks.7.img_mod.1.weight -> transformer_blocks.{i}.img_mod.1
    """
    return NUMBERED.sub(r"\1.{i}", key.rpartition(".")[0])


def kinds(shapes: dict[str, tuple]) -> dict[str, list[tuple]]:
    """{name of a tensor: shape} -> {kind: its weights' shapes, each once, in their order}"""
    shapes_of: dict[str, list[tuple]] = {}
    for key, shape in shapes.items():
        its = shapes_of.setdefault(kind(key), [])
        if not key.endswith(".bias") and tuple(shape) not in its:
            its.append(tuple(shape))
    return shapes_of


def rows(part: str, stored: dict[str, tuple], theirs: dict[str, tuple], official) -> list[list]:
    """A part's table: concept, name on disk, name in the reference's memory, shapes, how many.

    stored: {name on disk: shape} of ours; theirs: {name in memory: shape} of the reference;
    official: name in memory -> name on disk. Raises ValueError for the first name that only one
    side has, or whose shape differs, or that no concept is written for.
    """
    renamed = {official(name): name for name in theirs}
    if unpaired := sorted(stored.keys() ^ renamed.keys()):
        side = "ours" if unpaired[0] in stored else "the reference's"
        raise ValueError(f"{unpaired[0]} is only {side}")
    for key, shape in stored.items():
        if tuple(shape) != tuple(theirs[renamed[key]]):
            raise ValueError(f"{key} is {shape} here and {tuple(theirs[renamed[key]])} there")
    shapes, written = kinds(stored), TENSORS[part]
    if unpaired := sorted(shapes.keys() ^ set(written.values())):
        missing = "a concept" if unpaired[0] in shapes else "a tensor"
        raise ValueError(f"{unpaired[0]} lacks {missing}")
    table = []
    for concept, name in written.items():
        keys = [key for key in stored if kind(key) == name]
        memory = kind(renamed[keys[0]])
        same = "the same" if memory == name else f"`{memory}`"
        table.append([concept, f"`{name}`", same, _span(shapes[name]), len(keys)])
    return table


def classes(ours, theirs, official) -> list[list]:
    """Each class of ours in a network -> where it is first, its file and name, the name there

    official: name in the reference's memory -> name on disk. Classes that are torch's own have no
    row, and none has a place that only we have.
    """
    # careful: with a dot at the end, or the tower's own name would not count as one of its names
    names = {
        official(f"{name}.").removesuffix("."): type(module).__name__
        for name, module in theirs.named_modules()
    }
    first_place = {}
    for path, module in ours.named_modules():
        kind = type(module)
        if kind.__module__.startswith("qwenimage_ref.") and path in names:
            here = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
            first_place.setdefault((here, names[path]), [f"`{path}`" if path else "the whole"])
    return [[*where, *pair] for pair, where in first_place.items()]


def _span(shapes: list[tuple]) -> str:
    """One shape, or the smallest and the largest."""
    by_size = sorted(shapes)
    ends = [by_size[0], by_size[-1]] if len(by_size) > 1 else by_size
    return " to ".join("×".join(map(str, shape)) for shape in ends)


# where each matrix of a block stands in the portrait: name, left, top, in units of D
PLACES = {
    "mod.1": (0, 0),
    "q": (0, 1.3),
    "k": (1.3, 1.3),
    "v": (2.6, 1.3),
    "out": (3.9, 1.3),
    "net.0.proj": (0, 2.6),
    "net.2": (6.3, 0),
}
ATTENTION = {
    "img": {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"},
    "txt": {"q": "add_q_proj", "k": "add_k_proj", "v": "add_v_proj", "out": "to_add_out"},
}
ACROSS = 8.2  # distance from one stream's matrices to the other's


def matrices(stream: str) -> dict[str, str]:
    """ "img" or "txt" -> {place in the portrait: name in a block}"""
    names = {place: f"attn.{name}" for place, name in ATTENTION[stream].items()}
    ends = {"mod.1": f"{stream}_mod.1", "net.0.proj": f"{stream}_mlp.net.0.proj"}
    return ends | names | {"net.2": f"{stream}_mlp.net.2"}


def portrait(shapes: dict[str, tuple], alt: str) -> Shown:
    """{name in a block: (outputs, inputs)} -> all its matrices, to scale, outputs across"""
    unit = shapes["attn.to_q"][1]
    fig, ax = plt.subplots(figsize=(11, 3.5))
    for column, (stream, colour) in enumerate((("img", "image"), ("txt", "text"))):
        for place, name in matrices(stream).items():
            (left, top), (outputs, inputs) = PLACES[place], shapes[name]
            left, wide, high = left + column * ACROSS, outputs / unit, inputs / unit
            face = PALETTE[colour] + "55"
            ax.add_patch(Rectangle((left, top), wide, high, fc=face, ec=PALETTE[colour]))
            turned = 90 if high > wide else 0
            label = name.removeprefix("attn.")
            if wide == high:
                label = label.replace("_proj", "\n_proj").replace("add_out", "add\n_out")
            else:
                label += f": {inputs} to {outputs}"
            middle = left + wide / 2, top + high / 2
            size = 7 if wide == high else 8
            ax.text(*middle, label, ha="center", va="center", fontsize=size, rotation=turned)
    ax.set(xlim=(-0.1, ACROSS + 7.4), ylim=(4.1, -0.1), aspect="equal")
    ax.axis("off")
    return figure(fig, alt)
