"""A group holds every so-many-th input."""

from qwenimage_ref.course.answers import EX_28_ROTATE


def answer(weight, size):
    out, in_ = weight.shape
    mixed = weight.reshape(out, size, in_ // size).transpose(1, 2).reshape(out, in_)
    turned = EX_28_ROTATE(mixed, size)
    return turned.reshape(out, in_ // size, size).transpose(1, 2).reshape(out, in_)


HINT = "neighbouring inputs"
