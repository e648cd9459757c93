# Two commands for a newcomer: `make quickstart` and `make test`. Each sets up what it needs in .venv.
# On a machine that should not get the default torch wheel, set PIP_EXTRA_INDEX_URL: see README.md.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
INSTALLED := .venv/.installed
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

.PHONY: help quickstart test test-core test-data test-slow test-browser static faults fuzz check clean check-cluster check-trainers check-gpu release-check install docs pages claims gallery coverage coverage-full bench

help:
	@echo "make quickstart   train a small ladder of models on text that Python carries, fit its law, write a report"
	@echo "make test         the tests (make test-slow: those that take longer)"
	@echo "make test-core    the tests of the core, in a copy without the domains"
	@echo "make faults       kill, starve and confuse a study in every way; the table of docs/reliability.md"
	@echo "make fuzz         damaged and invented files for every reader, at random and guided by coverage; half an hour"
	@echo "make test-data    the tests that read data sets which are not in the repository (LAWFUL_DATA names their folder)"
	@echo "make check        formatting, lint, types, import rules, links of the docs, then the tests"
	@echo "make test-browser  the report in headless Chromium, where there is one"
	@echo "make check-cluster  studies on a Ray and a Slurm that are started here, with faults; minutes"
	@echo "make check-trainers  ladders of transformers.Trainer, Lightning and a plain script, killed and resumed; minutes"
	@echo "make check-gpu    studies on this machine's GPU, in at most five minutes; a plain image of PyTorch is enough"
	@echo "make release-check  sdist and wheel, built, installed into an empty environment, measured and tried; a minute"
	@echo "make docs         the documentation site, into build/site"
	@echo "make pages        the pages of docs/ that are made from the code (make claims, make gallery: from runs)"
	@echo "make coverage     planted laws: do intervals hold, are claims false? into docs/statistics.md; 45 minutes"
	@echo "make bench        lawful beside its peers and this machine's limits, into docs/benchmarks.md; half an hour alone"
	@echo "make clean        remove .venv and the caches; studies in runs/ stay"

quickstart: $(INSTALLED)
	@if [ -e runs/quickstart/study.json ]; then \
	    echo "quickstart: runs/quickstart exists; going on with it (remove that folder to start over)"; \
	    $(BIN)/lawful resume runs/quickstart; \
	else \
	    $(BIN)/lawful run quickstart --out runs/quickstart; \
	fi
	@test -e runs/quickstart/report.html || { echo "quickstart: no report was written" >&2; exit 1; }
	@echo "quickstart: the report is $(CURDIR)/runs/quickstart/report.html"

# $(call written,script,page): the page whole or not at all
written = $(BIN)/python docs/make/$(1) > $(2).new && mv $(2).new $(2)

pages: $(INSTALLED)
	$(call written,errors.py,docs/errors.md)
	$(BIN)/python docs/make/notebooks.py

claims: $(INSTALLED)
	@: "$${LAWFUL_DATA:?claims: LAWFUL_DATA must name the folder of the published tables}"
	$(call written,claims.py,docs/claims.md)

# Keep another finished study first: .venv/bin/python docs/make/gallery.py record FOLDER
gallery: $(INSTALLED)
	$(BIN)/python docs/make/gallery.py

docs: $(INSTALLED)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet  # the banner of its theme, not a warning of ours
	@echo "docs: build/site/index.html"

test: $(INSTALLED)
	$(PYTEST)

test-data: $(INSTALLED)
	@: "$${LAWFUL_DATA:?test-data: LAWFUL_DATA must name the folder of the data sets}"
	$(PYTEST) -m "needs_data and not slow and not cluster and not browser"

# The core alone: a copy without the domains and their tests. The documents show the domains' studies, so their tests
# are left out. ONLY="tests/test_run.py tests/laws" for a look.
test-core: $(INSTALLED)
	@rm -rf build/core && mkdir -p build/core
	@git ls-files -z | tar --create --null --files-from=- | tar --extract --directory build/core
	@rm -rf build/core/src/lawful/domains build/core/tests/domains
	cd build/core && PYTHONPATH=src OMP_NUM_THREADS=1 $(CURDIR)/$(BIN)/python -m pytest -n $(JOBS) $(ONLY) \
	    $(foreach name,docs documents_run gallery notebooks site claims,--ignore=tests/test_$(name).py)

test-slow: $(INSTALLED)
	$(PYTEST) -m "slow and not browser and not cluster"

test-browser: $(INSTALLED)
	$(PYTEST) -n 0 -m browser tests/browser

faults: $(INSTALLED)
	LAWFUL_FAULTS_TABLE=docs/reliability.md $(PYTEST) -n 0 -m "not cluster" tests/faults

fuzz: $(INSTALLED)
	LAWFUL_FUZZ_EXAMPLES=$${EXAMPLES:-1000} LAWFUL_FUZZ_TABLES=5000 LAWFUL_FUZZ_TRACKERS=15000 $(PYTEST) tests/fuzz
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt atheris
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/coverage_guided.py --seconds $${SECONDS_EACH:-60}

# $(call step,name,command): says what runs, and which step failed.
define step
@echo "check: $(1)"; $(2) || { echo "check: FAILED at: $(1)" >&2; exit 1; }
endef

check: static
	$(call step,tests,$(PYTEST) --ignore=tests/test_docs.py)
	@echo "check: all passed"

