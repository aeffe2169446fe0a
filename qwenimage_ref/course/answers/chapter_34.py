"""Chapter 34: look inside."""


def EX_34_OVERLAP(lengths: list, start: int, stop: int) -> list:
    """A token counts as soon as one of its characters does."""
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if begin < stop and end > start:
            places.append(number)
    return places


def EX_34_SEEN(hidden, image_tokens: int):
    """Rows of image tokens lose the columns of hidden text tokens; text comes first."""
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[T:, :T] = ~hidden
    return seen


def EX_34_PATCH(blocks: list, img, txt, other_img, other_txt, places: list, at: int):
    """Both runs side by side; before block `at` some text states go from one into the other."""
    for number, block in enumerate(blocks):
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


SPOILERS = {
    "ex_34_overlap": {"enumerate", "append"},
    "ex_34_seen": {"bool", "dtype"},
    "ex_34_patch": {"clone", "other_txt"},
}
