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
# # 32 · Distillation
#
# In chapter 20 a student of four steps was trained to reproduce its teacher's final pictures, each
# from the same noise. This needs the teacher's noise, and it compares pictures number by number. On
# this page the student has one step, and we compare *distributions*: no single picture has to be
# reproduced, but all pictures together have to be distributed like the teacher's. The method is
# DMD2, and you will write its gradient.
#
# | | |
# |---|---|
# | **You need** | [chapter 08](08_the_shifted_sampler.ipynb), [chapter 20](20_few_steps.ipynb) |
# | **You get** | why regression blurs, the score difference, the adversarial term, on one trainer |
# | **Minutes** | 45 to read, 45 to write, one to run |
# | **Picture** | one step to a star: by regression, by matching, without the fake, with a judge |
# | **Number** | between two Gaussians the gradient equals the one by hand within 1e-4 |

# %%
import json
import tempfile
from pathlib import Path

import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.course import show
from qwenimage_ref.course.figures import few_steps, flow_on_a_plane, matching

pipe = QwenImage.from_pretrained(show.pocket_folder())
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## What regression learns
#
# A student $f$ receives noise $z$ and is trained with a squared error towards a picture $y$. Let
# $m(z)$ be the mean of all $y$ with which a given $z$ is paired. Then
#
# $$\mathbb E\,\|f(z)-y\|^2 \;=\; \mathbb E\,\|f(z)-m(z)\|^2 \;+\; \mathbb E\,\|y-m(z)\|^2 ,$$
#
# because the cross term $2\,(f(z)-m(z))\cdot\mathbb E[\,y-m(z)\mid z\,]$ is zero. The second term
# does not depend on $f$, so the best student is $f=m$ whatever $y$ is. There are three cases:
#
# * **The teacher's own noise.** Sampling is deterministic, so $z$ has one $y$, and $m(z)=y$. The
#   student can be perfect.
# * **Unrelated noise.** $y$ does not depend on $z$, so $m(z)$ is always the same picture, the mean
#   of all.
# * **Own noise, and too little capacity.** Neighbouring $z$ may lead to different pictures. A
#   network that cannot change so quickly with $z$ averages over the neighbourhood, and the result
#   is blurred.
#
# Here is the second case with posters. The empty prompt leaves everything open, so sixteen noises
# end in sixteen different posters. Their mean is what *any* student learns from them with unrelated
# noise.

# %%
posters = matching.ends(pipe, " ", 16)
mean = posters.mean(dim=0, keepdim=True)
pictures = pipe.to_pictures(torch.cat([posters[:3], mean]))
show.grid(
    pictures,
    ["noise 0", "noise 1", "noise 2", "the mean of 16"],
    alt="Three posters that have nothing in common, and a pale blur, their mean",
)

# %%
apart = torch.cdist(posters.flatten(1), posters.flatten(1)).pow(2).sum() / (16 * 15)
off = (posters - mean).flatten(1).pow(2).sum(dim=1).mean()
assert abs(off / apart - 15 / 32) < 1e-3
print("a poster is about half as far from the mean as from another poster, in squares: ok")

