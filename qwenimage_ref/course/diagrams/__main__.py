"""Write every drawing to notebooks/figures, where the chapters show them."""

from ...files import whole_file
from ...repository import ROOT, in_a_clone
from . import (
    ablating,
    adapters,
    after_training,
    control,
    data,
    editing,
    layers,
    machine,
    pictures,
    positions,
    precision,
    rotation,
    single_stream,
    splitting,
    text_tower,
    tokens,
    tracing,
    training,
    transformer,
)

FIGURES = ROOT / "notebooks" / "figures"
DRAWINGS = {
    "text_to_image": machine.text_to_image,
    "one_file": machine.one_file,
    "painting_over": machine.painting_over,
    "packing": machine.packing,
    "tokens": tokens.tokens,
    "text_layer": text_tower.text_layer,
    "vision_tower": pictures.vision_tower,
    "vae": pictures.vae,
    "msrope": positions.token_layout,
    "joint_attention": transformer.joint_attention,
    "mmdit_block": transformer.block,
    "mmdit_stack": transformer.stack,
    "sampler_loop": machine.sampler_loop,
    "lora_branch": adapters.lora_branch,
    "edit_paths": machine.edit_paths,
    "edit_sequence": editing.edit_sequence,
    "control_union": control.control_union,
    "control_blockwise": control.control_blockwise,
    "control_in_context": control.control_in_context,
    "regions": control.regions,
    "data_pipeline": data.data_pipeline,
    "four_errors": after_training.four_errors,
    "reward_round": after_training.reward_round,
    "direct_distillation": training.direct_distillation,
    "matching": training.matching,
    "causal_tracing": tracing.causal_tracing,
    "layered_sequence": layers.layered_sequence,
    "vae_tiles": layers.vae_tiles,
    "quantised_linear": precision.quantised_linear,
    "image_to_lora": training.image_to_lora,
    "choices": ablating.choices,
    "training_step": training.training_step,
    "sharded_step": splitting.sharded_step,
    "rotated_layer": rotation.rotated_layer,
    "single_stream_block": single_stream.single_stream_block,
}


@in_a_clone
def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        with whole_file(FIGURES / f"{name}.svg") as partial:
            partial.write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
