# The project's commands; `make` alone lists them.

PYTHON ?= python3
# where pip looks for torch, when the usual place holds the wrong build (for one: CUDA or not)
TORCH_INDEX ?=
# careful: plain `=`, so that an environment that happens to have one of these names does not win
PROMPT = a red circle left of a blue star on a white background
OUT = out.png

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
TORCH := $(shell grep '^torch==' requirements.lock)
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
FIRST := $(notdir $(wildcard notebooks/00_*.ipynb))

.DEFAULT_GOAL := help
.PHONY: help setup lab test test-slow durations mutate checkers oracles paint train notebooks derived page student teacher variants syllabus site blank grade clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## install everything into .venv (a moment if nothing changed)

# torch comes first and alone: resolved together with the rest, it can drag in a second build.
# JupyterLab would look for newer versions and for news: nothing here reaches the network unasked.
# nbgrader's panels belong to a teacher's own course folder; here they only complain that it is not.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	    "$(PYTHON) is missing or older than 3.11; try: make setup PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") $(TORCH)
	$(BIN)/python -m pip install -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	$(BIN)/jupyter labextension disable @jupyterlab/apputils-extension:announcements
	$(BIN)/jupyter labextension disable @jupyter/nbgrader
	$(BIN)/jupyter server extension disable --sys-prefix nbgrader.server_extensions.formgrader
	@touch $@

# Without a display JupyterLab prints its address instead of opening a text browser; it refuses to
# run as root (the user of most containers) unless told.
lab: setup ## open the course in JupyterLab
	@headless=; if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; \
	    then headless=--no-browser; fi; \
	root=; if [ "$$(id -u)" = 0 ]; then root=--allow-root; fi; \
	exec $(BIN)/jupyter lab --ServerApp.root_dir=notebooks \
	    $(if $(FIRST),--LabApp.default_url=/lab/tree/$(FIRST)) $$headless $$root

# The files that take longest, half of the whole time.
SLOW := tests/evaluate/test_held_out_numbers.py \
    tests/course/test_browser.py tests/course/test_checkers_whole.py \
    tests/serve/test_page_in_browser.py tests/cli/test_train_sharded.py \
    tests/cli/test_train_killed.py tests/cli/test_streamed_and_packed.py \
    tests/train/test_sharded_memory.py tests/train/test_streamed_base.py \
    tests/train/test_sharded_checkpoints.py tests/train/test_sharded_training.py \
    tests/train/test_memory_of_modes.py \
    tests/curation/test_ray.py tests/parity/test_bench_objectives.py \
    tests/pocket/test_editor.py tests/pocket/test_students.py \
    tests/pocket/test_pocket_train.py tests/course/test_editions.py \
    tests/evaluate/test_score.py tests/parity/test_ladder.py \
    $(addprefix notebooks/,09_text_to_image.ipynb 10_lora.ipynb \
    11_gallery_of_wrong_answers.ipynb 12_train_your_own.ipynb \
    13_is_it_any_good.ipynb 20_few_steps.ipynb 21_precision.ipynb \
    23_image_to_image_and_inpainting.ipynb 24_editing.ipynb 25_control.ipynb \
    26_regions.ipynb 27_layers.ipynb 28_outliers.ipynb 30_preference.ipynb \
    31_reward.ipynb 32_distillation.ipynb 33_image_to_lora.ipynb 34_look_inside.ipynb \
    36_work_split_over_processes.ipynb 37_the_data.ipynb \
    95_what_qwen_image_2_1_changed.ipynb)
# A notebook's cells share a kernel, so loadfile keeps each file on one of the two workers.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
    --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg
test: setup ## run the tests, and the notebooks against their stored outputs, without the slow ones
	$(PYTEST) tests $(addprefix --ignore=,$(filter tests/%,$(SLOW))) $(filter-out $(SLOW),$(NOTEBOOKS))

test-slow: setup ## run the files that take longest
	$(PYTEST) $(wildcard $(SLOW))

durations: setup ## run everything and record how long each file takes, which orders later runs
	$(PYTEST) tests $(NOTEBOOKS) --durations-record

FILE =
N = 20
SEED = 0
mutate: setup ## change one thing at a time; does a test fail? FILE="A.py B.py" [N=20] [SEED=0]
	PYTHONPATH=.:tests $(BIN)/python -m helpers.mutate $(FILE) --count $(N) --seed $(SEED)

checkers: setup ## does a small change of a solution pass its checker? data/measurements/checkers.json
	PYTHONPATH=.:tests $(BIN)/python -m helpers.exercise_mutants

oracles: setup ## how far from others' code are control, regions and layers? site/pages/parity.md
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python -m helpers.oracles

# careful: the sentence travels through the environment and as it was typed, so that neither a quote
# nor a dollar in it means anything to make or to the shell
unexport PROMPT OUT
paint: export PAINT_PROMPT := $(value PROMPT)
paint: export PAINT_OUT := $(value OUT)
paint: setup ## paint a sentence: make paint PROMPT="..." [OUT=out.png]
	@$(BIN)/qwenimage paint "$$PAINT_PROMPT" -o "$$PAINT_OUT"

# glibc gives the memory of every large tensor back to the system and takes it again, page by page;
# kept instead, a training step took 1.6 s where it had taken 2.7 (no effect without glibc)
KEEP := MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=8589934592 THP_MEM_ALLOC_ENABLE=1
train: setup ## train the pocket model (hours; goes on where it stopped)
	$(KEEP) $(BIN)/qwenimage train pocket --to data/pocket

notebooks: setup ## build and run notebooks/*.ipynb from notebooks/src
	$(BIN)/python -m qwenimage_ref.course.diagrams
	$(BIN)/python -m qwenimage_ref.course.publish.build

derived: setup ## make again all that depends on the weights: pictures, records, notebooks
	$(BIN)/python -m qwenimage_ref.course.publish.derive
	$(MAKE) notebooks

page: setup ## make the pictures of the page in data/pictures again, in Chromium
	PYTHONPATH=.:tests $(BIN)/python -m helpers.page_pictures

# Neither overwrites a notebook that somebody has worked in.
TO =
student: setup ## write the notebooks without solutions to editions/student [TO=folder]
	@$(BIN)/python -m qwenimage_ref.course.publish.editions student $(if $(TO),"$(TO)")

teacher: setup ## write them solved, with minutes and points, to editions/teacher [TO=folder]
	@$(BIN)/python -m qwenimage_ref.course.publish.editions teacher $(if $(TO),"$(TO)")

variants: setup ## write second variants of the exercises, without and with answers [TO=folder]
	@$(BIN)/python -m qwenimage_ref.course.publish.variants $(if $(TO),"$(TO)")

syllabus: setup ## print the course in six and in twelve weeks, with minutes and points
	@$(BIN)/python -m qwenimage_ref.course.publish.syllabus

REPOSITORY =
site: setup ## make the course a static site, site/_build/index.html [REPOSITORY=owner/name]
	@$(BIN)/python site/build.py $(if $(REPOSITORY),--repository "$(REPOSITORY)")

blank: setup ## the capstone: a copy of the package with the model left to write [TO=folder]
	@$(BIN)/python -m qwenimage_ref.course.publish.capstone blank $(if $(TO),"$(TO)")

OF =
PART =
grade: setup ## compare what you wrote with the reference, part by part [OF=folder] [PART=mmdit]
	@$(BIN)/python -m qwenimage_ref.course.publish.capstone grade $(if $(OF),"$(OF)") \
	    $(if $(PART),--part "$(PART)")

clean: ## remove .venv, site and caches; training states in runs/ stay
	rm -rf $(VENV) *.egg-info site/_build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