# %% [markdown]
# The mean is only half as far away, yet it is not a poster. This is the problem with the squared
# error: the picture that is closest to all of them on average resembles none of them.
#
# ## Compare distributions instead
#
# Let the student paint $x=G(z)$ in one step. Its pictures have a density $p_\text{fake}$, the
# teacher's have $p_\text{real}$, and we would like them to be equal. A measure of the difference is
# the Kullback-Leibler divergence
#
# $$\mathrm{KL} \;=\; \mathbb E_z\big[\log p_\text{fake}(x) - \log p_\text{real}(x)\big],
# \qquad x=G(z).$$
#
# These densities cannot be computed, but the gradient with respect to the student's weights
# $\theta$ can be. The weights enter in two places: through $x$, and through $p_\text{fake}$ itself.
# The second part is $\mathbb E_x[\partial_\theta\log p_\text{fake}(x)]=\int\partial_\theta
# p_\text{fake}= \partial_\theta 1=0$, which leaves
#
# $$\nabla_\theta\mathrm{KL} \;=\; \mathbb E_z\Big[\big(s_\text{fake}(x)-s_\text{real}(x)\big)\cdot
# \frac{\partial G}{\partial\theta}\Big],\qquad s(x)=\nabla_x\log p(x).$$
#
# Only the **scores** $s$ are needed, the directions in which pictures become more probable. They
# can be computed from the velocity of a network that was trained by flow matching.
#
# ## Exercise: the score of a velocity
#
# ★★☆☆☆ · 10 minutes
#
# Under noise, $x=(1-\sigma)\,x_0+\sigma n$, and the network's velocity is the expected $n-x_0$.
# Given $x_0$, the density of $x$ is a Gaussian around $(1-\sigma)\,x_0$ with deviation $\sigma$,
# whose score is $-n/\sigma$; averaged over all $x_0$ that could have led to $x$, it is
# $-\mathbb E[n\mid x]/\sigma$. Write `my_score(x, velocity, sigma)`: points and velocities are (N,
# 2), sigma is (N, 1). You will know it works when the checker says so.


# %% tags=["exercise"]
def my_score(x, velocity, sigma):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

my_score = answers.unless_solved(my_score, answers.EX_32_SCORE)
check.ex_32_score(my_score)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# The velocity leads along a straight line from the clean point to pure noise. Where on that line is
# $x$, and how far is it to the end?
#
# </details>
#
# <details><summary>A hint</summary>
#
# From level sigma to level 1 there are 1 - sigma left, and a step of that length along the velocity
# ends at the noise.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# noise <- x, and then the rest of the line along the velocity
# minus the noise, over its level
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_score(x, velocity, sigma):
#     noise = x + (1 - sigma) * velocity
#     return -noise / sigma
# ```
#
# </details>
#
# On the plane, data are points of a star, and both the exact velocity and the density are known. We
# can therefore compare the score with the derivative of the log-density that autograd computes.

# %%
data = flow_on_a_plane.star(300, generator)
x = flow_on_a_plane.noise(50, seed=3).requires_grad_(True)
for sigma in (0.2, 0.5, 0.9):
    needed = (x[:, None] - (1 - sigma) * data) / sigma
    log_density = torch.logsumexp(-needed.pow(2).sum(dim=2) / 2, dim=1)
    (slope,) = torch.autograd.grad(log_density.sum(), x)
    velocity = flow_on_a_plane.exact_velocity(x.detach(), sigma, data)
    score = my_score(x.detach(), velocity, torch.full((50, 1), sigma))
    assert torch.allclose(score, slope, rtol=1e-3, atol=1e-3)
print("score from the velocity, and slope of the log density: equal within 0.001")

# %% [markdown]
# ## Two opinions under noise
#
# Two details complete the method. First, the scores are taken **under noise**. Where the teacher
# has no pictures, $\log p_\text{real}$ is minus infinity and has no slope; adding noise to both
# distributions spreads them until they overlap. Second, in terms of clean pictures
# $\hat x_0=x-\sigma v$ the score is $-\big(x-(1-\sigma)\hat x_0\big)/\sigma^2$, so that the
# difference becomes
#
# $$s_\text{fake}-s_\text{real}\;=\;\frac{1-\sigma}{\sigma^2}\,
# \big(\hat x_0^\text{fake}-\hat x_0^\text{teacher}\big).$$
#
# Both networks get the same noisy picture, and each predicts the clean one behind it. The factor in
# front only weights the levels, and DMD replaces it: it divides by the mean distance
# $|x_0-\hat x_0^\text{teacher}|$, so that all levels contribute about equally.
#
# The score $s_\text{fake}$ is not known, and it changes with the student. A third network, the
# **fake**, is therefore trained on the student's pictures by flow matching all the time. The
# drawing shows the complete method:
#
# ![From noise over the student to two opinions and one gradient](figures/matching.svg)
#
# ## Exercise: a loss with a gradient of your own
#
# ★★★☆☆ · 15 minutes
#
# The difference is a gradient, but a training loop needs a loss. Write
# `my_matching(picture, fake, teacher)` for three tensors (N, D): a number whose gradient with
# respect to each of the N pictures is `(fake - teacher)`, divided by the mean of
# `|picture - teacher|` over that picture's D numbers, and by N. Its value is half the squared
# distance to the point to which the gradient leads, summed over D and averaged over N. Neither
# `fake` nor `teacher` may get a gradient. You will know it works when the checker says so.


