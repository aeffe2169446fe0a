"""Chapter 10: LoRA."""


def EX_10_LORA(x, W, b, A, B, alpha):
    """What the layer says, and beside it what the pair says, alpha / rank times."""
    rank = len(A)
    return x @ W.T + b + alpha / rank * (x @ A.T) @ B.T


def EX_10_STILL(name: str, blocks: int) -> bool:
    """In the last block, what only serves text that is thrown away."""
    last = f"transformer_blocks.{blocks - 1}."
    only_text_out = ("attn.add_q_proj", "attn.to_add_out", "txt_mlp.")
    return name.startswith(tuple(last + layer for layer in only_text_out))


def EX_10_SQUEEZED(A, B, alpha, rank):
    """The nearest pair of a smaller rank, found in an R x R matrix and turned back by bases."""
    import torch

    out_basis, left = torch.linalg.qr(B)  # (out, R), (R, R)
    in_basis, right = torch.linalg.qr(A.T)  # (in, R), (R, R)
    u, values, vh = torch.linalg.svd(alpha / len(A) * left @ right.T)
    root = values[:rank].sqrt()
    return (root.unsqueeze(1) * vh[:rank]) @ in_basis.T, out_basis @ (u[:, :rank] * root)


SPOILERS = {
    "ex_10_lora": {"rank", "len"},
    "ex_10_still": {"add_q_proj", "to_add_out", "txt_mlp"},
    "ex_10_squeezed": {"qr", "sqrt", "linalg"},
}
