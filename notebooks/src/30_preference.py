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
# # 30 · Preference
#
# In pre-training a model is shown billions of pictures, good ones and bad ones, and learns to paint
# both. A much shorter stage follows: of two pictures that the model itself has painted for one
# caption, a judge says which is better, and the model learns from the answer. The report on
# Qwen-Image does this by *DPO*, direct preference optimisation.
#
# | | |
# |---|---|
# | **You need** | the loss of [chapter 12](12_train_your_own.ipynb), [LoRA](10_lora.ipynb) |
# | **You get** | the loss of preferences, derived, on a plane and on posters |
# | **Minutes** | 35 to read, 40 to write, half a minute to run |
# | **Picture** | points of a star that learn to lie on the right |
# | **Number** | the loss begins at ln 2, whatever the network and the pairs |
#
# ## Scores from comparisons
#
# It is hard to say in numbers how good a picture is, and much easier to say which of two is better.
# Bradley and Terry showed in 1952 how to turn such answers into numbers. In their model each item
# has a score $r$, and the first of two wins with probability
#
# $$P(1\text{ wins}) = \mathrm{sigmoid}(r_1 - r_2).$$
#
# The next cell draws two thousand comparisons of four items with hidden scores, and finds the
# scores under which these answers are most probable. They agree with the hidden ones up to a
# constant, which no comparison can reveal.

# %%
import copy
import math
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F

from qwenimage_ref import QwenImage
from qwenimage_ref.course import charts, show
from qwenimage_ref.course.figures import few_steps, flow_on_a_plane

rng = torch.Generator().manual_seed(0)
hidden = torch.tensor([-1.0, 0.0, 0.5, 2.0])
first, second = torch.randint(4, (2, 2000), generator=rng)
won = torch.rand(2000, generator=rng) < torch.sigmoid(hidden[first] - hidden[second])

# %%
scores = torch.zeros(4, requires_grad=True)
for _ in range(200):
    ahead = torch.where(won, 1, -1) * (scores[first] - scores[second])
    (gradient,) = torch.autograd.grad(-F.logsigmoid(ahead).mean(), scores)
    scores = (scores - 4 * gradient).detach().requires_grad_(True)
apart = (scores - scores.mean() - (hidden - hidden.mean())).abs().max()
assert apart < 0.35
print("four scores from 2,000 comparisons: each within 0.35 of the hidden one, ok")

# %% [markdown]
# ## From scores to a loss
#
# A model of language or of pictures is a distribution $p_\theta(x)$. Suppose that we knew scores
# $r(x)$. We would like the model's samples to have high scores while it stays close to the model
# $p_\text{ref}$ that we start from:
#
# $$\max_\theta\; \mathrm{E}\,[r(x)] - \beta'\, \mathrm{KL}(p_\theta \,\|\, p_\text{ref}).$$
#
# The best distribution is known to be $p^*(x) \propto p_\text{ref}(x)\, e^{r(x)/\beta'}$. Solving
# this for the score gives
#
# $$r(x) = \beta' \log \frac{p^*(x)}{p_\text{ref}(x)} + \text{constant},$$
#
# which we insert into Bradley and Terry's formula. The constant cancels, and only the probabilities
# of winner $w$ and loser $l$ under the two models are left. Maximising the probability of the
# judge's answers then trains the model directly, without a separate network for the scores. This is
# DPO:
#
# $$L = -\log\,\mathrm{sigmoid}\Big(\beta' \log \frac{p_\theta(w)}{p_\text{ref}(w)} - \beta' \log
# \frac{p_\theta(l)}{p_\text{ref}(l)}\Big)$$
#
# A flow does not give the probability of a picture, at least not cheaply. It is trained by squared
# errors, however, and the negative sum of such errors over all noise levels is a bound on the
# logarithm of the probability. *Diffusion-DPO* uses one level at a time, drawn again at every step.
# With $e_\theta(x) = \|v_\theta(x_\sigma, \sigma) - (n - x)\|^2$ the difference of logarithms
# becomes $-(e_\theta - e_\text{ref})$, and
#
# $$L = -\log\,\mathrm{sigmoid}\Big(-\tfrac{\beta}{2}\big[(e_\theta(w) - e_\theta(l)) -
# (e_\text{ref}(w) - e_\text{ref}(l))\big]\Big).$$
#
# This is equation 3 of the report. The bracket is best read from the inside: how much worse is the
# winner predicted than the loser, and how much has this changed since the start? At the start
# nothing has changed, so the bracket is 0 and the loss is $-\log \tfrac12 = \ln 2$.
#
# ## Exercise: the loss
#
# ★★☆☆☆ · 10 minutes
#
# Write `dpo_loss(winner, loser, ref_winner, ref_loser, beta)`. The first four arguments are errors,
# (B,) each, of the policy (the model in training) and of the reference. Return the mean of the
# losses, which must stay finite for any errors. You will know it works when it starts at ln 2.


