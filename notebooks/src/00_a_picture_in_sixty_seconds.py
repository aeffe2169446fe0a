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
# # 00 · A picture in sixty seconds
#
# You type a sentence, and a picture of it appears. This page first does it and then explains how.
#
# | | |
# |---|---|
# | **You need** | a laptop, no GPU, no download; a little Python; you have met PyTorch once |
# | **You get** | pictures from your own words, and a map of the machine that paints them |
# | **Minutes** | 15 to read, less than one to run |
# | **Picture** | eight painted scenes under their prompts |
# | **Number** | the grid equals the stored one: mean difference under 1/255 |
#
# The model is **Qwen-Image**, which has 20 billion parameters, in a pocket size: the same code, the
# same parts and the same names, with far fewer parameters. The pocket model was trained only on
# *posters*, which show coloured shapes on a plain background, sometimes with a word below. It has
# never seen a cat, but it runs on your machine in seconds, and you can open every part of it.
#
# This chapter is also available [in Chinese,
# 中文版](../notebooks/zh/00_a_picture_in_sixty_seconds.ipynb).

# %% [markdown]
# ## Is everything here?
#
# Each package has one row. If a row says *too old* or *missing*, run `make setup` in the folder of
# the repository and restart the kernel.

# %% tags=["nbval-ignore-output"] reason="versions differ from machine to machine"
from qwenimage_ref.course.publish import environment

for package, needed, found, verdict in environment.packages():
    print(f"{package:12} {needed:13} {found:14} {verdict}")

# %% [markdown]
# ## Open the model
#
# A folder of weights is loaded as a pipeline, `pipe`, whose four parts are plain attributes.

# %%
from qwenimage_ref import QwenImage
from qwenimage_ref.course import show

pipe = QwenImage.from_pretrained(show.pocket_folder())

# %%
parts = {
    "text_encoder": pipe.text_encoder,
    "transformer": pipe.transformer,
    "vae": pipe.vae,
}
for name, part in parts.items():
    print(f"{name:13} {sum(p.numel() for p in part.parameters()):>11,} numbers")

# %% [markdown]
# ## Eight prompts
#
# Five prompts are in English and three in Chinese; some ask for a word, the last one for a Chinese
# word, and the third for a number of shapes. The model learned both languages from captions like
# these. The seventh prompt is special: there was no purple star in any training picture, so the
# model has to combine the purple of other shapes with stars of other colours.

# %%
from qwenimage_ref.pocket import first_grid

for number, prompt in enumerate(first_grid.PROMPTS, 1):
    print(number, prompt)

# %% [markdown]
# ## Paint

# %%
pictures = first_grid.paint(pipe)

# %% [markdown]
# The Chinese prompts are shown in English here and marked *(zh)*.

# %%
from qwenimage_ref.posters.draw import caption

captions = [
    f"{number}{' (zh)' if language == 'zh' else ''} {caption(scene)}"
    for number, (scene, language) in enumerate(first_grid.SCENES, 1)
]
show.grid(pictures, captions, alt="Painted, in two rows of four: " + "; ".join(captions))

# %% [markdown]
# You can judge by eye whether these are right. A glance misses small errors, however, and a test
# cannot repeat it. Every picture in this course therefore has a **numeric twin**. The first one
# compares your eight pictures with stored ones, painted on another machine. `difference` is the
# mean over all pixels, in units of 1/255, the smallest step of a pixel value.

# %%
from PIL import Image

stored = Image.open(show.data_file("pictures/first_grid.png"))
difference = show.difference(first_grid.sheet(pictures), stored)
assert difference < 1, f"your grid differs by {difference:.2f} / 255"
print("mean difference from data/pictures/first_grid.png under 1/255: ok")

# %% [markdown]
# The second twin does not compare but *reads* the pictures. Posters are so simple that a short
# program can recover the background, the shapes, their places and the word. It does not see the
# prompt.

# %%
from qwenimage_ref.posters.read import read, score