# %% tags=["exercise"]
def my_matching(picture, fake, teacher):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_matching = answers.unless_solved(my_matching, answers.EX_32_MATCHING)
check.ex_32_matching(my_matching)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Half the squared distance from a *constant* point has the distance to it as its gradient. Which
# point is a whole gradient away?
#
# </details>
#
# <details><summary>A hint</summary>
#
# The target is the picture minus its gradient, detached from the graph as a whole: no gradient may
# flow through it, not even through the scale.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# size   <- for each picture, the mean of |picture - teacher|
# target <- picture - (fake - teacher) / size, cut off
# half the squares of picture - target, added up over D, mean over N
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_matching(picture, fake, teacher):
#     size = (picture - teacher).abs().mean(dim=1, keepdim=True)
#     target = (picture - (fake - teacher) / size).detach()
#     return (picture - target).pow(2).sum(dim=1).mean() / 2
# ```
#
# </details>
#
# A check by hand, in one dimension: let the teacher's pictures be $N(0,1)$ and the student's
# $N(2,1)$, one of them at 2, and let $\sigma=\frac{1}{2}$ and the noise be 0, so that $x=1$. Where
# data are $N(m,1)$, the clean point expected behind $x$ is $m+(x-m/2)$ at this level. This gives 1
# for the teacher and 2 for the fake. The gradient is $(2-1)/|2-1|=1$, and gradient descent moves
# the picture towards 0.

# %%
picture = torch.tensor([[2.0]], requires_grad=True)
my_matching(picture, torch.tensor([[2.0]]), torch.tensor([[1.0]])).backward()
assert abs(picture.grad.item() - 1) < 1e-4
print("the gradient by hand and by the loss: 1, within 1e-4")

# %% [markdown]
# ## Exercise: a step of the student
#
# ★★★★☆ · 20 minutes
#
# Now put everything together. Write `my_student_loss(student, fake, teacher, noise, e, sigma)`. The
# three networks are functions of a point (N, 2) and a level (N, 1) that return velocities. The
# student paints from `noise` in one step, from level 1 to 0, and its picture is mixed with the
# noise `e` at level `sigma`. Return the matching loss of the picture and the two clean points. Only
# the student may get a gradient. You will know it works when the checker says so and the star below
# appears.


# %% tags=["exercise"]
def my_student_loss(student, fake, teacher, noise, e, sigma):
    raise NotImplementedError