static: $(INSTALLED)
	$(call step,formatting,$(BIN)/ruff format --check .)
	$(call step,lint,$(BIN)/ruff check .)
	$(call step,types,$(BIN)/mypy)
	$(call step,import rules,$(BIN)/lint-imports)
	$(call step,links of the docs,$(PYTEST) -n 0 -q tests/test_docs.py)
	$(call step,documentation site,NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet)

# The one slow test, which waits for a time limit of Slurm's own: pytest -n 0 -m "cluster and slow" tests/executors
# Installs Ray and submitit. Slurm itself is the system's: without it those tests say so, and submitit's stand-in is used.
check-cluster: $(INSTALLED)
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt --editable ".[ray,slurm]"
	@command -v slurmctld > /dev/null || test -x /usr/sbin/slurmctld || echo "check-cluster: no Slurm on this machine;" \
	    "on Debian, as root: apt-get install --no-install-recommends slurm-wlm slurm-wlm-basic-plugins munge"
	LAWFUL_FAULTS_TABLE=docs/reliability.md $(PYTEST) -n 0 -v -m "cluster and not slow" tests/executors

# In an environment of its own, which nothing of lawful's needs.
TRAINERS := build/trainers/bin
check-trainers: $(INSTALLED)
	@test -x $(TRAINERS)/python || $(BIN)/python -m venv build/trainers
	@PIP_CONSTRAINT=constraints.txt $(TRAINERS)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint constraints.txt --editable . torch transformers accelerate lightning pytest
	OMP_NUM_THREADS=1 $(TRAINERS)/python -m pytest -v -m trainers tests/trainers

# Installs nothing. Without .venv it takes the python3 in the PATH, as in an image of PyTorch; what that lacks of what
# the parts need is fetched into build/wheels. PARTS="--skip compiled --skip graphs", or --only, chooses; a rehearsal
# without a GPU: PARTS="--device cpu"
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
check-gpu:
	@for package in numpy scipy safetensors; do \
	    $(GPU_PYTHON) -c "import $$package" 2> /dev/null || PYTHONPATH= $(GPU_PYTHON) -m pip download --quiet --no-deps \
	        --disable-pip-version-check --only-binary :all: --dest build/wheels "$$package" \
	        || echo "check-gpu: no $$package here, and none could be fetched" >&2; \
	done
	PYTHONPATH=src $(GPU_PYTHON) tests/gpu/check_gpu.py --wheels build/wheels $(PARTS)

# Into dist/. Nothing of .venv is used but its Python.
release-check: $(INSTALLED)
	$(BIN)/python release/check.py

install: $(INSTALLED)

# Prints `usable` in a Python that is; else its last line says why not. It must run in any Python, 2.7 too.
SUPPORTED := import sys; v = sys.version_info[:2]; \
    v < (3, 11) and sys.exit("it is Python %d.%d, which is too old" % v); \
    v > (3, 13) and sys.exit("it is Python %d.%d, which lawful has not been tested with" % v); \
    import ensurepip, venv; print("usable")

$(INSTALLED): pyproject.toml constraints.txt
	@if ! [ -x $(BIN)/python ] || [ "$$($(BIN)/python -c '$(SUPPORTED)' 2> /dev/null)" != usable ]; then \
	    python=""; \
	    for candidate in $${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do \
	        if ! command -v "$$candidate" > /dev/null; then why="there is no such program"; \
	        else \
	            why="$$("$$candidate" -c '$(SUPPORTED)' 2>&1 | tail -n 1)" || true; \
	            if [ "$$why" = usable ]; then python="$$candidate"; break; fi; \
	        fi; \
	        echo "install: $$candidate cannot be used: $${why:-it does not answer as a Python does}" >&2; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "install: lawful needs Python 3.11, 3.12 or 3.13, and none of those above is one. Install one" \
	            "(https://www.python.org/downloads/, or your system's packages), or say where it is:" \
	            "make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	        exit 1; \
	    fi; \
	    echo "install: making .venv with $$("$$python" --version)"; rm -rf .venv; "$$python" -m venv .venv; \
	fi
	@echo "install: getting the pinned packages (torch is the large one; minutes on a slow line)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --upgrade pip
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	    $(BIN)/python -m pip install --constraint constraints.txt --editable ".[train,dev]" \
	    | { grep -v "already satisfied" || true; }
	@touch $@
	@echo "install: done"

# TABLES: of each cell; fewer for a look. SEED: another draw of every table
coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py --tables $${TABLES:-400} --seed $${SEED:-0}

coverage-full: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py --tables $${TABLES:-2000} --seed $${SEED:-0}

# NANOGPT: a clone of nanoGPT, for the comparison with its loop
bench: $(INSTALLED)
	$(BIN)/python benchmarks/overheads.py
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/commands.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/attained.py 2> /dev/null
	$(BIN)/python benchmarks/quickstart.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/data_parallel.py
	@if [ -n "$(NANOGPT)" ]; then $(BIN)/python benchmarks/throughput.py --nanogpt "$(NANOGPT)"; \
	    $(BIN)/python benchmarks/throughput.py --nanogpt "$(NANOGPT)" --loss; else \
	    echo "bench: not run: training beside nanoGPT; git clone https://github.com/karpathy/nanoGPT FOLDER," \
	        "then make bench NANOGPT=FOLDER"; fi

clean:
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
