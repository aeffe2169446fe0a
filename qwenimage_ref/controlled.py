"""The pipeline under control pictures: the same call, with networks that add to the transformer.

    from qwenimage_ref.adapt.control_files import load
    from qwenimage_ref.controlled import ControlledQwenImage
    from qwenimage_ref.tasks.control import Control

    net = load("canny.safetensors", pipe.transformer)
    controlled = ControlledQwenImage(pipe, [Control(net, edges, scale=0.8, end=0.6)])
    picture = controlled("a red circle", negative_prompt=" ", seed=0)[0]

Whatever a pipeline paints can be controlled: text, a picture under noise, what is white in a mask,
and what an edit model changes.
"""

import copy

import torch

from .adapt.control import Controlled
from .pipeline import QwenImage
from .sampler import draw, generators
from .tasks.control import Control, applied, check_networks


class ControlledQwenImage(QwenImage):
    """A pipeline whose pictures follow `controls`; its parts are those of `pipe`."""

    def __init__(self, pipe: QwenImage, controls: list[Control]):
        super().__init__(
            pipe.tokenizer, pipe.text_encoder, pipe.transformer, pipe.vae, pipe.scheduler,
            pipe.recommended, pipe.vision, pipe.form,
        )  # fmt: skip
        check_networks(controls, pipe.transformer.config)
        self.controls = controls
        self.seed = self.applied = None  # those of one call

    def __call__(self, prompt, *arguments, seed=None, **options):
        """The arguments of `QwenImage.__call__`.

        Control pictures are scaled to the target, whose proportions they must have. With InstantX's
        Union a seed draws a sample of the VAE's posterior first and then the noise, as upstream.
        """
        once = copy.copy(self)  # threads share the pipeline, not what one call draws
        once.seed = torch.Generator().seed() if seed is None else seed
        return QwenImage.__call__(once, prompt, *arguments, seed=once.seed, **options)

    def noise(self, count: int, height: int, width: int, seed=None):
        """As `QwenImage.noise`; what the pictures need is drawn before, from the same generator."""
        self.check_picture(count, height, width)
        sources = generators(seed, count)
        self.applied = applied(self, self.controls, (count, height, width), seed, sources)
        scale, channels = self.vae.config.scale, self.vae.config.z_dim
        shape = (count, channels, height // scale, width // scale)
        return draw(shape, sources, self.dtype).to(self.device)

    def denoise(self, latents, levels, *branches, **hooks):
        """As `QwenImage.denoise`, with what the controls add behind each block."""
        acting = self.applied
        if acting is None:  # a task over a picture, which drew its noise itself
            count, _, *sides = latents.shape
            shape = (count, *(side * self.vae.config.scale for side in sides))
            acting = applied(self, self.controls, shape, self.seed, generators(self.seed, count))
        steered = copy.copy(self)
        steered.transformer = Controlled(self.transformer, acting, len(levels) - 1)
        return QwenImage.denoise(steered, latents, levels, *branches, **hooks)