asked_for = ("background", "count", "shapes", "colours", "layout", "word")
results = [score(scene, picture) for (scene, _), picture in zip(first_grid.SCENES, pictures)]
rows = [
    [number, show.describe(read(picture)), *("yes" if result[key] else "no" for key in asked_for)]
    for number, (picture, result) in enumerate(zip(pictures, results), 1)
]
show.table(["", "read back", *asked_for], rows)

# %%
held = sum(result[key] for result in results for key in asked_for[:5])
assert held >= 32, f"only {held} of 40 statements about the scenes hold"
print("without the words, at least 32 of 40 statements about the scenes hold: ok")

# %% [markdown]
# We leave every *no* in the table: this model is small, and spelling is the hardest thing it
# learned. A later chapter measures its spelling on hundreds of prompts instead of eight.

# %% [markdown]
# ## Now you
#
# Put your own words between the quotes and run the cells. The model was trained on circles,
# squares, triangles, stars, diamonds and rings; eight colours; the backgrounds white, gray, beige,
# sky, navy and mint; *left of*, *above*; *two*, *three* or *four* of a kind; and words of up to
# four letters or digits, or up to three of twenty-four Chinese characters such as 大, 山 and 水.

# %%
my_words = 'a large blue circle on a white background with the text "YES"'

mine = pipe(my_words, negative_prompt=" ", num_inference_steps=20, seed=0)[0]
show.grid([mine], [my_words], alt=f"One picture, painted from the prompt: {my_words}")

# %%
assert mine.size == (128, 128)
print("the reader finds:", show.describe(read(mine)))

# %% [markdown]
# The size of a picture is not part of the prompt; it is given by two arguments. The model was
# trained at seven sizes, and Qwen-Image recommends seven as well.

# %%
from qwenimage_ref.posters.scene import SIZES

steps = {"num_inference_steps": 20, "seed": 0}
sized = [pipe(my_words, " ", height=h, width=w, **steps)[0] for w, h in SIZES]
captions = [f"{w} × {h}" for w, h in SIZES]
show.grid(sized, captions, alt=f"{my_words}: at {', '.join(captions)}", scale=1)

# %%
shapes = [read(picture).scene.shapes for picture in sized]
assert sum(len(seen) == 1 for seen in shapes) >= 5
print("one shape on at least five of the seven: ok")

# %% [markdown]
# ## Three sliders
#
# * `seed` chooses the noise that the picture starts from. Another seed gives another picture of the
#   same sentence.
# * `steps` is the number of small steps from noise to picture.
# * `guidance` is the strength of the prompt. At 1 the model simply paints; above 1 each step
#   compares the predictions with the prompt and with an empty one and amplifies the difference.
#   Chapter 08 shows when this matters.
#
# Move a slider with the mouse or the arrow keys, or type another prompt and press Enter.

# %%
from qwenimage_ref.course import sliders

home = sliders.Setting('four green rings on a beige background with the text "QWEN"')
panel = sliders.Sliders(pipe, home)
panel

# %% [markdown]
# A program can move a slider, too, and check that the picture changes with it and changes back.

# %%
at_home = panel.picture.value
panel.seed.value = 1
assert panel.picture.value != at_home
panel.seed.value = 0
assert panel.picture.value == at_home
print("another seed, another picture; the same seed, the same picture: ok")

# %% [markdown]
# Here are the same states in print, for paper and for readers who do not run the code. In each row
# only one slider moves, while the others stay at seed 0, 20 steps and guidance 4.

# %%
settings = sliders.one_by_one(home)
states = [sliders.paint(pipe, setting) for setting in settings]
captions = [str(setting) for setting in settings]
show.grid(states, captions, alt=f"{home.prompt}, painted with: {'; '.join(captions)}", scale=1)

# %% [markdown]
# In the second row two steps are too few, and from eight to twenty little changes. To put numbers
# on it, we measure how far each picture of that row is from the last one:

# %%
final = states[7]
distances = [show.difference(states[i], final) for i in (4, 5, 6)]
assert distances[0] > distances[2], "2 steps must end farther from 20 steps than 8 do"
print("8 steps end nearer to 20 steps than 2 steps do: ok")