# %% tags=["exercise"]
def dpo_loss(winner, loser, ref_winner, ref_loser, beta):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

dpo_loss = answers.unless_solved(dpo_loss, answers.EX_30_LOSS)
check.ex_30_loss(dpo_loss)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# First the bracket: a difference of two differences, (B,).
#
# </details>
#
# <details><summary>A hint</summary>
#
# The sigmoid of a very negative number rounds to 0, whose logarithm is infinite. PyTorch has a
# function for the logarithm of a sigmoid.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# lead <- policy's winner - loser, less the reference's
# minus the log of the sigmoid of - beta / 2 * lead, for each pair
# their mean
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def dpo_loss(winner, loser, ref_winner, ref_loser, beta):
#     lead = (winner - loser) - (ref_winner - ref_loser)
#     return -F.logsigmoid(-beta / 2 * lead).mean()
# ```
#
# </details>

# %%
errors = torch.rand(2, 8, generator=rng)
assert abs(dpo_loss(*errors, *errors, 100.0).item() - math.log(2)) < 1e-6
print("policy = reference: ln 2 = 0.6931, for any errors and any beta")

# %% [markdown]
# ## One noise for four errors
#
# Winner and loser must be mixed with the *same* noise at the *same* level, and so must policy and
# reference. The errors depend on the noise far more than on the picture, so with four independent
# draws the bracket would be mostly chance.
#
# ![Winner and loser are mixed with one noise; the transformer with its LoRA on and off gives two
# errors each; the loss takes all four](figures/four_errors.svg)
#
# ## Exercise: errors of both
#
# ★★★☆☆ · 10 minutes
#
# Write `errors_of_both(velocity_of, winner, loser, noise, sigma)`. Data and noise are (B, D),
# `sigma` is (B,), and `velocity_of(x, sigma)` gives the velocity (B, D). Return two tensors (B,):
# the mean squared errors of the winners, then those of the losers. You will know it works when the
# checker says so.


# %% tags=["exercise"]
def errors_of_both(velocity_of, winner, loser, noise, sigma):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
errors_of_both = answers.unless_solved(errors_of_both, answers.EX_30_ERRORS)
check.ex_30_errors(errors_of_both)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# It is the loss of chapter 12, twice, before its mean over the batch.
#
# </details>
#
# <details><summary>A hint</summary>
#
# The level has to be (B, 1) beside data of (B, D). The target of each picture is the noise less
# that picture.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# for each of the two pictures:
#     x <- (1 - sigma) picture + sigma noise
#     mean over D of the squares of velocity_of(x, sigma) - (noise - picture)
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def errors_of_both(velocity_of, winner, loser, noise, sigma):
#     level = sigma[:, None]
#
#     def error(data):
#         x = (1 - level) * data + level * noise
#         return (velocity_of(x, sigma) - (noise - data)).pow(2).mean(1)
#
#     return error(winner), error(loser)
# ```
#
# </details>
#
# ## On the plane
#
# We return to the plane of chapter 08, where a small network has learned a star. Of two points, our
# judge prefers the one farther to the right, and it says nothing but which of the two that is.

# %%
generator = torch.Generator().manual_seed(0)
torch.manual_seed(0)
field = flow_on_a_plane.Field()
few_steps.teach(field, 1200, generator)
levels = torch.linspace(1, 0, 21)


