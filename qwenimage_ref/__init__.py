"""Qwen-Image in readable PyTorch: tokenizer to picture, proven against the official code."""

__version__ = "0.1.0"
__all__ = ["QwenImage"]


def __getattr__(name: str):
    # an import at first use, so that `import qwenimage_ref` costs next to nothing
    if name == "QwenImage":
        from .pipeline import QwenImage

        return QwenImage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