# %% [markdown]
# In the third row guidance decides. The rings are right at every strength, but the word is harder:
# without guidance its letters are garbled, and with the strongest guidance one of them is deformed.

# %%
words = [read(states[i]).scene.word for i in (8, 9, 10, 11)]
assert words[0] != "QWEN" and words[1] == words[2] == "QWEN"
print("read at guidance 1, 2, 4 and 8:", ", ".join(words))

# %% [markdown]
# ## What just happened
#
# 1. `pipe.tokenizer` split your prompt into `ids`, integers that represent pieces of words.
# 2. `pipe.text_encoder`, a language model, turned each of them into a vector: the *text states*.
# 3. `pipe.noise` drew the initial `latents` from the seed, a small three-dimensional array of pure
#    noise.
# 4. `pipe.transformer` processed latents and text together, twenty times, and each time computed
#    the direction from picture to noise, the `velocity`; the latents moved a small step in the
#    opposite direction.
# 5. `pipe.vae` turned the final latents into pixels.
#
# The drawing shows the same process with the shapes of the arrays, for the official model and for
# this one. Below it, a `callback` records a real run to confirm them; it gets latents and velocity
# unpacked.
#
# ![Block diagram: prompt, tokenizer and text encoder on the left, noise and pack on the right
# lead into the loop of transformer and Euler step; then unpack, VAE and
# pixels](figures/text_to_image.svg)

# %%
seen, film = [], []


def watch(step, sigma, latents, velocity):
    seen.append((sigma, tuple(latents.shape), tuple(velocity.shape)))
    film.append(latents - sigma * velocity)


star = "a red star above a green square on a beige background"
picture = pipe(star, " ", num_inference_steps=20, seed=0, callback=watch)[0]
ids = pipe.tokenizer.encode_prompt(star)
text_states, _ = pipe.encode_prompt([star])

# %%
assert len(seen) == 20
assert all(latents == velocity == (1, 16, 16, 16) for _, latents, velocity in seen)
assert len(ids) > text_states.shape[1] == len(ids) - pipe.tokenizer.prefix_length
print("20 steps, each with latents and a velocity of (1, 16, 16, 16): ok")

# %% [markdown]
# ## The film of the twenty steps
#
# What did the model expect to paint along the way? `sigma` is the share of noise in the latents,
# which falls from 1 to 0. Following a velocity to its end in one step,
# `latents - sigma * velocity`, gives the picture that the model expects at that moment, its **clean
# estimate**. The `callback` kept all twenty. Here they are, decoded, each under the `sigma` at
# which it was made; the last one is the final picture.

# %%
import torch

frames = pipe.to_pictures(torch.cat(film))
captions = [f"{number}: {sigma:.2f}" for number, (sigma, *_) in enumerate(seen, 1)]
alt = (
    "Twenty frames: a mottled red star and green square at sigma 1; they are clean from step 10 on"
)
show.grid(frames, captions, alt=alt, columns=7, scale=1)

# %%
to_go = [show.difference(frame, picture) for frame in frames]
assert to_go[0] > to_go[4] > to_go[9] > to_go[19] and to_go[19] < 1
far = ", ".join(f"{to_go[number]:.1f}" for number in (0, 4, 9, 14))
print("steps 1, 5, 10, 15 are off the picture by", far, "/ 255; step 20 ends there: ok")

# %% [markdown]
# Here is the same film with a play button. The slider selects a single frame.

# %%
moving = sliders.Film(frames, captions)
moving

# %%
at_the_end = moving.picture.value
moving.step.value = 0
assert moving.words.value == captions[0] and moving.picture.value != at_the_end
moving.step.value = 19
assert moving.picture.value == at_the_end and moving.play.value == 19
print("the first frame is the first estimate, the last one is the picture: ok")

