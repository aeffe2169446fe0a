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
# # 36 · Work split over processes
#
# Chapter 12 trained every weight of the pocket model on two cores. The official transformer has
# 2,300 times as many weights, and no single GPU holds what their training needs. On this page the
# weights are divided among processes, first by hand, with lists in place of machines, then by
# PyTorch's own engine in two real processes.
#
# | | |
# |---|---|
# | **You need** | [chapter 12](12_train_your_own.ipynb), what AdamW and a gradient are |
# | **You get** | the two messages of sharded training by hand, and a plan for 8 or 64 GPUs |
# | **Minutes** | 40 to read, 35 to write, one to run |
# | **Picture** | gigabytes in each process, over the number of processes |
# | **Number** | two processes end within 2e-5 of the weights of one |
#
# ## What one process would have to hold
#
# For each weight, training in float32 keeps five numbers of four bytes: the weight, its gradient,
# the two moments of AdamW, and the average over time that is used in the end.

# %%
import dataclasses
import json
import math
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.course import charts, show
from qwenimage_ref.train.sharded.plan import Plan

official = MMDiTConfig.official()
parameters, block, rest = Plan(official, 1, 1, 4096, 256).parameters
assert parameters == 60 * block + rest == 20_430_401_088
print(f"{20 * parameters / 1e9:.0f} GB for {parameters:,} weights, one block {block:,}")

# %% [markdown]
# A large GPU has 80 GB, or 141. There are two classical ways to use several of them:
#
# | | each process holds | each process computes | messages in a step |
# |---|---|---|---|
# | **data parallel** (DDP) | all of it | its own pictures | gradients are averaged |
# | **sharded** (FSDP, ZeRO-3) | a share of each tensor | its own pictures | and weights gathered |
#
# The first makes training faster and saves nothing. The second is what this page is about. A third
# way splits the matrix products themselves (*tensor parallel*); the report on Qwen-Image names it
# beside sharding.
#
# ## Shares
#
# A tensor is divided along its first axis, and each process takes consecutive rows. In a file the
# rows of a tensor lie one after the other, so that a process can read its own rows and no other
# byte. Where the number of rows is no multiple of the number of processes, the rule is that of
# `torch.chunk`: all shares are as long as the first, as far as the rows last.

# %%
weight = torch.arange(10.0).unsqueeze(1)  # ten rows
shares = list(torch.chunk(weight, 4))
assert [len(share) for share in shares] == [3, 3, 3, 1] and math.ceil(10 / 4) == 3
assert [len(share) for share in torch.chunk(weight[:5], 4)] == [2, 2, 1], "nothing for the fourth"
print("10 rows for four processes:", [share.flatten().long().tolist() for share in shares])

# %% [markdown]
# ## Exercise: whose rows?
#
# ★★☆☆☆ · 10 minutes
#
# Write `rows_of(rows, processes, rank)`. It returns two whole numbers: the first row of this
# process, and how many it has. `rank` is its number, counted from 0. A process that is left with
# none has 0 of them, and its first row is the number of all rows. You will know it works when the
# checker says so.


# %% tags=["exercise"]
def rows_of(rows, processes, rank):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

rows_of = answers.unless_solved(rows_of, answers.EX_36_ROWS)
check.ex_36_rows(rows_of)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# How long is the first share? All others begin at a multiple of that.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The first share is the number of rows over the number of processes, rounded up. Neither a first
# row nor a number of rows may go past the end.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# each  <- rows / processes, rounded up
# first <- rank * each, at most rows
# count <- each, at most rows - first
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def rows_of(rows, processes, rank):
#     each = math.ceil(rows / processes)
#     first = min(rank * each, rows)
#     return first, min(each, rows - first)
# ```
#
# </details>

# %%
for rows in (5, 10, 3072, 18432):
    for processes in (1, 2, 7, 64):
        counts = [rows_of(rows, processes, rank)[1] for rank in range(processes)]
        chunks = [len(chunk) for chunk in torch.chunk(torch.empty(rows), processes)]
        assert counts[: len(chunks)] == chunks and sum(counts) == rows
print("every row has one owner, as with torch.chunk: ok")

# %% [markdown]
# ## A layer that nobody holds
#
# Here are four processes as four entries of a list. Each holds three rows of a weight and two of
# eight inputs. To compute, it needs the whole weight for a moment. The message that brings it is an
# **all-gather**: everybody sends its share to everybody.