# %% jupyter={"source_hidden": true}
my_student_loss = answers.unless_solved(my_student_loss, answers.EX_32_STUDENT)
check.ex_32_student(my_student_loss)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Follow the drawing from top to bottom. Where does the gradient flow back, and where not?
#
# </details>
#
# <details><summary>A hint</summary>
#
# One Euler step from 1 to 0 subtracts the velocity at level 1. Fake and teacher run without a
# graph; the picture itself goes into the matching loss.
#
# </details>
#
# <details><summary>Pseudocode</summary>
#
# ```
# picture <- noise - the student's velocity at noise, level 1
# x       <- (1 - sigma) picture + sigma e
# clean   <- x - sigma velocity, of fake and of teacher, without a graph
# matching loss of picture, fake's clean, teacher's clean
# ```
#
# </details>
#
# <details><summary>The solution</summary>
#
# ```python
# def my_student_loss(student, fake, teacher, noise, e, sigma):
#     picture = noise - student(noise, torch.ones_like(sigma))
#     x = (1 - sigma) * picture + sigma * e
#     with torch.no_grad():
#         expected = [x - sigma * velocity(x, sigma) for velocity in (fake, teacher)]
#     return my_matching(picture, *expected)
# ```
#
# </details>
#
# ## One step to a star
#
# The teacher is the field of chapter 20, and the student and the fake begin as copies of it. Of
# five steps the fake takes four, because its prediction has to keep up with a changing student;
# this is the first change of DMD2 over DMD. We compare the result with two others: a student of one
# step that is trained by *regression* on pairs, as in chapter 20, and one without a fake that is
# simply trained towards the teacher's prediction.

# %%
torch.manual_seed(0)
teacher = flow_on_a_plane.Field()
few_steps.teach(teacher, 700, generator)
star = flow_on_a_plane.star(600, generator)
noise = flow_on_a_plane.noise(600, seed=1)


# %%
def without_fake(student, fake, teacher, noise, e, sigma):
    picture = noise - student(noise, torch.ones_like(sigma))
    x = (1 - sigma) * picture + sigma * e
    with torch.no_grad():
        clean = x - sigma * teacher(x, sigma)
    return my_matching(picture, picture.detach(), clean)


students = {"untrained": teacher}
for name, loss in (("matching", my_student_loss), ("without the fake", without_fake)):
    students[name] = matching.match(teacher, matching.asked(teacher), loss, 800, generator)


# %%
def distance_of_ends(student, noise, target, levels):
    return (noise - student(noise, levels[0]) - target).pow(2).mean()


velocity = flow_on_a_plane.ask(teacher, flow_on_a_plane.STAR)
lesson = flow_on_a_plane.noise(4096, seed=5)
targets = flow_on_a_plane.flow(velocity, lesson, torch.linspace(1, 0, 51))[-1]
students["regression"] = few_steps.distil(
    teacher, distance_of_ends, lesson, targets, torch.tensor([1.0, 0.0]), 200, generator
)
with torch.no_grad():
    painted = {name: matching.one_step(student, noise) for name, student in students.items()}
panels = [("data", {"image": star})]
panels += [(f"{name}, 1 step", {"image": points}) for name, points in painted.items()]
alt = "A star; one step untrained gives a blob, matching a star, without the fake a heap in the "
flow_on_a_plane.clouds(panels, alt + "middle, regression a star with points beside its outline")

# %%
fits = {name: matching.fit(points, star) for name, points in painted.items()}
assert fits["matching"].off < fits["untrained"].off / 2
assert fits["matching"].left_out < fits["without the fake"].left_out / 2
assert fits["regression"].off < fits["untrained"].off / 2
print("matching: half as far off as untrained; without the fake most of the star is left out: ok")

