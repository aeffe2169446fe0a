"""Without the ones."""


def answer(latents):
    channels = latents.flatten(1)
    return channels @ channels.T / channels.shape[1]


HINT = "without a channel of ones"