def star_points(field, count, seed):
    velocity = flow_on_a_plane.ask(field, flow_on_a_plane.STAR)
    return flow_on_a_plane.flow(velocity, flow_on_a_plane.noise(count, seed), levels)[-1]


# %%
a, b = star_points(field, 2048, seed=5).chunk(2)
a_wins = (a[:, 0] > b[:, 0])[:, None]
winners, losers = torch.where(a_wins, a, b), torch.where(a_wins, b, a)
print("1,024 pairs; the first point of the first pair wins:", bool(a_wins[0]))


# %%
def prefer(field, winners, losers, beta=20.0, steps=200, lr=1e-3):
    policy, rng = copy.deepcopy(field), torch.Generator().manual_seed(1)
    optimizer, log = torch.optim.Adam(policy.parameters(), lr=lr), []
    star = torch.full((256,), flow_on_a_plane.STAR)
    for _ in range(steps):
        chosen = torch.randint(len(winners), (256,), generator=rng)
        noise, sigma = torch.randn(256, 2, generator=rng), torch.rand(256, generator=rng)
        drawn = winners[chosen], losers[chosen], noise, sigma
        ours = errors_of_both(lambda x, s: policy(x, s, star), *drawn)
        with torch.no_grad():
            theirs = errors_of_both(lambda x, s: field(x, s, star), *drawn)
        loss = dpo_loss(*ours, *theirs, beta)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        log.append([loss.item()] + [error.mean().item() for error in (*ours, *theirs)])
    return policy, torch.tensor(log)


# %%
policy, log = prefer(field, winners, losers)
loose, loose_log = prefer(field, winners, losers, beta=5.0)
named = {"before": field, "after, beta 20": policy, "after, beta 5": loose}
clouds = {name: star_points(each, 1000, seed=9) for name, each in named.items()}
panels = [(name, {"image": points}) for name, points in clouds.items()]
flow_on_a_plane.clouds(panels, alt="A star; its right half; points that have left it to the right")

# %%
shape = flow_on_a_plane.star(2000, torch.Generator().manual_seed(3))
right = [(points[:, 0] > 0).float().mean().item() for points in clouds.values()]
off = [flow_on_a_plane.distance(points, shape) for points in clouds.values()]
assert 0.4 < right[0] < 0.6 < 0.75 < right[1] and off[1] < 2 * off[0]
assert right[2] > 0.75 and off[2] > 3 * off[0]
print("half lie on the right before, three quarters after; with beta 5 they leave the star")

# %% [markdown]
# The judge never said what "right" is; it only compared. How far the model may go is controlled by
# $\beta$: with 5 in place of 20 a winner has to be ahead by more before its pair counts as won, and
# the points leave the star for places where no comparison was ever made.
#
# Next we look at the four errors with $\beta = 20$, as means over twenty steps. Every log of DPO
# should have them.

# %%
names = "winner", "loser", "winner, reference", "loser, reference"
smooth = log[:, 1:].view(-1, 20, 4).mean(1)
lines = {
    n: [(20 * i + 10, y.item()) for i, y in enumerate(smooth[:, k])] for k, n in enumerate(names)
}
panel = {"x": "step", "y": "mean squared error", "series": lines}
charts.curves([panel], alt="Four errors over steps: the loser's rises far above the reference's")

# %%
winner, loser = (smooth[-1, k] - smooth[-1, k + 2] for k in (0, 1))
assert abs(log[0, 0] - math.log(2)) < 1e-6 and log[-20:, 0].mean() < 0.5
assert loser > 0.3 and loser > 3 * abs(winner)
wild = loose_log[-20:].mean(0)
assert wild[1] > 2 * wild[3] and wild[2] > 2 * wild[4]
print("from ln 2 to below 0.5; losers are predicted worse, and with beta 5 winners as well")