# %% [markdown]
# The student without a fake moves its points to where the teacher's pictures are *most* probable,
# and nothing keeps them apart, so a single mode is enough. The fake pushes them apart again,
# because it points to where the *student's* pictures are frequent, and the student moves away from
# there. (The gradient without a fake is known as *score distillation*, from text-to-3D.)
#
# In two dimensions regression reaches the star as well, but its errors are of another kind. Where
# neighbouring noises belong to different arms, its points lie *between* the arms and not on the
# star. Matching does not prescribe which noise becomes which point, only that the distribution is
# right.
#
# ## Better than the teacher?
#
# The student's distribution becomes the teacher's, including its faults. To show this, we use a
# teacher whose star has only seven tenths of the size. DMD2 adds a **judge** $D$, a small
# classifier that separates real data from the student's pictures, again under noise. Its logit is
# $\ell(x)$, and it minimises
#
# $$\mathbb E_\text{real}\log(1+e^{-\ell})+\mathbb E_\text{fake}\log(1+e^{\ell}),
# \qquad\text{the student}\quad\mathbb E_\text{fake}\log(1+e^{-\ell}).$$
#
# Setting the derivative with respect to $\ell(x)$ to zero shows that the best judge has
# $\ell=\log p_\text{data}-\log p_\text{fake}$. The gradient for the student is then
#
# $$\nabla_x\log(1+e^{-\ell})\;=\;
# \frac{1}{1+e^{\ell}}\,\big(s_\text{fake}(x)-s_\text{data}(x)\big).$$
#
# This is the *same* difference of scores as before, with the data in place of the teacher. The two
# terms therefore do not conflict: one follows the teacher, whose score is good everywhere but not
# quite right, and the other follows the data, through a judge that is unbiased but much less well
# trained.

# %%
at = torch.tensor([[2.0]], requires_grad=True)
logit = 2 - 2 * at.sum(dim=1)  # log N(x; 0, 1) - log N(x; 2, 1)
from qwenimage_ref.train.adversary import fooling_loss, judge_loss

fooling_loss(logit).backward()
share = torch.sigmoid(-logit).item()  # 1 / (1 + e^logit)
score_difference = -(2.0 - 2.0) - -(2.0 - 0.0)  # of N(2, 1) and N(0, 1) at 2
assert abs(at.grad.item() - share * score_difference) < 1e-4
undecided = torch.zeros(3)
assert abs(judge_loss(undecided, undecided).item() - 2 * torch.log(torch.tensor(2.0)).item()) < 1e-5
print("the judge's slope is a share of the difference of scores: equal within 1e-4")

# %%
torch.manual_seed(1)
judge, wrong = matching.PlaneJudge(), matching.too_small
of_wrong = {
    "matching alone": matching.match(teacher, wrong, my_student_loss, 600, generator),
    "and the judge": matching.match(teacher, wrong, my_student_loss, 600, generator, judge),
}
with torch.no_grad():
    of_wrong = {name: matching.one_step(each, noise) for name, each in of_wrong.items()}
panels = [("teacher's star on the data", {"light": star, "text": 0.7 * star})]
panels += [(f"{name}, 1 step", {"light": star, "image": p}) for name, p in of_wrong.items()]
alt = "A small star in a large one; painted points on the small one; points nearer to the large one"
flow_on_a_plane.clouds(panels, alt, columns=3)

# %%
sizes = {
    name: points.norm(dim=1).mean() / star.norm(dim=1).mean() for name, points in of_wrong.items()
}
assert sizes["matching alone"] < 0.8 and sizes["and the judge"] > sizes["matching alone"] + 0.05
print("the student has its teacher's size; with a judge it grows beyond it: ok")

# %% [markdown]
# ## The same on posters
#
# In the package student, fake and teacher are **one** network: the teacher is the base without an
# adapter and with guidance, while student and fake have a LoRA each. No weights are copied, which
# is what makes the method affordable at 20 billion weights. The input of the judge is the fake's
# image tokens after its middle block.

# %%
from qwenimage_ref.train import dmd2

show.source(dmd2.matching_loss, dmd2.Players.student_loss)

# %% [markdown]
# Compare it with yours. The judge's gradient is computed while the fake's adapter is switched on,
# and added as a second gradient of the picture.
#
# What does the first gradient look like? At the start the adapters add nothing, so student and fake
# are the base without guidance, and the teacher is the base with it. The very first gradient is
# therefore the effect of guidance and nothing else:

# %%
prompt = "a red star above a blue circle on a mint background"
seen = matching.pulls(pipe, prompt, sigma=0.6)
assert torch.allclose(seen.fake - seen.teacher, 0.6 * seen.guidance, atol=1e-5)
away = seen.picture - 0.5 * (seen.fake - seen.teacher)
latents = torch.cat([seen.picture, seen.fake, seen.teacher, away])
names = ["one step", "the fake expects", "the teacher expects", "half a pull farther"]
show.grid(
    pipe.to_pictures(latents),
    names,
    alt="Four posters of a red star over a blue circle: one step, two clean estimates, and the "
    "first with half the difference taken off",
)

# %%
assert (seen.fake - seen.teacher).abs().mean() > 0.01
print("fake less teacher is sigma times what guidance adds to the velocity: equal within 1e-5")

# %% [markdown]
# Later the fake has learned the student's typical errors, and the gradient corrects these. Here are
# five steps of the real trainer, four of the fake and one of the student, with a judge; a run that
# is killed resumes from its folder with the same bits:

# %%
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.prompts import Prompt

prompts = ["a red star on a white background", "a blue circle on a mint background"]
states = [pipe.encode_prompt([text])[0][0] for text in [*prompts, " "]]
texts = [Prompt(*pair) for pair in zip(prompts, states)]
real = [Encoded(latents, txt) for latents, txt in zip(posters[:2], states)]
recipe = Recipe(steps=5, batch=2, lr=1e-3, warmup=1)
settings = dmd2.Matching(rank=4, targets="diffusers", adversarial=0.005)
folder = Path(tempfile.mkdtemp())
shape = tuple(posters[0].shape)
run = dmd2.train(
    pipe.transformer, texts, states[2], shape, recipe, settings, folder, real=real, quiet=True
)
run.model["student"].remove()

# %%
line = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
terms = ("student_loss", "fake_loss", "fooling_loss", "judge_loss")
assert all(line[name] > 0 for name in terms) and line["step"] == 5
assert abs(line["judge_loss"] - 1.386) < 0.2  # twice ln 2: it has hardly begun
print("one log with all four losses:", ", ".join(terms))

# %% [markdown]
# On the command line: `qwenimage train dmd2 --prompts FILE --real FOLDER --adversarial 0.005`.
#
# ## Full runs, measured
#
# Students of 800 steps each (`python -m qwenimage_ref.pocket.students NAME`) against the base, all
# in one step and from the same noise. Variety is the distance between pictures of one caption.

# %%
from qwenimage_ref.evaluate.tables import within

record = json.loads(show.data_file("measurements/one_step.json").read_text())
rows = [
    [name, within(r["scene"]), within(r["word"]), f"{r['variety']['mean']:.1f} "
     f"({r['variety']['low']:.1f} to {r['variety']['high']:.1f})"]
    for name, r in record["rows"].items()
]  # fmt: skip
show.table(["in one step", "scenes right, %", "words right, %", "variety, grey levels"], rows)

# %% [markdown]
# ## Four ways to few steps
#
# | | is given | gradient through | can at best be |
# |---|---|---|---|
# | direct distillation | its pictures and their seeds | all steps | its teacher, noise by noise |
# | trajectory imitation | prompts | one step at a time | its teacher, and its path |
# | DMD | prompts | the student's steps | distributed as its teacher |
# | DMD2 with a judge | prompts and real pictures | the student's steps | better than its teacher |
#
# Trajectory imitation is the simplest: wherever the teacher's trajectory passes one of the
# student's levels, the student learns the mean velocity to the next level.

# %%
from qwenimage_ref.train import distill

show.source(distill.imitation_loss)

