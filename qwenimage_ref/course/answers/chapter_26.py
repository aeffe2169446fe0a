"""Chapter 26: regions."""


def EX_26_INSIDE(mask):
    """A token counts as soon as one of its four latents does; tokens go row by row."""
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.reshape(rows, 2, cols, 2).any(3).any(1).flatten()


def EX_26_PLACES(lengths: list, rows: int, cols: int):
    """Every text begins off the corner of the picture, as if it were alone."""
    import torch

    start = max(rows // 2, cols // 2)
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)


def EX_26_MASK(lengths: list, seen):
    """Texts see themselves, and the image tokens inside their mask; the last text sees all."""
    import torch

    seen = torch.cat([seen, torch.ones_like(seen[:1])])
    T = sum(lengths)
    mask = torch.ones(T + seen.shape[1], T + seen.shape[1], dtype=torch.bool)
    mask[:T, :T] = False
    begin = 0
    for length, own in zip(lengths, seen):
        text = slice(begin, begin + length)
        mask[text, text] = True
        mask[text, T:] = own
        mask[T:, text] = own.unsqueeze(1)
        begin += length
    return mask


SPOILERS = {
    "ex_26_inside": {"reshape", "any"},
    "ex_26_places": {"arange", "repeat"},
    "ex_26_mask": {"slice", "unsqueeze"},
}
