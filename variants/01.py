# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · Map of the machine: second variants
#
# ## One layer of the language model
#
# ★★☆☆☆ · 10 minutes
#
# Write `layer_parameters(D, H, G, K, F)`: the parameters of one layer of the text encoder, for
# width `D`, `H` query heads, `G` heads of keys and values, heads of width `K`, and an MLP of width
# `F`. The projections to queries, keys and values have biases. The projection out of attention and
# the three matrices of the MLP (gate, up, down) have none. There are two RMSNorms of `D` weights
# each.

# %% tags=["solution"] exercise="ex_01_block"
def layer_parameters(D, H, G, K, F):
    """Parameters of one layer of the text encoder."""
    ### BEGIN SOLUTION
    attention = D * H * K + H * K + 2 * (D * G * K + G * K) + H * K * D
    return attention + 3 * D * F + 2 * D
    ### END SOLUTION


# %% tags=["test"] points=2
assert isinstance(layer_parameters(8, 4, 2, 2, 24), int)
### BEGIN HIDDEN TESTS
assert layer_parameters(3584, 28, 4, 128, 18944) == 233_057_792
assert layer_parameters(10, 3, 1, 7, 5) == 765
### END HIDDEN TESTS

# %% [markdown]
# ## Files without gaps
#
# ★★☆☆☆ · 10 minutes
#
# Another program wants as few files as it gets without much thought. `sizes` gives the bytes of
# each tensor by its name, in the order in which they are placed, and none is larger than `limit`.
# Each tensor goes into the *first* file in which it still has room, so that small ones fill the
# gaps of earlier files; a new file is begun only where no file has room. Write `first_fit(sizes,
# limit)`, the list of the files, each a list of names in the order in which they were placed.


# %% tags=["solution"] exercise="ex_01_files"
def first_fit(sizes, limit):
    """A list of lists of names."""
    ### BEGIN SOLUTION
    files, filled = [], []
    for name, size in sizes.items():
        room = [i for i, taken in enumerate(filled) if taken + size <= limit]
        place = room[0] if room else len(files)
        if not room:
            files.append([])
            filled.append(0)
        files[place].append(name)
        filled[place] += size
    return files
    ### END SOLUTION


# %% tags=["test"] points=2
assert first_fit({"a": 6, "b": 5, "c": 3}, 9) == [["a", "c"], ["b"]]
### BEGIN HIDDEN TESTS
sizes = {"z": 6, "a": 5, "m": 5, "b": 4, "c": 3, "d": 1}
assert first_fit(sizes, 9) == [["z", "c"], ["a", "b"], ["m", "d"]]
assert first_fit({}, 9) == [] and first_fit({"a": 9, "b": 9}, 9) == [["a"], ["b"]]
assert first_fit({"a": 1, "b": 9, "c": 8}, 9) == [["a", "c"], ["b"]]
assert [*sizes] == ["z", "a", "m", "b", "c", "d"], "the sizes stay as they are"
### END HIDDEN TESTS

# %% [markdown]
# ## An inventory of outputs
#
# ★★★★☆ · 25 minutes
#
# How much memory would a training run need for what its layers return? Write `outputs_of(network,
# *inputs)`, which runs the network once, on these inputs, and returns a dictionary from names, as
# `named_modules` gives them, to pairs: how often the module ran, and how many numbers it returned
# altogether. List every module that ran and has no modules inside, whatever its kind; each of them
# returns a single tensor. Afterwards no hook is left, even if the network raised an error, which is
# passed on.


# %% tags=["solution"] exercise="ex_01_flops"
def outputs_of(network, *inputs):
    """{name: (times, numbers)}"""
    ### BEGIN SOLUTION
    seen, handles = {}, []

    def hook_for(name):
        def hook(module, inputs, output):
            times, numbers = seen.get(name, (0, 0))
            seen[name] = times + 1, numbers + output.numel()

        return hook

    for name, module in network.named_modules():
        if not [*module.children()]:
            handles.append(module.register_forward_hook(hook_for(name)))
    try:
        network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
assert outputs_of(net, torch.zeros(2, 3)) == {"0": (1, 8), "1": (1, 8)}
### BEGIN HIDDEN TESTS
act = torch.nn.SiLU()
inner = torch.nn.Sequential(torch.nn.Linear(4, 6), act)
net = torch.nn.Sequential(torch.nn.Linear(3, 4), act, inner, torch.nn.LayerNorm(6))
answer = outputs_of(net, torch.zeros(5, 2, 3))
assert answer == {"0": (1, 40), "1": (2, 100), "2.0": (1, 60), "3": (1, 60)}
assert not any(module._forward_hooks for module in net.modules()), "hooks are left"
assert outputs_of(act, torch.zeros(7)) == {"": (1, 7)}
failed = False
try:
    outputs_of(net, torch.zeros(5, 9))
except RuntimeError:
    failed = True
assert failed, "the error of the network is passed on"
assert not any(module._forward_hooks for module in net.modules()), "hooks are left after an error"
### END HIDDEN TESTS
