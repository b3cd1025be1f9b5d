# Two commands: `make demo` and `make test`. Each sets up .venv from uv.lock if that is needed.
# Only python3 (3.11) and make are expected on the machine.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin
CORES ?= 2
READY := .venv/.ready

.PHONY: help demo real test lint format bench notebook clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "neurovis needs Python 3.11 (brain-score's pins); found $$($(PYTHON) --version). Give PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --frozen --all-extras --inexact --compile-bytecode --quiet
	@touch $(READY)

# A run that was killed leaves its lock behind; what it finished is kept and the rest goes on.
UNLOCK = test -z "$$(ls .snakemake/locks 2>/dev/null)" || $(BIN)/snakemake --unlock --quiet all

demo: $(READY)  ## simulate, analyse and report: results/report.html, about 8 minutes on two cores
	@$(UNLOCK)
	$(BIN)/snakemake --profile pipelines/profiles/local --cores $(CORES)
	@echo "Report: $(CURDIR)/results/report.html"

real: $(READY)  ## the same rules on the real data under NEUROVIS_SHARED: results/report_real.html
	@$(UNLOCK)
	$(BIN)/snakemake real --profile pipelines/profiles/local --cores $(CORES)
	@echo "Report: $(CURDIR)/results/report_real.html"

test: $(READY)  ## the default test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile

lint: $(READY)  ## formatting, lint rules, types, workflow style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy neurovis
	$(BIN)/snakefmt --check Snakefile pipelines
	$(BIN)/snakemake --lint --quiet > /dev/null

format: $(READY)  ## rewrite the code in the house format
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile pipelines

bench: $(READY)  ## side-by-side benchmarks against the peers, printed as ratios
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

notebook: $(READY)  ## open the notebooks
	$(BIN)/python -m jupyter lab notebooks

clean:  ## remove results and logs, keep the environment
	rm -rf results logs .snakemake