# %% [markdown]
# Why are there fewer text states than ids? The prompt is inserted into a fixed template for the
# language model (*"Describe the image by detailing the color, shape, …"*), and the states of the
# template's first part are dropped after the forward pass. Chapters 02 and 03 explain this.
#
# ## The whole machine in fifteen lines
#
# Here is the loop, written by hand from the same parts. `pack` splits the latents into 64 *tokens*,
# small patches of 2 × 2, because a transformer works on sequences of tokens; `unpack` puts them
# back together.

# %%
from qwenimage_ref.sampler import guide, pack, sigmas, unpack


def paint_by_hand(prompt, seed=0, steps=20, true_cfg_scale=4.0):
    cond_states, _ = pipe.encode_prompt([prompt])
    uncond_states, _ = pipe.encode_prompt([" "])
    x = pack(pipe.noise(1, 128, 128, seed))  # (1, 64, 64)
    grids = [(1, 8, 8)]  # one frame, 8 rows, 8 columns of tokens
    levels = sigmas(steps, image_tokens=64, config=pipe.scheduler)
    for sigma, sigma_next in zip(levels, levels[1:]):
        cond = pipe.transformer(x, cond_states, sigma.expand(1), grids)
        uncond = pipe.transformer(x, uncond_states, sigma.expand(1), grids)
        velocity = guide(cond, uncond, true_cfg_scale)
        x = x + (sigma_next - sigma) * velocity
    return pipe.to_pictures(unpack(x, 8, 8))[0]


# %%
by_hand = paint_by_hand(star)
show.grid(
    [by_hand, picture],
    ["by hand", "pipe"],
    alt=f"Twice the same picture, by hand and by pipe, of the prompt: {star}",
)

# %%
assert show.difference(by_hand, picture) < 1
print("by hand and by pipe, mean difference under 1/255: ok")

# %% [markdown]
# There is nothing hidden in `guide`, either. Whenever this course shows code of the package, it
# takes it from the package itself, so the code you read is the code that ran:

# %%
from qwenimage_ref.sampler import euler_step

show.source(guide, euler_step)

# %% [markdown]
# ## Exercise: which word flips the picture?
#
# ★☆☆☆☆ · 3 minutes
#
# Start from *a red circle left of a blue star on a white background*. Change **one word** so that
# the two shapes swap sides and each keeps its colour. You will know it works when the checker says
# so and the second row of pictures is the first one flipped.

# %% tags=["exercise"]
my_prompt = ...  # the whole prompt, in quotes, with one word changed

# %% jupyter={"source_hidden": true}
from qwenimage_ref.course import answers, check

my_prompt = answers.unless_solved(my_prompt, answers.EX_00_WORD)
check.ex_00_word(my_prompt)

# %% [markdown]
# <details><summary>A nudge</summary>
#
# Cross out every word that a picture of a single shape would also need. Few of the twelve are left.
#
# </details>
#
# <details><summary>A hint</summary>
#
# One of the words says on which side of the star the circle is. Even if the star does not move, the
# circle can be on either side of it.
#
# </details>
#
# <details><summary>The solution</summary>
#
# `a red circle right of a blue star on a white background`. Colours and shapes stay paired, and
# only the relation changes. Although both colours are in the same sentence, the model pairs *red*
# with *circle* and not with *star*. The text states make this possible, because the state of each
# token already includes its context.
#
# </details>

# %% [markdown]
# Does the *picture* flip as well? The upper row shows four seeds of the old prompt, the lower row
# four of yours.

# %%
prompts = [check.START_00] * 4 + [my_prompt] * 4
both = pipe(prompts, " ", num_inference_steps=20, seed=[0, 1, 2, 3] * 2)
captions = [f"before, seed {seed}" for seed in range(4)] + [
    f"after, seed {seed}" for seed in range(4)
]
show.grid(both, captions, alt=f"{check.START_00}; below: {my_prompt}", scale=1)

# %%
orders = [[shape.colour for shape in read(picture).scene.shapes] for picture in both]
before = sum(order == ["red", "blue"] for order in orders[:4])
after = sum(order == ["blue", "red"] for order in orders[4:])
assert before >= 2 and after >= 2, f"read from left to right: {orders}"
print("at least 2 of 4 stand red, blue before and blue, red after: ok")