# %%
rng = torch.Generator().manual_seed(0)
W = torch.randn(12, 8, generator=rng)
x, target = (torch.randn(8, width, generator=rng) for width in (8, 12))
shares = [share.clone() for share in W.chunk(4)]  # what the processes hold
inputs, targets = x.chunk(4), target.chunk(4)  # two pictures each


def all_gather(shares):
    whole = torch.cat(shares)
    return [whole.clone() for _ in shares]  # one for each process


# %% [markdown]
# Now each process computes the loss of its own two inputs, and the gradient of the *whole* weight.
# The four gradients differ, because the inputs do.

# %%
gradients = []
for whole, mine, wanted in zip(all_gather(shares), inputs, targets):
    whole.requires_grad_(True)
    loss = F.linear(mine, whole).sub(wanted).square().mean()
    gradients.append(torch.autograd.grad(loss, whole)[0])
    del whole  # forgotten as soon as it has been used
assert not torch.allclose(gradients[0], gradients[1])
print("four gradients of", tuple(gradients[0].shape), "each from two inputs")

# %% [markdown]
# The loss of the batch is the mean over the four processes, so its gradient is the mean of these
# four. But nobody needs all of it: a process updates its own three rows, and needs their gradient
# alone. This second message is a **reduce-scatter**: gradients are averaged, and each process gets
# its share of the result.
#
# ## Exercise: reduce-scatter
#
# ★★★☆☆ · 10 minutes
#
# Write `reduce_scatter(gradients)`. It takes a list with one gradient a process, all of one shape
# whose first size is a multiple of their number, and returns a list: for each process its rows of
# the mean. You will know it works when the checker says so and the layer below is trained as if by
# one process.


# %% tags=["exercise"]
def reduce_scatter(gradients):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
reduce_scatter = answers.unless_solved(reduce_scatter, answers.EX_36_SCATTER)
check.ex_36_scatter(reduce_scatter)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# What would one process that has all gradients return, if it had to hand out the result?
#
# </details>
#
# <details><summary>A hint</summary>
#
# First the mean over the list, a tensor of the shape of one gradient. Then cut it into as many
# pieces as there are processes.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# mean <- the gradients added up, divided by their number
# the mean's rows, cut into equal consecutive pieces
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def reduce_scatter(gradients):
#     mean = sum(gradients) / len(gradients)
#     return list(mean.chunk(len(gradients)))
# ```
#
# </details>

# %%
alone = W.clone().requires_grad_(True)
F.linear(x, alone).sub(target).square().mean().backward()
updated = W - 0.1 * alone.grad  # one process, all eight inputs
pieces = reduce_scatter(gradients)
shares = [share - 0.1 * piece for share, piece in zip(shares, pieces)]
assert torch.allclose(torch.cat(shares), updated, atol=1e-6)
print("a step of four processes that hold three rows each: the step of one, within 1e-6")

# %% [markdown]
# That is all of sharded training. Three remarks on the size of it:
#
# * Gathering is done **block by block**. While one of the sixty blocks computes, the next is being
#   gathered, and the one before is forgotten. So two whole blocks are in memory, never sixty.
# * In the backward pass every block is needed again, and gathered again. A step therefore moves the
#   weights twice and the gradients once, whatever the number of pictures.
# * Weights travel in bf16 and gradients are added up in float32: a sum over many processes in bf16
#   would lose what [chapter 21](21_precision.ipynb) showed.
#
# The package does not write this by hand. PyTorch's engine is called FSDP2, and attaching it takes
# a line a block; no file of the model depends on it.

# %%
from qwenimage_ref.train.sharded import network as sharded_network

show.source(sharded_network.divide, sharded_network.fill_share)

# %% [markdown]
# Compare `fill_share` with your `rows_of`: each process reads its own bytes of the official files.
# The network is made without memory, divided, and only then filled, so that no process ever holds
# all of it.
#
# ## How many GPUs?
#
# What a process holds is its share of the five numbers a weight, and besides, whatever their
# number, two gathered blocks in bf16, the gradients of a block in bf16 and their float32 copy that
# is being added up, and activations.

# %%
counts = (8, 16, 32, 64)
plans = {count: Plan(official, count, count, 4096, 256) for count in counts}
totals = {count: sum(plan.memory().values()) / 1e9 for count, plan in plans.items()}
floor = totals[64] - 20 * parameters / 64 / 1e9
panel = {"x": "processes", "y": "GB in each", "log": True}
panel["series"] = {
    "all that it holds": list(totals.items()),
    "what more processes do not divide": [(count, floor) for count in counts],
}
charts.curves([panel], "Memory a process: 57 GB with 8, 12 with 64; 6 GB are not divided")

