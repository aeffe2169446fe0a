"""What is painted besides pictures from nothing but a prompt. One function a task."""

from ..limits import one_each
from ..pictures import input_picture
from .image_to_image import Start, image_to_image
from .inpaint import inpaint


def over_a_picture(
    pipe, shape, levels, seed, image, strength, mask_image,
    padding_mask_crop, inpaint_blur_size, inpaint_blur_sigma,
) -> Start:  # fmt: skip
    """The arguments of `QwenImage.__call__` that concern a picture -> where its loop starts

    shape: prompts, height and width. levels: the whole schedule. Raises ValueError, one line.
    """
    options = {
        "padding_mask_crop": padding_mask_crop,
        "inpaint_blur_size": inpaint_blur_size,
        "inpaint_blur_sigma": inpaint_blur_sigma,
    }
    if image is None:
        raise ValueError("mask_image must lie on a picture, got no image; pass image, too")
    listed = list(image) if isinstance(image, (list, tuple)) else [image]
    one_each(listed, shape[0], "image")
    pictures = [input_picture(picture) for picture in listed]
    if mask_image is not None:
        masks = one_each(mask_image, len(pictures), "mask_image", "pictures")
        return inpaint(pipe, pictures, masks, shape, levels, strength, seed, **options)
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} must go with a mask_image, got {value} and no mask")
    return image_to_image(pipe, pictures, shape, levels, strength, seed)
