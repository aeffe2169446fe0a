"""What is painted besides pictures from nothing but a prompt. One function a task."""

from ..conditions import LayeredForm
from ..limits import one_each
from ..pictures import input_picture
from .edit import edit, edit_inside_mask
from .image_to_image import Start, image_to_image
from .inpaint import inpaint
from .regions import checked_regions, context_prompt, in_context, in_regions


def conditioned(
    pipe, groups, goal, seed, max_sequence_length, over: tuple, regions, on_negative, context
) -> tuple[Start, list]:
    """All arguments of `QwenImage.__call__` that condition a picture beside its prompt -> where its
    loop starts, and what conditions each branch

    groups: prompts of each branch. goal: height, width and steps. over: further arguments of
    `over_pictures`. context: the picture of in-context control. Raises ValueError, one line.
    """
    if regions is not None:
        regions = checked_regions(regions, groups[0])
    if context is not None:
        if pipe.form is not None:
            raise ValueError("context_image must go to a text-to-image model; use image instead")
        groups = [[context_prompt(prompt) for prompt in groups[0]], *groups[1:]]
    image, _, mask_image, *_ = over
    if image is None and mask_image is None and pipe.form is None:
        shape, levels = pipe.schedule(len(groups[0]), *goal)
        start = Start(pipe.noise(*shape, seed), levels)
        branches = pipe.encode_prompts(groups, max_sequence_length)
    else:
        start, branches = over_pictures(pipe, groups, goal, seed, max_sequence_length, *over)
    count, _, *sides = start.latents.shape
    shape = (count, *(side * pipe.vae.config.scale for side in sides))
    if context is not None:
        branches = in_context(pipe, branches, shape, context)
    if regions is not None:
        branches = in_regions(pipe, branches, shape, regions, on_negative)
    return start, branches


def over_pictures(
    pipe, groups, goal, seed, max_sequence_length, image, strength, mask_image,
    padding_mask_crop, inpaint_blur_size, inpaint_blur_sigma,
) -> tuple[Start, list]:  # fmt: skip
    """The arguments of `QwenImage.__call__` that concern pictures -> where its loop starts, and
    what conditions each branch

    groups: prompts of each branch. goal: height, width and steps. Raises ValueError, one line.
    """
    options = {
        "padding_mask_crop": padding_mask_crop,
        "inpaint_blur_size": inpaint_blur_size,
        "inpaint_blur_sigma": inpaint_blur_sigma,
    }
    if isinstance(pipe.form, LayeredForm):
        raise ValueError(
            "a layered model must be given a picture to take apart; call decompose of "
            "qwenimage_ref.tasks.layers, or `qwenimage layers`"
        )
    if image is None:
        raise ValueError(_without_image(pipe))
    if mask_image is None:
        for name, value in options.items():
            if value is not None:
                raise ValueError(f"{name} must go with a mask_image, got {value} and no mask")
    listed = list(image) if isinstance(image, (list, tuple)) else [image]
    if pipe.form is None:
        one_each(listed, len(groups[0]), "image")
    pictures = [input_picture(picture) for picture in listed]
    masks = mask_image
    if mask_image is not None:
        masks = one_each(mask_image, len(pictures), "mask_image", "pictures")
    if pipe.form is not None and mask_image is None:
        return edit(pipe, groups, pictures, goal, seed)
    if pipe.form is not None:
        return edit_inside_mask(pipe, groups, pictures, masks, goal, strength, seed, options)
    shape, levels = pipe.schedule(len(groups[0]), *goal)
    if mask_image is None:
        start = image_to_image(pipe, pictures, shape, levels, strength, seed)
    else:
        start = inpaint(pipe, pictures, masks, shape, levels, strength, seed, **options)
    return start, pipe.encode_prompts(groups, max_sequence_length)


def _without_image(pipe) -> str:
    if pipe.form is not None:
        return "image must be given to an edit model, got none; pass image=, or take another model"
    return "mask_image must lie on a picture, got no image; pass image, too"