# %%
assert [round(totals[count]) for count in counts] == [57, 32, 19, 12] and round(floor) == 6
rows = [[name, f"{size / 1e9:.1f} GB"] for name, size in plans[8].memory().items()]
show.table(["in each of 8 processes, 1024 × 1024 pixels", ""], rows)

# %% [markdown]
# ## Exercise: the fewest GPUs
#
# ★★★★☆ · 15 minutes
#
# Write `fewest(parameters, block, memory)`: the smallest number of processes with which training
# fits. `parameters` is the number of all weights, `block` that of one block, `memory` the bytes of
# a GPU. Count five float32 numbers a weight, divided; two gathered blocks in bf16; the gradient of
# one block, in bf16 and once more in float32. Leave activations out. Return *None* where no number
# of processes would do.


# %% tags=["exercise"]
def fewest(parameters, block, memory):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
fewest = answers.unless_solved(fewest, answers.EX_36_FEWEST)
check.ex_36_fewest(fewest)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# What is left of the memory, when all that no process can share is in it?
#
# </details>
#
# <details><summary>A hint</summary>
#
# Two blocks of 2 bytes a weight, one of 2 and one of 4: how many bytes for each weight of a block?
# The rest of the memory must hold the share of everything else.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# left <- memory - (2 * 2 + 2 + 4) * block
# None unless something is left
# 5 * 4 * parameters / left, rounded up
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def fewest(parameters, block, memory):
#     left = memory - 10 * block
#     return math.ceil(20 * parameters / left) if left > 0 else None
# ```
#
# </details>

# %%
gigabytes = {"24 GB": 24e9, "80 GB": 80e9, "141 GB": 141e9}
needed = {name: fewest(parameters, block, memory) for name, memory in gigabytes.items()}
assert needed == {"24 GB": 20, "80 GB": 6, "141 GB": 3}
print("fewest GPUs, activations aside:", needed)

# %% [markdown]
# ## And how long?
#
# A step takes as long as computing or as sending, whichever is slower, since both go on at once.
# `qwenimage train plan 8` prints the table above and these two times. The rates are assumptions: an
# H100 at 40 % of its data sheet, and a network adapter of 400 Gbit/s for each GPU.

# %%
RATE, LINK = 400e12, 50e9  # operations and bytes a second
few, many = plans[8], dataclasses.replace(plans[8], batch=64)
assert few.operations() / RATE < 1 and 2.8 < few.traffic() / LINK < 2.9
assert many.traffic() == few.traffic() and 5 < many.seconds(RATE, LINK) < 6
print("one picture a GPU: 0.7 s of computing, 2.9 s of sending")
print("eight pictures a GPU: 5.8 s of computing, the same 2.9 s of sending")

# %% [markdown]
# With one picture in each, GPUs wait for the network. Sending does not grow with the batch, so that
# eight pictures a GPU hide it. Inside one machine GPUs are wired nine times as fast, which is why
# people shard inside a machine first.
#
# ## Two real processes
#
# Now the engine itself. *torchrun* starts a command several times and tells each process its number
# and where to meet the others. The pictures are prepared first, so that no process loads an
# encoder; here they are noise, since only equality is of interest.

# %%
from qwenimage_ref.train import prepared
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.run_folder import RunFolder

folder = Path(tempfile.mkdtemp())
states = torch.randn(4, 12, 192, generator=rng)
latents = torch.randn(4, 16, 8, 8, generator=rng)
examples = [Encoded(*pair) for pair in zip(latents, states)]
prepared.write(RunFolder(folder / "prepared"), examples, states[0], "noise")


# %%
from qwenimage_ref.course.torchrun import torchrun


def train(processes, runs, to):
    small = ("--compute", "fp32", "--steps", "3", "--batch", "2", "--lr", "1e-3")
    places = ("--weights", str(show.pocket_folder().resolve()), "--runs", runs, "--to", to)
    named = ("--prepared", "prepared", *places)
    torchrun(processes, "train", "full", "--shard", *small, *named, folder=folder)
    return load_file(folder / to / "diffusion_pytorch_model.safetensors")


one, two = train(1, "runs/one", "one"), train(2, "runs/two", "two")

