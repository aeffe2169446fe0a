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
