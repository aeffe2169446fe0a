"""Which tests compare control, regions and layers with other people's code."""

from typing import NamedTuple


class Row(NamedTuple):
    """A comparison: its part of the table, what is compared, with what, and the test that does it.

    {diffusers} and {transformers} stand for name and version; {blockwise} and {regions} for those
    of the program that wrote this file of tests/golden.
    """

    part: str
    what: str
    oracle: str
    test: str


CONTROLNET, CONTROLLED = "tests/parity/test_controlnet.py", "tests/tasks/test_controlled.py"
BLOCKWISE, REGIONS = "tests/adapt/test_control.py", "tests/adapt/test_regions.py"
LAYERS, TILES = "tests/tasks/test_layers.py", "tests/adapt/test_tiling.py"
WRITING, CAPTIONS = "tests/model/test_captioner.py", "tests/tasks/test_layer_captions.py"
ROWS = (
    Row(
        "Control",
        "InstantX's Union and Inpainting networks: residuals of all layers",
        "{diffusers}, QwenImageControlNetModel",
        f"{CONTROLNET}::test_residuals_agree_with_diffusers",
    ),
    Row(
        "Control",
        "Union: residuals for padded texts",
        "{diffusers}, QwenImageControlNetModel",
        f"{CONTROLNET}::test_residuals_for_padded_texts_agree_with_diffusers",
    ),
    Row(
        "Control",
        "Inpainting: one layer of official width",
        "{diffusers}, QwenImageControlNetModel",
        f"{CONTROLNET}::test_one_layer_of_official_width_agrees_with_diffusers",
    ),
    Row(
        "Control",
        "Union on two pictures: velocities of the transformer, both branches of guidance",
        "{diffusers}, QwenImageMultiControlNetModel",
        f"{CONTROLNET}::test_the_transformer_with_several_control_pictures_agrees_with_diffusers",
    ),
    Row(
        "Control",
        "Union: pictures, in all steps and in some",
        "{diffusers}, QwenImageControlNetPipeline",
        f"{CONTROLLED}::test_diffusers_paints_the_same_under_one_picture",
    ),
    Row(
        "Control",
        "Union: a batch of pictures, each under two control pictures",
        "{diffusers}, QwenImageControlNetPipeline",
        f"{CONTROLLED}::test_a_batch_under_two_pictures_is_that_of_diffusers",
    ),
    Row(
        "Control",
        "Inpainting: a picture whose hole is filled",
        "{diffusers}, QwenImageControlNetInpaintPipeline",
        f"{CONTROLLED}::test_diffusers_fills_the_same_hole_if_its_global_generator_has_the_seed",
    ),
    Row(
        "Control",
        "Blockwise for lines or depth: velocities",
        "{blockwise}, model_fn_qwen_image",
        f"{BLOCKWISE}::test_a_network_for_edges_adds_what_diffsynth_adds",
    ),
    Row(
        "Control",
        "Blockwise for inpainting: velocities",
        "{blockwise}, model_fn_qwen_image",
        f"{BLOCKWISE}::test_a_network_for_inpainting_adds_what_diffsynth_adds",
    ),
    Row(
        "Control",
        "Both blockwise networks, each in some of the steps: velocities",
        "{blockwise}, model_fn_qwen_image",
        f"{BLOCKWISE}::test_two_networks_and_their_windows_add_what_diffsynth_adds",
    ),
    Row(
        "Control",
        "One and three blockwise networks, beside condition pictures: velocities",
        "a plain loop over the blocks",
        f"{BLOCKWISE}::test_blockwise_networks_add_what_a_plain_loop_adds",
    ),
    Row(
        "Control",
        "Inpainting of strength 1 under control: latents after each step",
        "DiffSynth's hard blend, written out in the test",
        f"{CONTROLLED}::test_inpainting_at_full_strength_is_diffsynths_hard_blend",
    ),
    Row(
        "Control",
        "Control in context, alone and with regions: velocities",
        "{regions}, model_fn_qwen_image",
        f"{REGIONS}::test_a_context_picture_alone_and_with_regions_gives_diffsynths_numbers",
    ),
    Row(
        "Regions",
        "EliGen's regions, also overlapping, empty and full: velocities",
        "{regions}, model_fn_qwen_image",
        f"{REGIONS}::test_regions_give_diffsynths_numbers",
    ),
    Row(
        "Regions",
        "Masks of regions, as they are read from pictures",
        "{regions}, QwenImageUnit_EntityControl",
        f"{REGIONS}::test_masks_are_read_as_diffsynth_reads_them",
    ),
    Row(
        "Regions",
        "The attention mask in the network: velocities",
        "a plain loop over the keys that each token sees",
        f"{REGIONS}::test_the_network_computes_what_a_plain_loop_over_seen_keys_computes",
    ),
    Row(
        "Layers",
        "Qwen-Image-Layered: layers of pictures of any size",
        "{diffusers}, QwenImageLayeredPipeline",
        f"{LAYERS}::test_diffusers_takes_a_picture_of_any_size_apart_alike",
    ),
    Row(
        "Layers",
        "Qwen-Image-Layered: layers under every option",
        "{diffusers}, QwenImageLayeredPipeline",
        f"{LAYERS}::test_diffusers_takes_a_picture_apart_alike_with_every_option",
    ),
    Row(
        "Layers",
        "Qwen-Image-Layered: latents after each step",
        "{diffusers}, QwenImageLayeredPipeline",
        f"{LAYERS}::test_the_steps_that_are_seen_are_those_of_diffusers",
    ),
    Row(
        "Layers",
        "Qwen-Image-Layered: velocities of all frames",
        "{diffusers}, QwenImageTransformer2DModel",
        f"{LAYERS}::test_one_step_is_that_of_diffusers",
    ),
    Row(
        "Layers",
        "Qwen-Image-Layered: text states",
        "{diffusers}, QwenImageLayeredPipeline",
        f"{LAYERS}::test_the_text_states_are_those_of_diffusers",
    ),
    Row(
        "Layers",
        "VAE with transparency: encoding",
        "{diffusers}, AutoencoderKLQwenImage",
        f"{LAYERS}::test_the_latents_of_the_picture_are_those_that_diffusers_encodes",
    ),
    Row(
        "Layers",
        "VAE with transparency: decoding",
        "{diffusers}, AutoencoderKLQwenImage",
        f"{LAYERS}::test_the_vae_in_four_channels_is_that_of_diffusers",
    ),
    Row(
        "Layers",
        "Layered-Control: one layer, with and without a mask",
        "DiffSynth's loop, written out in the test, over the networks of {diffusers}",
        f"{LAYERS}::test_one_layer_is_taken_out_by_the_loop_of_diffsynth",
    ),
    Row(
        "Tiles",
        "VAE in tiles: decoding",
        "{diffusers}, AutoencoderKLQwenImage.enable_tiling",
        f"{TILES}::test_a_picture_decoded_in_tiles_is_diffusers",
    ),
    Row(
        "Tiles",
        "VAE in tiles: encoding",
        "{diffusers}, AutoencoderKLQwenImage.enable_tiling",
        f"{TILES}::test_a_picture_encoded_in_tiles_is_diffusers",
    ),
    Row(
        "Captions",
        "The text tower writes: tokens that differ",
        "{transformers}, generate",
        f"{WRITING}::test_transformers_writes_the_same_tokens",
    ),
    Row(
        "Captions",
        "Captions of a picture, English and Chinese: characters that differ",
        "{diffusers}, get_image_caption, over {transformers}, generate",
        f"{CAPTIONS}::test_diffusers_describes_a_picture_in_the_same_words",
    ),
)
