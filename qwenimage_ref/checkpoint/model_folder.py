"""What a released folder holds: its parts, their networks without weights, its recommendations."""

from pathlib import Path

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..captioner import Captioner
from ..conditions import FORM_OF_CLASS, EditForm, LayeredForm
from ..config import (
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
    VisionConfig,
)
from ..config_checks import LARGEST
from ..files import CheckpointError, read_json, shorten
from ..mmdit import MMDiT
from ..text_encoder import TextEncoder
from ..tokenizer import Tokenizer
from ..vae import VAE
from ..vision import Vision

STEMS = {  # file names of each part's weights, as in transformers and diffusers
    "text_encoder": "model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
FORGED = "forged.json"  # a file beside weights that were drawn, not learned; it says what was drawn
RECOMMENDED = "recommended.json"
SETTINGS = ("sample_size", "num_inference_steps", "reading_size")
FLAGS = ("reads_pictures",)  # false: the vision tower is untrained, so it describes no picture
TEXT_TO_IMAGE = "QwenImagePipeline"
CLASSES = (TEXT_TO_IMAGE, *FORM_OF_CLASS)  # upstream's, as far as they are supported
NETWORKS = {
    "text_encoder": (TextEncoder, TextEncoderConfig),
    "transformer": (MMDiT, MMDiTConfig),
    "vae": (VAE, VAEConfig),
    "vision": (Vision, VisionConfig),
}
FOLDER = {"vision": "text_encoder"}  # folder of a network that has none of its own


class StoredTextEncoder(nn.Module):
    """What the official text_encoder folder holds: vision tower, language tower, lm_head."""

    def __init__(self, text_encoder: TextEncoder, vision: Vision):
        super().__init__()
        config = text_encoder.config
        self.visual = vision
        self.model = text_encoder.model
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


class Undrawn(TorchFunctionMode):
    """Context in which a network's weights get no initial values.

    On "meta" there is nothing to draw, but torch.nn.init.normal_ would import torch._dynamo there,
    which takes as long as importing torch.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def empty_network(folder: Path, part: str) -> nn.Module:
    """One of a folder's NETWORKS without weights, on the meta device"""
    kind, config = NETWORKS[part]
    with torch.device("meta"), Undrawn():
        return kind(config.from_json(folder / FOLDER.get(part, part) / "config.json"))


def empty_networks(folder: Path) -> dict:
    """A folder -> its networks that are used, without weights, on the meta device

    text_encoder, transformer and vae; of a model that is given pictures also vision, the tower that
    reads them. The text encoder of a layered model writes, too.
    """
    form = picture_form(folder)
    used = STEMS if form is None else NETWORKS
    networks = {part: empty_network(folder, part) for part in used}
    if isinstance(form, LayeredForm):
        with torch.device("meta"), Undrawn():
            networks["text_encoder"] = Captioner(networks["text_encoder"].config)
    return networks


def stored_network(folder: Path, part: str) -> nn.Module:
    """The same with everything that the files hold: the vision tower and lm_head, too"""
    network = empty_network(folder, part)
    if part != "text_encoder":
        return network
    with torch.device("meta"):
        return StoredTextEncoder(network, empty_network(folder, "vision"))


def stored_networks(folder: Path) -> dict:
    """All three, each with everything that its files hold"""
    return {part: stored_network(folder, part) for part in STEMS}


def demand_one_model(folder: Path, networks: dict, tokenizer: Tokenizer) -> None:
    """Raises CheckpointError where the tokenizer and a folder's `empty_networks` cannot work
    together."""
    text_encoder, transformer = (networks[part].config for part in ("text_encoder", "transformer"))
    width, rows = text_encoder.hidden_size, text_encoder.vocab_size
    if width != transformer.joint_attention_dim:
        raise CheckpointError(
            f"{folder}: text states are {width} wide, the transformer reads "
            f"{transformer.joint_attention_dim}; the parts are of different models"
        )
    if "vision" in networks and (wide := networks["vision"].config.out_hidden_size) != width:
        raise CheckpointError(
            f"{folder}: vision_config's out_hidden_size must be the text encoder's hidden_size "
            f"{width}, got {wide}; the parts are of different models"
        )
    if tokenizer.largest_id >= rows:
        raise CheckpointError(
            f"{folder}: the tokenizer's largest id must be below the text encoder's {rows:,} rows, "
            f"got {tokenizer.largest_id:,}; the parts are of different models"
        )


def demand_right_form(folder: Path, form, zero_cond_t: bool) -> None:
    """Raises CheckpointError for a transformer of Edit-2511 in a folder that is none of it.

    form: as `picture_form` returns it.
    """
    if zero_cond_t and form != FORM_OF_CLASS["QwenImageEditPlusPipeline"]:
        raise CheckpointError(
            f"{folder}: zero_cond_t must come with QwenImageEditPlusPipeline, the class of "
            "Edit-2511, or pictures would be described to it in a wrong form; correct "
            "model_index.json"
        )


def demand_all_layered(folder: Path, form, networks: dict, scheduler: SchedulerConfig) -> None:
    """Raises CheckpointError where some parts are those of a layered model and others are not."""
    transformer, vae = (networks[part].config for part in ("transformer", "vae"))
    layered = isinstance(form, LayeredForm)
    marks = {
        "use_layer3d_rope true": transformer.use_layer3d_rope,
        "use_additional_t_cond true": transformer.use_additional_t_cond,
        "input_channels 4": vae.input_channels == 4,
        # other models may have this schedule, too
        "time_shift_type linear": scheduler.time_shift_type == "linear" if layered else False,
    }
    wrong = [mark for mark, there in marks.items() if there != layered]
    if wrong:
        verb = "have" if layered else "not have"
        name = read_class(folder)
        raise CheckpointError(
            f"{folder}: a {name} must {verb} {', '.join(wrong)} in its configs; the parts or "
            "model_index.json are of another model, fetch it again"
        )


def picture_form(folder: Path) -> EditForm | LayeredForm | None:
    """How the folder's model is given pictures; None: it paints from text alone

    Raises CheckpointError for a folder of a class that is not supported.
    """
    return FORM_OF_CLASS.get(read_class(folder))


def read_class(folder: Path) -> str:
    """Upstream's class of the folder's model, one of CLASSES. Raises CheckpointError."""
    return _read_index(folder)["_class_name"]


def read_model_index(folder: Path) -> dict:
    """A folder -> the settings recommended for it: sample_size, num_inference_steps, ...

    They are in recommended.json, where no other library stumbles over them; in folders of earlier
    versions they are in model_index.json. Raises CheckpointError for a folder of a model that is
    not supported.
    """
    settings = _read_index(folder) | (_object(folder / RECOMMENDED) or {})
    known = {key: settings[key] for key in SETTINGS if key in settings}
    for key, value in known.items():
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise CheckpointError(
                f"{folder}: {key} must be a whole number from 1 to {LARGEST:,}, "
                f"got {shorten([value])}; correct {RECOMMENDED} or model_index.json"
            )
    for key in FLAGS:
        if key in settings:
            if type(settings[key]) is not bool:
                raise CheckpointError(
                    f"{folder}: {key} must be true or false, got {shorten([settings[key]])}; "
                    f"correct {RECOMMENDED}"
                )
            known[key] = settings[key]
    return known


def _read_index(folder: Path) -> dict:
    """The content of model_index.json. Raises CheckpointError unless it is one of CLASSES."""
    index = _object(folder / "model_index.json")
    if index is None:
        raise CheckpointError(
            f"{folder} holds no model_index.json; give the folder that contains transformer/, "
            "text_encoder/, vae/"
        )
    name = index.get("_class_name")
    if name not in CLASSES:
        raise CheckpointError(
            f"{folder} must be one of {', '.join(CLASSES)}, got {shorten([name])}; "
            "choose another model"
        )
    return index


def _object(file: Path) -> dict | None:
    """The content of a JSON file, or None where it is missing"""
    try:
        content = read_json(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is damaged (it must hold an object); fetch it again")
    return content
