# `make` alone lists what there is. Python tools run from .venv, which `make setup` creates.

PYTHON ?= python3
BOARD ?= stm32f746
RUN ?= runs/$(BOARD)
ENGINE ?=
WITH_ENGINE = $(if $(ENGINE),--engine $(ENGINE))

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MCOFA := $(BIN)/mcofa

# The data set of the demo, and what compiles, emulates and flashes firmware.
SYSTEM_PACKAGES := dataset-fashion-mnist gcc-arm-none-eabi libnewlib-arm-none-eabi \
                   libstdc++-arm-none-eabi-newlib make g++ qemu-system-arm openocd

# $(call apt_install,PACKAGES): installs them as root, or says what to type. Never fails.
define apt_install
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "Installing" $(1) >&2; \
  apt-get -qq update || true; \
  for package in $(1); do \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$$package" >/dev/null \
      || echo "warning: could not install $$package" >&2; \
  done; \
else \
  echo "Missing system packages; install them with:" >&2; \
  echo "  sudo apt-get install -y" $(1) >&2; \
fi
endef

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: BOARD=$(BOARD) RUN=$(RUN) ENGINE=$(ENGINE) (tflm or aot; empty: the run's) PYTHON=$(PYTHON)"

.PHONY: setup
setup: system $(STAMP) ## create .venv and install everything; once

.PHONY: system
system:
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=; \
	for package in $(SYSTEM_PACKAGES); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null)" = installed ] \
	    || missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] || { $(call apt_install,$$missing); }

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "mcofa needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make setup PYTHON=python3.11" >&2; \
	  exit 1; }
	@package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call apt_install,$$package); }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null
	$(PYTHON) -m venv --clear $(VENV)

$(STAMP): pyproject.toml | $(BIN)/pip
	@echo "Installing mcofa and its dependencies into $(VENV) (about 5 GB, a few minutes)" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@

.PHONY: demo
demo: setup ## search, export, evaluate, verify, check the arena, render firmware, report
	$(MCOFA) search --board $(BOARD) --out $(RUN)
	$(MCOFA) export $(RUN)
	$(MCOFA) evaluate $(RUN)
	$(MCOFA) verify $(RUN)
	$(MCOFA) arena-check $(RUN) --board $(BOARD)
	$(MCOFA) firmware $(RUN) --board $(BOARD)
	$(MCOFA) report $(RUN)

.PHONY: test
test: setup ## every test, the slow ones too, but the recipes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

.PHONY: recipes
recipes: setup ## run what the long pages of the docs tell to type, training on few images included (20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m recipe

.PHONY: lint
lint: $(STAMP) ## style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(STAMP) ## rewrite the sources in the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Scripts that need a file, write into docs/ or train for hours, and their modules.
NO_BENCHMARKS := $(patsubst %,benchmarks/%.py,accuracy_chart evidence inherited_against_alone \
	aot_against_tflm aot_code_bytes count_aot_instructions compare_supernets space_designs span_picture) $(wildcard benchmarks/*_table.py benchmarks/zoo_*.py)

.PHONY: bench
bench: setup ## every benchmark
	@for benchmark in $(filter-out $(NO_BENCHMARKS),$(wildcard benchmarks/*.py)); do echo "== $$benchmark"; $(BIN)/python "$$benchmark" || exit 1; done

.PHONY: paper-table
paper-table: setup ## search the paper's table anew and write it into docs/
	$(BIN)/python benchmarks/paper_table.py

.PHONY: zoo-table
zoo-table: setup ## fine-tune and measure what the zoo has for its arena budgets and both engines, into docs/ (hours)
	$(BIN)/python benchmarks/zoo_table.py

# What a run lacks is made.
$(RUN)/manifest.json: | setup
	$(MCOFA) search --board $(BOARD) $(WITH_ENGINE) --out $(RUN)

$(RUN)/network.tflite: | $(RUN)/manifest.json
	$(MCOFA) export $(RUN) $(WITH_ENGINE)

.PHONY: firmware
firmware: setup $(RUN)/network.tflite ## firmware project for BOARD and ENGINE from RUN
	$(MCOFA) firmware $(RUN) --board $(BOARD) $(WITH_ENGINE)

.PHONY: emulate
emulate: setup $(RUN)/network.tflite ## build it and run its self-test in QEMU
	$(MCOFA) firmware $(RUN) --board $(BOARD) $(WITH_ENGINE) --emulate

.PHONY: flash
# The project that was written last: without ENGINE its folder is named after the run's engine.
flash: firmware ## build it and write it to the board (DRY_RUN=1 only prints the command)
	$(MAKE) -C "$$(ls -td $(RUN)/firmware/$(BOARD)-$(or $(ENGINE),*)/ | head -1)" flash

.PHONY: clean
clean: ## remove build output and caches; runs/ and .venv stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