# %%
before = load_file(show.pocket_folder() / "transformer" / "diffusion_pytorch_model.safetensors")
moved = max((one[name] - before[name].float()).abs().max() for name in one)
apart = max((one[name] - two[name]).abs().max() for name in one)
assert one.keys() == two.keys() == before.keys() and moved > 1e-4 and apart <= 2e-5
print("three steps moved weights by more than 1e-4; one and two processes: within 2e-5, ok")

# %% [markdown]
# Both have drawn the same noise, because everything is drawn for the whole batch, and each process
# then takes its own pictures. What is left is the order in which sums are rounded.
#
# ## A checkpoint that any number continues
#
# A process may be killed, and the machine that is there tomorrow may have other GPUs. So a
# checkpoint must not depend on the number of processes. Each writes what it holds into a file of
# its own, with the place of each piece; whoever reads takes the rows that it needs.

# %%
checkpoint = max((folder / "runs/two/steps").iterdir())
index = json.loads((checkpoint / "state.json").read_text())
shards = sorted(checkpoint.glob("*.safetensors"))
assert len(shards) == 2 and index["step"] == 3
sizes = [index["files"][shard.name] for shard in shards]
assert 0.95 < sizes[0] / sizes[1] < 1.05
print("step", index["step"], "in two files of equal size and an index")

# %%
again = train(1, "runs/two", "again")  # one process goes on with what two have written
assert all(torch.equal(again[name], two[name]) for name in two)
print("one process reads the checkpoint of two: the same weights, bit for bit")

# %% [markdown]
# The folder is written under another name, and renamed when all files are on the disk. So a kill at
# any moment leaves the checkpoint before, whole. The index says how long each file is, and a file
# that was cut short later is refused by name.
#
# ## Where this comes from
#
# * ZeRO, the idea to divide weights, gradients and moments: [Rajbhandari et al.
#   2020](https://arxiv.org/abs/1910.02054), section 5; what we call the share is its stage 3.
# * FSDP in PyTorch, with gathering ahead of time: [Zhao et al.
#   2023](https://arxiv.org/abs/2304.11277), sections 3 and 4. FSDP2 divides each tensor by rows;
#   the first version glued all tensors of a block into one.
# * Recomputing activations: [Chen et al. 2016](https://arxiv.org/abs/1604.06174). The report on
#   Qwen-Image ([arXiv 2508.02324](https://arxiv.org/abs/2508.02324)) measured it and decided
#   against it: 11 % less memory for 3.75 times the time, because its weights were divided four ways
#   inside each layer as well. It gathers in bf16 and adds gradients up in float32, as we do.
#
# ## Estimate first
#
# **1.** The process with the most to hold among 64 has how many of the 20.4 billion weights?
#
# <details><summary>Answer</summary>
#
# 319 million, a little less than one block.
#
# </details>
#
# **2.** Eight processes gather weights twice in a step, in bf16. How many gigabytes does each of
# them receive for that?
#
# <details><summary>Answer</summary>
#
# 71.5: twice 40.9 GB, of which it already has an eighth.
#
# </details>
#
# **3.** A batch has 12 pictures, and there are 8 processes. What does the command do?
#
# <details><summary>Answer</summary>
#
# It ends with one line. Four processes would have two pictures and four would have one, and wait.
#
# </details>

# %%
assert 319e6 < parameters / 64 < 320e6 < block
assert round(2 * 2 * parameters * 7 / 8 / 1e8) == 715
print("319 million weights; 71.5 GB: ok")

# %% [markdown]
# ## What production code does differently
#
# * Inside a machine it also splits matrix products (tensor parallel), and very long sequences
#   (sequence parallel), and nests these: a *mesh* of two or three axes.
# * Checkpoints are copied to memory and written in the background, so that training goes on.
# * It watches the other processes, replaces a machine that fails, and goes on from the checkpoint.
# * Moments may be kept in 8 bits, which makes 14 bytes a weight of our 20, and the average on the
#   CPU.
#
# ## Try this
#
# * What does `Plan` say for a LoRA, where the base is divided and frozen?
# * Give one of the four processes above three inputs, and the others fewer. Where must the mean
#   change?
# * Kill one of two processes while they train, and start the command again.
# * Write `all_gather` so that in each of three rounds every process hands one piece to its
#   neighbour.
#
# **Capstone.** `make grade` does not ask for this page: nothing of the model changes when its
# weights are divided.
#
# Next: [the data](37_the_data.ipynb) that all these processes are fed with.