# %% [markdown]
# The winner's error has hardly changed: the network mainly learned to predict losers badly. This is
# possible because the loss depends only on a *difference*. It falls when the loser's error grows,
# even if the winner's grows as well but more slowly, as with $\beta = 5$, and then both become less
# probable. For this reason all four curves are logged, and a run is stopped when the winner's curve
# rises above the reference.
#
# ## Exercise: the pull of a pair
#
# ★★★★☆ · 20 minutes
#
# How strongly does a pair move the network? Write
# `pull(winner, loser, ref_winner, ref_loser, beta)`, which returns for each pair, (B,), the
# derivative of its own loss with respect to the winner's error. With respect to the loser's error
# it is the negative of this. You will know it works when autograd agrees.


# %% tags=["exercise"]
def pull(winner, loser, ref_winner, ref_loser, beta):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
pull = answers.unless_solved(pull, answers.EX_30_PULL)
check.ex_30_pull(pull)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The derivative of $-\log \mathrm{sigmoid}(y)$ is $-\mathrm{sigmoid}(-y)$.
#
# </details>
#
# <details><summary>A hint</summary>
#
# Here $y$ is minus half of beta times the lead. What is its derivative with respect to the winner's
# error, which enters the lead with a plus?
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# lead <- policy's winner - loser, less the reference's
# beta / 2, times the probability that the loser would win
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def pull(winner, loser, ref_winner, ref_loser, beta):
#     lead = (winner - loser) - (ref_winner - ref_loser)
#     return beta / 2 * torch.sigmoid(beta / 2 * lead)
# ```
#
# </details>

# %%
four = torch.rand(4, 6, generator=rng)
differentiable = four[0].clone().requires_grad_(True)
dpo_loss(differentiable, *four[1:], 100.0).backward()
assert torch.allclose(pull(*four, 100.0) / 6, differentiable.grad, atol=1e-6)
print("the pull by hand and by autograd: equal within 1e-6")

# %% [markdown]
# A pair that is clearly won has no more effect, and one that is clearly lost has the full weight
# $\beta/2$. So $\beta$ is not a step size; it determines the lead at which a pair counts as won,
# about $4/\beta$. For posters the errors are *means* over a picture's numbers, with $\beta = 100$.
# If squares are summed instead, $\beta$ has to be divided by their number, 262,144 for a picture of
# 1024 × 1024 pixels. The report gives no $\beta$.
#
# ## On posters
#
# For the pocket model, the judge is the exact reader of [chapter 13](13_is_it_any_good.ipynb), and
# its mark is the share of a caption that a picture shows. The captions are those that the base
# paints worst: words of four letters, rare Chinese characters, counts. Each is painted twice, from
# two different noises, in six steps without guidance. Where the marks differ, the two pictures form
# a pair.

# %%
from qwenimage_ref.evaluate import preferred

pipe = QwenImage.from_pretrained(show.pocket_folder())
folder = Path(tempfile.mkdtemp())
comparisons = preferred.pairs(pipe, folder / "pairs", posters=32, quiet=True)
assert 4 <= len(comparisons) <= 32
print("32 captions painted twice; at least four give a pair")

# %%
shown = comparisons[:4]
latents = torch.stack([x.winner for x in shown] + [x.loser for x in shown])
titles = ["winner"] * 4 + ["loser"] * 4
show.grid(
    pipe.to_pictures(latents), titles, "Above four posters, below worse ones of the same captions"
)

# %%
assert latents.shape == (8, 16, 16, 16)
print("8 latents: a winner above each loser of the same caption")

# %% [markdown]
# The trainer consists of your loss and your errors, applied to latents and text states. The
# reference needs no second copy of the network, since it is the same network with its LoRA switched
# off.

# %%
from qwenimage_ref.train import preference

show.source(preference.dpo_loss, preference.errors_of_both)

# %%
from dataclasses import replace

recipe = replace(preferred.RECIPE, steps=12, batch=4, lr=1e-3, warmup=0)
choices = replace(preferred.CHOICES, rank=8)
run = preference.train(pipe.transformer, comparisons, recipe, choices, folder / "run", quiet=True)
print("12 steps of 4 pairs")


