# Everything happens in .venv, which the targets make for themselves.
PYTHON ?= python3.11
# Arguments for pip that choose the build of torch, such as --index-url with an index of CPU builds.
PIP_TORCH_ARGS ?=
# cpu or cuda. With cpu, an installation that would fetch a CUDA build (several GB) stops and says so.
TORCH ?= cpu
# What the demo runs; more arguments through ARGS, such as ARGS="--trials 100".
ARGS ?=
# More arguments for pytest, such as PYTEST_ARGS="-k pareto".
PYTEST_ARGS ?=

# Release of ONNX Runtime Web that `make web` fetches.
WEB_VERSION ?= 1.30.0
WEB := .web/onnxruntime-web

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup setup-dev web demo test test-all check format lint types clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/' | expand -t 18

setup: $(INSTALLED) ## make .venv and install what a search needs

setup-dev: $(INSTALLED_DEV) ## the same, with what tests and checks need

web: ## fetch ONNX Runtime Web (npm, 33 MB, once), which is measured in a headless Chromium
	@command -v npm >/dev/null || { echo "npm is needed (Debian: apt install npm)" >&2; exit 1; }
	rm -rf $(WEB) && mkdir -p $(WEB)
	npm pack --silent --pack-destination .web onnxruntime-web@$(WEB_VERSION)
	tar -xzf .web/onnxruntime-web-$(WEB_VERSION).tgz -C $(WEB) --strip-components=1 package/package.json \
		$(addprefix package/dist/,ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm)
	rm .web/onnxruntime-web-$(WEB_VERSION).tgz

demo: $(INSTALLED) ## search networks for a Jetson Nano within 20 ms on the embedded images
	$(BIN)/python -m nas.search --device jetson-nano --budget 20ms $(ARGS)

test: $(INSTALLED_DEV) ## run the tests that are fast
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-all: $(INSTALLED_DEV) ## run all tests: whole searches, killed workers, a two-node cluster
	$(BIN)/python -m pytest --hypothesis-profile default $(PYTEST_ARGS)

check: lint types test ## everything a change must pass: format, lint, types, layers, fast tests

format: $(INSTALLED_DEV) ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(INSTALLED_DEV) ## format, lint and the order of the layers, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(INSTALLED_DEV) ## static types; strict on nas/core
	$(BIN)/mypy
	$(BIN)/mypy --strict -p nas.core

clean: ## remove .venv and caches, never runs/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) was not found: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(INSTALLED): pyproject.toml requirements.lock | $(BIN)/python
	$(call install,.)
	@touch $@

$(INSTALLED_DEV): pyproject.toml requirements.lock | $(BIN)/python
	$(call install,.[dev])
	@touch $(INSTALLED) $@

# torch first, so that nothing of a CUDA build is fetched before it is known which build pip would take
define install
@if [ -n "$(PIP_TORCH_ARGS)" ]; then \
	$(PIP) install --no-deps -c requirements.lock $(PIP_TORCH_ARGS) torch; \
elif [ "$(TORCH)" = cpu ] && ! $(PIP) show --quiet torch 2>/dev/null \
	&& $(PIP) install --dry-run --quiet --no-deps -c requirements.lock --report - torch | grep -qE '"(nvidia|cuda)-'; then \
	echo 'pip would fetch a CUDA build of torch (several GB). Choose one:' >&2; \
	echo '  CPU: make $(firstword $(MAKECMDGOALS) setup) PIP_TORCH_ARGS="--index-url URL", with the URL that pytorch.org/get-started shows for CPU' >&2; \
	echo '  GPU: make $(firstword $(MAKECMDGOALS) setup) TORCH=cuda' >&2; \
	exit 1; \
fi
$(PIP) install -c requirements.lock -e '$(1)'
@$(BIN)/python -c 'import sys, torch; build = torch.version.cuda; cuda = "$(TORCH)" == "cuda"; \
print(f"torch {torch.__version__}"); \
build and not cuda and print("warning: this is a CUDA build of torch; the README says how to get the CPU build", file=sys.stderr); \
cuda and not build and print("warning: TORCH=cuda was asked for, but this torch has no CUDA: make clean, then again", file=sys.stderr)'
endef