# %% [markdown]
# ## Estimate first
#
# Say a number before you open the fold; being wrong by a factor of two is a good answer.
#
# **1.** How often does the `transformer` run for one picture with 20 steps and guidance 4?
#
# <details><summary>Answer</summary>
#
# 40 times: each step runs it twice, once with your prompt and once with the empty one, so guidance
# doubles the cost of a picture. At guidance 1 it runs 20 times.
#
# </details>
#
# **2.** How many numbers does it handle in a step, compared with the numbers in the picture?
#
# <details><summary>Answer</summary>
#
# The latents are 16 × 16 × 16 = 4,096 numbers, the picture is 128 × 128 × 3 = 49,152: twelve times
# as many. The transformer works only on the small array; the `vae` supplies the rest.
#
# </details>
#
# **3.** You change one word of the prompt and keep the seed. How many of the 4,096 numbers of the
# starting noise change?
#
# <details><summary>Answer</summary>
#
# None. The noise depends on the seed alone, which is why pictures from the same seed are often
# similar in their details, whatever they show.
#
# </details>

# %%
calls = []
hook = pipe.transformer.proj_out.register_forward_hook(lambda *_: calls.append(1))
picture = pipe(star, " ", true_cfg_scale=4, num_inference_steps=20, seed=0)[0]
hook.remove()
latents = pipe.noise(1, 128, 128, seed=0)
assert (len(calls), latents.numel(), 3 * picture.width * picture.height) == (40, 4096, 49152)
print(len(calls), "runs;", latents.numel(), "numbers in the latents: ok")

# %% [markdown]
# ## What production code does differently
#
# * It runs on a GPU in bfloat16, with 1328 × 1328 pixels and 50 steps, where this page uses a CPU,
#   float32, 128 × 128 and 20.
# * A language model first rewrites your prompt into a long description. Here the model gets your
#   own words.
# * It stores the text states of the empty prompt instead of encoding it again for each picture, and
#   may run both passes of guidance as one batch.
# * It often skips guidance: *few-step* models are trained to need only one run in each step, and
#   only eight or four steps.
# * It has exactly the parts of the drawing. The class behind `pipe` loads the released 20-billion
#   weights as well, if you have them, and the tests compare it with the official code.
#
# <details><summary>Where this comes from, and what SD3 and FLUX do here</summary>
#
# * The model: [Qwen-Image technical report, Wu et al. 2025](https://arxiv.org/abs/2508.02324),
#   section 2.
# * Noise that becomes latents, and a VAE that decodes them: [Rombach et al.
#   2021](https://arxiv.org/abs/2112.10752), section 3. A transformer as the network: [DiT, Peebles
#   and Xie 2022](https://arxiv.org/abs/2212.09748), section 3.
# * Steps along a velocity: *flow matching*, [Lipman et al.
#   2022](https://arxiv.org/abs/2210.02747). The comparison with the empty prompt: *classifier-free
#   guidance*, [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598), section 3.
# * SD3 ([Esser et al. 2024](https://arxiv.org/abs/2403.03206), section 4) and
#   [FLUX.1](https://github.com/black-forest-labs/flux) consist of the same kinds of parts, but
#   encode a prompt with two or three smaller text encoders.
#
# </details>
#
# ## Try this
#
# * Ask for something that was never in a caption, such as a *brown* circle or a *cat*. What does a
#   model paint when it cannot answer "I do not know"?
# * Put the empty prompt `" "` in the text field. What is the average poster?
# * Set guidance to 8 at 4 steps, then at 20. What is the cost of the stronger guidance, and where
#   do you see it?
# * Ask for a five-letter word. In training, words had at most four letters.
# * In a terminal: `make paint PROMPT="a pink ring above a black square on a mint background"`.
#
# Capstone: `make blank` writes the package with empty functions, and `make grade` reports which of
# them work. There is nothing to write yet; each later chapter says what you can write.
#
# Next: [01 · Map of the machine](01_map_of_the_machine.ipynb), every part with its size.
