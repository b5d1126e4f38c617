# vst_dicom: every target does its own set-up, in $(VENV), with pip.
#   make demo    slide in, gene maps out        make demo ARGS="--once --out result"
#   make test    all tests                      make test ARGS="-k sampler"
#   make check   format, lint, types, imports   make bench   benchmark table
#   make chaos   kill processes at random       make chaos ARGS="--kills 100"

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format bench chaos pictures graph clean

help:
	@sed -n '2,5p' $(firstword $(MAKEFILE_LIST)) | sed 's/^# *//'

# $(call install,NAME,WHAT): install WHAT once for this checkout, this project file and these constraints.
define install
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "vst_dicom needs Python 3.11 to 3.13; say which: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@key="$(CURDIR) $$(cat pyproject.toml constraints.txt | cksum)"; \
	if [ "$$(cat $(VENV)/.installed-$(1) 2>/dev/null)" != "$$key" ]; then \
	  echo "installing vst_dicom ($(1)) into $(VENV); the first time takes some minutes"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$(2)" \
	    && echo "$$key" > $(VENV)/.installed-$(1); \
	fi
endef

setup:
	$(call install,runtime,.[openvino])

setup-dev:
	$(call install,dev,.[dev])

demo: setup
	@$(BIN)/vst-dicom demo $(ARGS)

test: setup-dev
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: setup-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup-dev
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: setup-dev
	@$(BIN)/python -m tests.chaos.harness $(ARGS)

pictures: setup-dev
	@$(BIN)/python -m tests.viewers.pictures docs/images

graph: setup-dev
	@$(BIN)/python docs/import_graph.py docs/imports.svg

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