# %%
def lead_on(comparisons, adapter):
    """The bracket, on pairs under fixed noise at three levels"""
    rng, leads = torch.Generator().manual_seed(7), []
    for one in comparisons:
        noise = torch.randn(1, *one.winner.shape, generator=rng)
        for sigma in (0.3, 0.5, 0.7):
            drawn = one.winner[None], one.loser[None], noise, torch.tensor([sigma]), one.txt[None]
            ours = preference.errors_of_both(pipe.transformer, *drawn)
            with adapter.off():
                theirs = preference.errors_of_both(pipe.transformer, *drawn)
            leads.append((ours[0] - ours[1]) - (theirs[0] - theirs[1]))
    return torch.cat(leads)


# %%
with torch.no_grad():
    leads = lead_on(comparisons, run.model)
assert leads.mean() < 0, "winners have gained on losers"
print("on its own pairs the adapter prefers winners more than the base does: ok")

# %% [markdown]
# Twelve steps are too few to show in new pictures. A full run has more pairs and steps, and is
# judged by pictures of *held-out* captions, painted from the same noise before and after training:
# `python -m qwenimage_ref.evaluate.preferred`.
#
# ## Full runs, measured
#
# Here is the record of three such runs, which differ in their seed. First the errors of winners and
# of losers, less the reference's under the same noise, so that 0 is where all of them begin.

# %%
import json

record = json.loads(show.data_file("measurements/preferred.json").read_text())
seeds, runs = record["numbers of seeds"], record["seeds"]
panels = []
for name in ("winner", "loser"):
    lines = {
        f"seed {seed}": [(x["step"], x[name] - x[f"reference_{name}"]) for x in run["log"]]
        for seed, run in zip(seeds, runs)
    }
    panels.append({"x": "step", "y": f"error of the {name}s, less the base's", "series": lines})
charts.curves(panels, alt="Errors of winners and of losers over the steps, less the reference's")

# %%
for run in runs:
    last = run["log"][-1]
    leads = [last[n] - last[f"reference_{n}"] for n in ("winner", "loser")]
    assert leads[0] < leads[1] and last["loss"] < math.log(2)
print("winners end better off than losers with every seed, and the loss below ln 2")

# %% [markdown]
# Then pictures of held-out captions by the base and by the adapter, from the same noise, marked by
# the exact reader. Points are gained where all three intervals lie above 0.

# %%
from qwenimage_ref.evaluate.hard_captions import gains

quick, slow = runs[0]["results"]
columns = ["right, in per cent", "base", *(f"points gained, seed {seed}" for seed in seeds), ""]
show.table(columns, gains([run["results"][quick]["rows"] for run in runs]))

# %% [markdown]
# Those pictures were painted as the pairs were, in six steps without guidance. Here are pictures
# that were painted as the model is meant to be used, in twenty guided steps:

# %%
show.table(columns, gains([run["results"][slow]["rows"] for run in runs]))

# %% [markdown]
# The win rate asks less of each pair of pictures: which one has the better mark? Most marks are
# equal.

# %%
from qwenimage_ref.evaluate.tables import within

rows = []
for name in (quick, slow):
    wins = [run["results"][name]["wins"] for run in runs]
    rows += [[name, seed, within(win), win["of"], win["equal"]] for seed, win in zip(seeds, wins)]
show.table(["painted in", "seed", "won, in per cent", "of pairs that differ", "equal"], rows)

# %% [markdown]
# In twenty guided steps less is wrong to begin with, and the pairs were painted in six. And some
# two hundred pairs are few.
#
# ## How far from the reference?
#
# $\beta$ was 2,000 there. The loss only widens a difference, and with a small $\beta$ it has to be
# widened far before the sigmoid is satisfied. Mean squared errors of our posters are about 0.1, and
# the two errors of a pair about 0.01 apart; a $\beta$ of 100 asks for leads of several hundredths.
# `python -m qwenimage_ref.evaluate.preferred --beta 100 --seeds 0` is the same run with nothing
# else changed:

# %%
loose = json.loads(show.data_file("measurements/preferred_100.json").read_text())
(run,) = loose["seeds"]
panels = []
for label, each in (("beta 2,000", runs[0]), ("beta 100", run)):
    names = ("winner", "loser", "reference_winner", "reference_loser")
    lines = {n.replace("_", "'s "): [(x["step"], x[n]) for x in each["log"]] for n in names}
    panels.append({"x": "step", "y": f"error, {label}", "series": lines})
