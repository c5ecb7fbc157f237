# The task runner, for people and for CI. `make` without a target lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BENCH  := .venv-bench
LOWEST := .venv-lowest
NEWEST := .venv-newest
EXTRAS := .venv-extras

.DEFAULT_GOAL := help
.PHONY: help install demo hardware-first-run docs test test-all test-lowest test-newest test-extras fuzz \
	test-gpu lint format typecheck kernels bench bench-gpu results forecasting dist lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

install: $(VENV)/.installed ## create the virtual environment and install qrnn in it

# pip is upgraded because --group needs 25.1.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[ibm,kokkos,data]" --group dev
	touch $@

demo: install ## train on the digits, compare four settings in a table and a picture
	$(BIN)/python examples/demo.py

hardware-first-run: install ## run the demo's model on IBM hardware within 60 QPU s (BACKEND=ibm_fez)
	$(BIN)/python examples/hardware_first_run.py $(BACKEND)

# NO_MKDOCS_2_WARNING hides the theme's end-of-life notice (May 2027); see docs/architecture.md.
# Not --quiet, which hides warnings from --strict.
docs: install ## build the documentation into build/site, with warnings as errors
	$(BIN)/python docs/hooks/device_tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Whole modules to a worker, as their fixtures cost; in the order of conftest.py, the longest first.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 10

test: install ## lint, type check and run all but the slow tests
	$(MAKE) --jobs 2 kernels lint typecheck
	$(PYTEST) -m "not slow"

test-all: install ## run all tests, the fuzz tests, and the core tests of other versions
	$(MAKE) --jobs 2 kernels lint typecheck
	$(PYTEST)
	$(MAKE) fuzz test-lowest test-newest test-extras

# A separate kernel cache, so that other numba versions do not overwrite the checkout's kernels.
CORE = NUMBA_CACHE_DIR="$(CURDIR)/$(1)/kernels" $(1)/bin/python -m pytest -m core \
	$$(grep -rl --include='test_*.py' 'mark\.core' tests)

test-lowest: $(LOWEST)/.installed ## run the core and IBM tests with the lowest allowed versions
	$(call CORE,$(LOWEST))
	$(LOWEST)/bin/python -m pytest tests/devices/ibm tests/devices/test_qiskit_plugin.py

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	test -x $(LOWEST)/bin/python || python3.11 -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	$(LOWEST)/bin/python -m pip install --quiet -c constraints-lowest.txt \
		-e ".[ibm,qiskit-plugin,kokkos,data]" --group core
	touch $@

# Extras whose own requirements do not fit those of the constraints, in an environment of their own.
test-extras: $(EXTRAS)/.installed ## run the tests of sweeps, loggers, sktime and the Hub
	$(EXTRAS)/bin/python -m pytest tests/cli/test_sweeps.py tests/training/test_loggers.py \
		tests/estimators tests/evaluation/test_hub.py

$(EXTRAS)/.installed: pyproject.toml
	test -x $(EXTRAS)/bin/python || $(PYTHON) -m venv $(EXTRAS)
	$(EXTRAS)/bin/python -m pip install --quiet --upgrade pip
	$(EXTRAS)/bin/python -m pip install --quiet "$(TORCH)" \
		-e ".[optuna,ray,wandb,mlflow,sktime,hub]" --group core
	touch $@

# The newest torch may pull in gigabytes of CUDA libraries; `make test-newest TORCH=torch` uses it.
TORCH ?= torch==2.13.0

test-newest: ## run the core and IBM tests with the newest allowed versions
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade pip
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager \
		"$(TORCH)" -e ".[ibm,kokkos,data]" --group core
	$(call CORE,$(NEWEST))
	$(NEWEST)/bin/python -m pytest tests/devices/ibm

fuzz: install ## run the fuzz tests (command lines, checkpoints, circuits, kills); print failing seeds
	cd tests && ../$(BIN)/python -m fuzz

SEES_GPU := -c "import sys, torch; sys.exit(not torch.cuda.is_available())"

test-gpu: install ## run the Triton kernel tests on a GPU; skipped without one
	@if $(BIN)/python $(SEES_GPU); then QRNN_TEST_GPU=1 $(BIN)/python -m pytest tests/memory/test_triton.py; \
	else echo "skipped: torch sees no GPU"; fi

# The peers in a separate environment, with the versions of the main one.
$(BENCH)/.installed: $(VENV)/.installed
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet -c constraints.txt -e . torchquantum-ng jax tensorcircuit-ng
	touch $@

bench: $(BENCH)/.installed ## benchmark the fused device against its peers (half an hour; docs/benchmarks)
	$(BENCH)/bin/python benchmarks/speed.py

bench-gpu: $(BENCH)/.installed ## benchmark the fused device on a GPU (docs/benchmarks/gpu.json)
	$(BENCH)/bin/python benchmarks/gpu.py

results: install ## run what docs/results.md lacks or is stale (ARGS="--data DIR"; --dry-run lists, --page only writes)
	$(BIN)/python -m benchmarks.results $(ARGS)

forecasting: install ## run what docs/forecasting.md lacks (ARGS="--data DIR"; --page only writes it)
	$(BIN)/python -m benchmarks.forecasting $(ARGS)

# Before the workers of the tests start: each would compile them for itself.
kernels: kernels-float32 kernels-float64

kernels-%: install
	cd tests && ../$(BIN)/python -m helpers.compile_kernels $*

lint: install ## check formatting, lint and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

format: install ## format and fix the files with ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# mypy cannot follow package-dir, so it gets a folder of links laid out as in the wheel.
typecheck: install ## check the types with mypy
	rm -rf build/types && mkdir -p build/types/qrnn
	cd build/types/qrnn && ln -s ../../../qrnn/* ../../../devices ../../../configs .
	cd build/types && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p qrnn

dist: install ## build and check the release files in dist/
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# Triton and CUDA's libraries are left out of constraints.txt: torch says which ones it needs.
# The lowest versions: each lower bound of pyproject.toml, with the newest of what those need. Old
# ibm-platform-services, which cannot be built any more, must not be tried.
lock: install ## write constraints.txt from this environment, and constraints-lowest.txt
	$(BIN)/python -m pip freeze --all --exclude-editable | sed -nE 's/^([^ @]+==[^+]*).*/\1/p' \
		| grep -vE '^(pip|uv|triton|nvidia-.*|cuda-.*)==' > constraints.txt
	$(BIN)/python -m pip install --quiet uv
	mkdir -p build
	sed -nE 's/^ *"([a-z0-9-]+)(\[[a-z]+\])?>=([0-9.]+).*/\1==\3/p' pyproject.toml > build/bounds.txt
	$(BIN)/uv pip compile --quiet --python-version 3.11 --no-header --no-annotate -c build/bounds.txt \
		--only-binary ibm-platform-services \
		--extra ibm --extra qiskit-plugin --extra kokkos --extra data --group core pyproject.toml \
		| grep -vE '^(nvidia-|cuda-)' > constraints-lowest.txt

clean: ## remove environments, builds and caches (never runs/)
	rm -rf $(VENV) $(BENCH) $(LOWEST) $(NEWEST) $(EXTRAS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