# %% [markdown]
# ## An open question
#
# 30 minutes, for a discussion or a page of text. Your one-step student paints nine scenes in ten
# right, as its teacher does, but a colleague remarks that all its stars look alike. Plan an
# experiment that decides whether this is true, identifies the part of the training that causes it,
# and tries a remedy.
#
# <details><summary>Rubric: eight points</summary>
#
# * **What is measured** (2): a distance between pictures of one prompt and several seeds, compared
#   with the teacher's own; a score of correctness cannot show it.
# * **A fair comparison** (2): same prompts and seeds for both, an interval over prompts, and the
#   base's one step as a third row, since one step alone costs variety.
# * **A cause that could be wrong** (2): for example a fake that does not keep up; then more steps
#   of the fake for each of the student's change the result, and if they do not, it was not that.
# * **A remedy and its cost** (1): a lower guidance of the teacher, a judge of real pictures, a
#   second step.
# * **What would make you give up the claim** (1), written down before the run.
#
# </details>
#
# ## Estimate first
#
# **1.** How many passes of the network does a step of the student take, and how many a step of the
# fake, with one step of painting, a guided teacher and no judge?
#
# <details><summary>Answer</summary>
#
# Student: one to paint, one of the fake, two of the teacher, and one backward pass. Fake: one to
# paint, one with a backward pass.
#
# </details>
#
# **2.** Fake and teacher agree everywhere. What is the student's loss, and what its gradient?
#
# <details><summary>Answer</summary>
#
# Zero and zero: the target is the picture itself.
#
# </details>
#
# **3.** 20.43 billion weights in bf16. How much memory do teacher, student and fake take as three
# networks, and how much as one with two adapters of 236 million numbers in float32?
#
# <details><summary>Answer</summary>
#
# 123 GB against 43 GB, before moments and activations.
#
# </details>

# %%
same = torch.randn(4, 3, generator=generator)
agreed = torch.zeros(4, 3, requires_grad=True)
my_matching(agreed, same, same).backward()
assert not agreed.grad.any()
assert round(3 * 2 * 20.43) == 123 and round(2 * 20.43 + 2 * 4 * 0.236) == 43
print("no pull where both agree; 123 GB or 43 GB: ok")

# %% [markdown]
# ## What production code does differently
#
# * The student takes a few steps instead of one, and some batches start from its own intermediate
#   states, so that training sees the same inputs as sampling.
# * Student and fake have separate learning rates, and the judge has several heads at several
#   depths.
# * There are millions of prompts, the real pictures are those that the base was trained on, and a
#   run takes days.
# * DMD adds a regression loss on stored pairs of noise and picture against collapse, which DMD2
#   replaces ([Yin et al. 2024](https://arxiv.org/abs/2405.14867), section 4.1).
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * Distribution matching with two scores: [Yin et al. 2023](https://arxiv.org/abs/2311.18828),
#   section 3.2, equation 7 for the scale. The derivation is that of
#   [Diff-Instruct, Luo et al. 2023](https://arxiv.org/abs/2305.18455), section 3.
# * DMD2: [Yin et al. 2024](https://arxiv.org/abs/2405.14867), section 4.2 (more steps of the fake),
#   4.3 (the judge), 4.4 (several steps).
# * Score distillation, the gradient without a fake:
#   [Poole et al. 2022](https://arxiv.org/abs/2209.14988), section 3.
# * The judge and its optimum: [Goodfellow et al. 2014](https://arxiv.org/abs/1406.2661), section
#   4.1.
# * SD3-Turbo and FLUX.1 [schnell] were distilled with a judge on the latent features of a diffusion
#   network: [Sauer et al. 2024](https://arxiv.org/abs/2403.12015), section 3. A released DMD2 LoRA
#   for Qwen-Image has three steps; `qwenimage paint --lora` reads it.
#
# </details>
#
# ## Try this
#
# * Let the fake take one step for each of the student's. At which point is the star lost?
# * Train with the judge alone, without matching: `weight=1` and a loss of zero.
# * Remove the teacher's guidance on the posters. What is the first gradient then?
# * Train one student on both labels of the plane. Is one judge enough?
#
# **Capstone.** `make grade` has no points for this page, because a student is the same network with
# other weights.
#
# Next: [image to LoRA](33_image_to_lora.ipynb).
