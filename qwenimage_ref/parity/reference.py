"""Reference networks: classes of diffusers and transformers with our configs and our weights.

A reference network is built on torch's "meta" device, without memory. `copy_weights`
makes it share ours, so that even a full-width block fits twice on a small machine. `run` calls it
with the arguments of our class and returns what our class would return. Single blocks and layers
are run in the same way.
"""

import inspect
import math

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageControlNetModel,
    QwenImageTransformer2DModel,
)
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLDecoderLayer,
)

from ..checkpoint.stored_form import stored_form, stored_tensor
from ..config import MMDiTConfig, SchedulerConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ..controlnet import ControlNetConfig
from .record import official_name

# -- building -------------------------------------------------------------------------------------


def reference_mmdit(config: MMDiTConfig | dict) -> QwenImageTransformer2DModel:
    """diffusers' transformer on "meta". config: ours, or the content of a config.json."""
    numbers = config if isinstance(config, dict) else config.to_dict()
    with torch.device("meta"):
        theirs = QwenImageTransformer2DModel.from_config(numbers)
    return _with_rotations(theirs).eval()


def reference_controlnet(config: ControlNetConfig) -> QwenImageControlNetModel:
    """diffusers' control network on "meta"."""
    known = inspect.signature(QwenImageControlNetModel).parameters
    numbers = {key: value for key, value in config.to_dict().items() if key in known}
    with torch.device("meta"):
        theirs = QwenImageControlNetModel.from_config(numbers)
    return _with_rotations(theirs).eval()


def _with_rotations(theirs):
    # careful: its rotation tables are plain attributes, lost on "meta"
    axes = list(theirs.config.axes_dims_rope)
    theirs.pos_embed = type(theirs.pos_embed)(theta=10000, axes_dim=axes, scale_rope=True)
    return theirs


def reference_vae(config: VAEConfig | dict) -> AutoencoderKLQwenImage:
    """diffusers' video VAE on "meta". config: ours, or the content of a config.json."""
    numbers = config if isinstance(config, dict) else config.to_dict()
    with torch.device("meta"):
        return AutoencoderKLQwenImage.from_config(numbers).eval()


def reference_text_encoder(
    text_config: TextEncoderConfig, vision_config: VisionConfig
) -> Qwen2_5_VLForConditionalGeneration:
    """transformers' whole Qwen2.5-VL on "meta": vision tower, language tower, lm_head."""
    config = Qwen2_5_VLConfig(
        text_config=_text_numbers(text_config),
        vision_config=vision_config.to_dict(),
        image_token_id=text_config.image_token_id,
    )
    return build_text_encoder(config)


def build_text_encoder(config: Qwen2_5_VLConfig) -> Qwen2_5_VLForConditionalGeneration:
    """The same network from transformers' own config."""
    with torch.device("meta"):
        theirs = Qwen2_5_VLForConditionalGeneration(config)
    # careful: the frequencies are buffers outside the state dict, lost on "meta"
    language, visual = theirs.model.language_model, theirs.model.visual
    language.rotary_emb = type(language.rotary_emb)(language.config)
    visual.rotary_pos_emb = type(visual.rotary_pos_emb)(visual.config)
    return theirs.eval()


def reference_vision(config: VisionConfig) -> Qwen2_5_VisionTransformerPretrainedModel:
    """transformers' vision tower alone, on "meta"."""
    smallest = TextEncoderConfig(
        num_hidden_layers=1,
        hidden_size=8,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=8,
        vocab_size=8,
        mrope_section=(2, 1, 1),
    )
    return reference_text_encoder(smallest, config).model.visual


def reference_scheduler(config: SchedulerConfig) -> FlowMatchEulerDiscreteScheduler:
    """diffusers' scheduler with the settings that all releases share."""
    numbers = config.to_dict() | {"shift_terminal": config.shift_terminal or None}
    return FlowMatchEulerDiscreteScheduler(**numbers)


def _text_numbers(config: TextEncoderConfig) -> dict:
    """Our config for transformers >= 5, which has the rope's fields in a nested dictionary."""
    numbers = config.to_dict()
    del numbers["image_token_id"]  # transformers keeps it one level up
    rope = {key: numbers.pop(key) for key in ("rope_theta", "mrope_section")}
    tokens = {"bos_token_id": None, "eos_token_id": None}  # unused without text generation
    return numbers | tokens | {"rope_parameters": {"rope_type": "default", **rope}}


# -- weights --------------------------------------------------------------------------------------


def random_weights(network: nn.Module, seed: int) -> nn.Module:
    """Our network with random parameters, in place: no zero biases, norms unequal to one.

    Matrices are scaled so that activations keep their size. A network on "meta" gets memory on the
    CPU.
    """
    if next(network.parameters()).is_meta:
        network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            if parameter.numel() == parameter.shape[0]:  # biases and norms
                parameter.normal_(std=0.2, generator=generator).add_(0 if "bias" in name else 1)
            else:
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return network.eval()


