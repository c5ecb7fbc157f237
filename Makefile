# The one task runner, for people and for CI. `make` alone lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Installed first: a plain `torch` may bring gigabytes of CUDA libraries. `make TORCH=torch` for those.
TORCH  ?= torch==2.13.0

.DEFAULT_GOAL := help
BENCH  := .venv-bench
.PHONY: help install demo docs test test-all fuzz test-gpu lint format typecheck bench bench-gpu results clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

install: $(VENV)/.installed ## make the virtual environment and install qrnn in it

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: install ## train on the digits, evaluate on four devices, print one table
	$(BIN)/python examples/demo.py

# The theme's notice of its end of life (May 2027) is dealt with in docs/architecture.md.
# Not --quiet: it hides warnings from --strict.
docs: install ## build the documentation into build/site, with warnings as errors
	$(BIN)/python docs/hooks/device_tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: install lint typecheck ## lint, type check and run the tests but for the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"

test-all: install lint typecheck ## all tests, the slow ones and the random ones too; before a release
	$(BIN)/python -m pytest -n 2 --dist loadscope
	$(MAKE) fuzz

fuzz: install ## random command lines, checkpoints, circuits and kills; prints any failing seed
	cd tests && ../$(BIN)/python -m fuzz

SEES_GPU := -c "import sys, torch; sys.exit(not torch.cuda.is_available())"

test-gpu: install ## the Triton kernels' tests on a GPU; skipped in one line where there is none
	@if $(BIN)/python $(SEES_GPU); then QRNN_TEST_GPU=1 $(BIN)/python -m pytest tests/test_triton.py; \
	else echo "skipped: torch sees no GPU"; fi

# TorchQuantum in an environment of its own, held to the versions of the main one.
$(BENCH)/.installed: $(VENV)/.installed
	mkdir -p build
	$(BIN)/python -m pip freeze --exclude-editable > build/constraints.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet "$(TORCH)"
	$(BENCH)/bin/python -m pip install --quiet --editable . torchquantum-ng -c build/constraints.txt
	touch $@

bench: $(BENCH)/.installed ## time the fused device against its peers (half an hour; docs/benchmarks)
	$(BENCH)/bin/python benchmarks/speed.py

bench-gpu: $(BENCH)/.installed ## time the fused device on a GPU (docs/benchmarks/gpu.json)
	$(BENCH)/bin/python benchmarks/gpu.py

results: install ## make the missing runs of docs/results.md (ARGS="--dry-run" lists them, --data DIR)
	$(BIN)/python -m benchmarks.results $(ARGS)

lint: install ## ruff: formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: install ## ruff: rewrite the files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# mypy cannot follow package-dir, so it gets a folder of links laid out as in the wheel.
typecheck: install ## mypy
	rm -rf build/types && mkdir -p build/types/qrnn
	ln -s $(CURDIR)/qrnn/* build/types/qrnn/
	ln -s $(CURDIR)/devices build/types/qrnn/devices
	ln -s $(CURDIR)/configs build/types/qrnn/configs
	cd build/types && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p qrnn

clean: ## remove the environment, builds and caches (never runs/)
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
