"""Chapter 11: gallery of wrong answers."""

EX_11_DIAGNOSE = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "padding counted",
]


def EX_11_RULES(velocity, x, txt, mask, tolerance) -> set[str]:
    """Rows alone, other padding, another prompt: what may change the velocity, and what must."""
    import torch

    def same(a, b):
        return bool((a - b).abs().max() <= tolerance * b.abs().max())

    right, real, broken = velocity(x, txt, mask), mask.unsqueeze(-1), set()
    parts = zip(x.split(1), txt.split(1), mask.split(1))
    if not same(torch.cat([velocity(*part) for part in parts]), right):
        broken.add("rows")
    if not same(velocity(x, torch.where(real, txt, 3 - txt), mask), right):
        broken.add("padding")
    unread = velocity(x, torch.where(real, -txt, txt), mask)
    if any(same(*rows) for rows in zip(unread, right)):
        broken.add("prompt")
    return broken


def EX_11_FIRST(network, inputs, bug, tolerance) -> str | None:
    """Copies of what every module returns, without the bug and with it; the first that differs."""
    from collections import Counter

    import torch

    @torch.no_grad()
    def outputs():
        kept, calls = {}, Counter()

        def hook(name):
            def keep(module, given, output):
                calls[name] += 1
                every = output if isinstance(output, tuple) else (output,)
                kept[name, calls[name]] = [each.clone() for each in every]

            return keep

        hooks = [
            module.register_forward_hook(hook(name)) for name, module in network.named_modules()
        ]
        network(*inputs)
        for each in hooks:
            each.remove()
        return kept

    right = outputs()
    with bug:
        wrong = outputs()
    for key, every in right.items():
        for a, b in zip(every, wrong.get(key, ())):
            if not (a - b).abs().max() <= tolerance * a.abs().max():  # NaN is wrong, too
                return key[0]
    return None


SPOILERS = {
    "ex_11_diagnose": {
        "statistics",
        "inverted",
        "padding",
        "attended",
        "half",
        "split",
        "rotation",
        "shift",
        "scale",
        "counted",
    },
    "ex_11_rules": {"where", "cat", "split"},
    "ex_11_first": {"register_forward_hook", "clone", "Counter", "remove"},
}