def copy_weights(ours: nn.Module, theirs: nn.Module, unused: tuple = ()) -> nn.Module:
    """Give the reference network our weights by official name. Returns the reference network.

    Names must match, except for those that start with a prefix in `unused`, which keep their
    tensors. Memory is shared wherever the stored form is ours, so replace the reference's tensors
    rather than change them in place. Raises ValueError if names differ.
    """
    renamed = {official_name(name): name for name in theirs.state_dict()}
    stored = {name: stored_tensor(ours, name, None) for name in stored_form(ours)}
    lacking = [
        name for name in renamed if name not in stored and not name.startswith(tuple(unused))
    ]
    unknown = [name for name in stored if name not in renamed]
    if lacking or unknown:
        raise ValueError(
            f"both networks must have the same names, got only theirs: {lacking[:5]}, "
            f"only ours: {unknown[:5]}"
        )
    weights = {renamed[name]: tensor for name, tensor in stored.items()}
    theirs.load_state_dict(weights, strict=False, assign=True)
    return theirs


# -- running --------------------------------------------------------------------------------------


def run(theirs: nn.Module, inputs: dict):
    """A reference network called with the arguments of our class; returns what ours would."""
    runners = {
        QwenImageTransformer2DModel: _run_mmdit,
        QwenImageControlNetModel: _run_controlnet,
        AutoencoderKLQwenImage: _run_vae,
        Qwen2_5_VLForConditionalGeneration: _run_text_encoder,
        Qwen2_5_VisionTransformerPretrainedModel: _run_vision,
        QwenImageTransformerBlock: _run_block,
        Qwen2_5_VLDecoderLayer: _run_layer,
    }
    return runners[type(theirs)](theirs, **inputs)


def _run_mmdit(theirs, img, txt, sigma, grids, txt_mask=None):
    target = math.prod(grids[0])
    if theirs.config.use_layer3d_rope:  # the list of shapes then has one entry for each layer
        grids = [(1, rows, cols) for frames, rows, cols in grids for _ in range(frames)]
    rgba = torch.zeros(len(img), dtype=torch.long)
    return theirs(
        hidden_states=img,
        encoder_hidden_states=txt,
        encoder_hidden_states_mask=txt_mask,
        timestep=sigma,
        img_shapes=[grids] * len(img),
        additional_t_cond=rgba if theirs.config.use_additional_t_cond else None,
        return_dict=False,
    )[0][:, :target]


def _run_controlnet(theirs, img, control, txt, sigma, grid, txt_mask=None):
    return theirs(
        hidden_states=img,
        controlnet_cond=control,
        encoder_hidden_states=txt,
        encoder_hidden_states_mask=txt_mask,
        timestep=sigma,
        img_shapes=[[grid]] * len(img),
        return_dict=False,
    )


def _run_vae(theirs, img=None, z=None):
    if z is not None:
        return theirs.decode(z.unsqueeze(2), return_dict=False)[0].squeeze(2)
    posterior = theirs.encode(img.unsqueeze(2), return_dict=False)[0]
    return posterior.mean.squeeze(2), posterior.logvar.squeeze(2)


def _run_text_encoder(theirs, ids, mask=None, positions=None, image_states=None):
    embeddings = theirs.get_input_embeddings()(ids)
    if image_states is not None:
        embeddings[ids == theirs.config.image_token_id] = image_states
    return theirs.model(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state


def _run_vision(theirs, patches, grids):
    return theirs(patches, grid_thw=torch.tensor(grids)).pooler_output


def _run_block(theirs, img, txt, temb, img_rotation, txt_rotation, times=None):
    txt, img = theirs(
        hidden_states=img,
        encoder_hidden_states=txt,
        encoder_hidden_states_mask=None,
        temb=torch.cat(temb.unbind(1)),
        image_rotary_emb=(img_rotation, txt_rotation),
        modulate_index=None if times is None else times.expand(len(img), -1),
    )
    return img, txt


def block_arguments(
    hidden_states, encoder_hidden_states, temb, image_rotary_emb, modulate_index=None, **_
) -> dict:
    """The arguments of diffusers' block, as the arguments of our Block."""
    img_rotation, txt_rotation = image_rotary_emb
    # rows of time, one batch behind the other
    rows = temb.unflatten(0, (-1, len(hidden_states))).transpose(0, 1)
    arguments = {
        "img": hidden_states,
        "txt": encoder_hidden_states,
        "temb": rows,
        "img_rotation": img_rotation,
        "txt_rotation": txt_rotation,
    }
    return arguments if modulate_index is None else arguments | {"times": modulate_index[0]}


def _run_layer(theirs, x, cos, sin):
    return theirs(x, position_embeddings=(cos.squeeze(1), sin.squeeze(1)), attention_mask=None)


def layer_arguments(hidden_states, position_embeddings, **_) -> dict:
    """The arguments of transformers' decoder layer, as the arguments of our Layer."""
    cos, sin = position_embeddings
    return {"x": hidden_states, "cos": cos.unsqueeze(1), "sin": sin.unsqueeze(1)}