charts.curves(panels, alt="The four errors over the steps, with beta 2,000 and with beta 100")

# %%
strict, last = runs[0]["log"][-1], run["log"][-1]
assert last["winner"] / last["reference_winner"] > strict["winner"] / strict["reference_winner"]
rows = []
for label, each in (("beta 2,000", runs[0]), ("beta 100", run)):
    win, right = each["results"][slow]["wins"], each["results"][slow]["rows"]["long words"]
    rows.append([label, within(win), within(right["before"]), within(right["after"])])
columns = ["twenty guided steps", "won, in per cent", "long words right, base", "after DPO"]
show.table(columns, rows)

# %% [markdown]
# Winners that become worse while losers become worse still: the loss calls this success. Log all
# four errors, and look at pictures.
#
# ## Where this comes from
#
# * Scores from comparisons: R. A. Bradley, M. E. Terry, *Biometrika* 39, 1952.
# * DPO for language models: [Rafailov et al. 2023](https://arxiv.org/abs/2305.18290), section 4;
#   its equation 4 is the best distribution above.
# * Diffusion-DPO, the bound by errors: [Wallace et al. 2023](https://arxiv.org/abs/2311.12908),
#   section 4.
# * Qwen-Image's equation 3 writes it for velocities, with $\sigma$ drawn evenly:
#   [report](https://arxiv.org/abs/2508.02324), the section on post-training. It has two kinds of
#   pairs: for several seeds of one prompt, people mark the best and the worst; and where a picture
#   is given, it is paired with the worst of the generated ones.
# * SD3 trained a LoRA by DPO on its largest models, and people preferred them for text and general
#   quality: [Esser et al. 2024](https://arxiv.org/abs/2403.03206), appendix. FLUX publishes nothing
#   about this stage.
#
# ## Estimate first
#
# **1.** With $\beta = 100$, how much smaller must the winner's mean squared error become, with the
# loser's unchanged, until the loss is half of ln 2?
#
# <details><summary>Answer</summary>
#
# By 0.018. Half of ln 2 is the loss where the sigmoid is $1/\sqrt2$, that is at 0.88, and 0.88 is
# 50 times 0.0176.
#
# </details>
#
# **2.** How many forward passes and backward passes of a picture does a step of 8 pairs take?
#
# <details><summary>Answer</summary>
#
# 32 forward passes, of which 16 have the LoRA off and no graph, and 16 backward passes.
#
# </details>
#
# **3.** A caption is painted from two noises, and each picture is right with probability 0.8,
# independently of the other. What share of the captions gives a pair?
#
# <details><summary>Answer</summary>
#
# 0.32: one right and one wrong, in either order. A model that is always right gives none.
#
# </details>

# %%
assert round(math.log(1 / (math.sqrt(2) - 1)) / 50, 4) == 0.0176
assert math.isclose(2 * 0.8 * 0.2, 0.32)
print("0.0176 and 0.32: ok")

# %% [markdown]
# ## What production code does differently
#
# * Several people compare each pair, and pairs on which they disagree are dropped.
# * Pairs come from the model that is being trained or from a similar one, because old pairs show
#   pictures that it no longer paints.
# * A term of plain flow matching on the winners is added, so that their errors do not rise.
# * Text states and latents of all pairs are prepared once, as in chapter 12.
#
# ## Try this
#
# * Give winner and loser different noise in `prefer`. How many steps does it take now?
# * Set beta to 1 and to 500 on the plane. What becomes of the star?
# * Add a tenth of the winner's own error to the loss, and look at the four curves again.
# * **To be written up** (rubric: `site/pages/rubric.md`): a judge errs in one pair of five. Does
#   the model learn the judge's preference or its errors? Estimate first, then swap that share of
#   the pairs on the plane, with several seeds.
#
# **Capstone.** `make grade` has no points for this page, which changes the weights of the model and
# not its code.
#
# Next: [reward](31_reward.ipynb).
