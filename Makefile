# `make` lists the targets. Each does all of its own set-up, from a fresh clone on.
#   PYTHON=python3.12 make book      another interpreter for a new .venv (3.11 or newer)
#   make grade SUBMISSIONS=folder ASSIGNMENT=2_adam ROSTER=canvas.csv
#   LINFCOURSE_REPOSITORY=owner/name make book      with source, issue and Colab buttons

PYTHON ?= python3
SCALE ?= cpu
PORT ?= 8000

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CLASSROOM := $(VENV)/.classroom
# make book SOLUTIONS=hidden: for a class; in a folder of its own
OUT := $(if $(filter hidden,$(SOLUTIONS)),build/for_students/)
PAGE := $(OUT)_build/html/index.html

SOURCES := $(sort $(wildcard book/chapters/*.md))
CHAPTERS := $(SOURCES:.md=.ipynb)

# At the sizes of this course a second thread costs time and changes the last digits.
export OMP_NUM_THREADS := 1
# The course's own .venv, wherever make was called from.
unexport PYTHONPATH VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help install book pdf slides read test lint chapters records claims colab bench assignments grade clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything that was tested together

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The course needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Could not make $(VENV). On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PY) -m pip install --quiet -r requirements.txt
	@touch $@

# A warning fails the build. Sphinx warns about a page only when it reads it, so after a failure
# its memory is thrown away: otherwise the next run would pass.
book: $(STAMP) ## build the book from the executed chapters (SOLUTIONS=hidden: without solutions)
	@LINFCOURSE_SOLUTIONS=$(SOLUTIONS) $(PY) -c 'from jupyter_book.cli.main import main; main()' build . \
	  $(if $(OUT),--path-output $(OUT)) -W -n --keep-going --quiet \
	  || { rm -rf $(OUT)_build/.doctrees; echo "The book was not built: see the warnings above."; exit 1; }
	@echo "The book is built. Open file://$(CURDIR)/$(PAGE), or serve it: make read"

pdf: book ## the whole book as one PDF, through Chromium: _build/book.pdf
	$(PY) tools/make_pdf.py _build/html _build/book.pdf

slides: book ## slides of the chapters, one HTML file each, in the built book (CHAPTER=08: one)
	$(PY) tools/make_slides.py $(OUT)_build/html $(if $(CHAPTER),--chapter $(CHAPTER))

read: book ## build the book and serve it on this machine
	@echo "http://localhost:$(PORT)/  (Ctrl-C stops)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory $(OUT)_build/html

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# One pytest run: the chapters first (they are the longest), then unit tests, doctests and the
# pages of the book in a browser.
test: lint book $(CLASSROOM) ## everything that must hold
	$(PY) -m pytest book/chapters tests linfcourse --nbval-lax --nbval-current-env \
	  -n 2 --dist loadfile --no-loadscope-reorder

chapters: $(CHAPTERS) ## run the chapters whose text changed (FORCE=1: all) and store their outputs

book/chapters/%.ipynb: book/chapters/%.md $(STAMP) $(if $(FORCE),FORCE)
	$(PY) tools/execute_chapter.py $< $(if $(FORCE),--force)

.PHONY: FORCE
FORCE:

# A killed run goes on from what it had finished: its trials lie in runs/, which git ignores.
records: $(STAMP) ## run every experiment and write its record (SCALE=cpu, gpu or paper)
	@for name in $$($(PY) -c "from linfcourse import experiments; print(*experiments.NAMES)"); do \
	  $(PY) -m linfcourse.cli run $$name --scale $(SCALE) --folder runs \
	    && cp runs/$$name-$(SCALE).json book/records/ || exit 1; done
	$(MAKE) claims

claims: $(STAMP) ## judge the records again and write the book's table of claims
	$(PY) -m linfcourse.cli claims --markdown > book/claims_table.md

colab: $(STAMP) ## run every chapter in a clean environment with Colab's versions
	$(PY) tools/colab_contract.py

bench: $(STAMP) ## measure speed and accuracy against named peers
	$(PY) -m benchmarks

# otter-grader moves none of the pins, so it lives in the same .venv; only this needs it.
$(CLASSROOM): $(STAMP)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[classroom]'
	@touch $@

assignments: $(CLASSROOM) ## make all assignments' versions and archives (ASSIGNMENT=2_adam: one)
	$(PY) -m tools.make_assignments $(ASSIGNMENT)

grade: $(CLASSROOM) ## grade a folder: make grade SUBMISSIONS=folder ASSIGNMENT=2_adam
	@test -n "$(SUBMISSIONS)" -a -n "$(ASSIGNMENT)" || { \
	  echo "Say what to grade: make grade SUBMISSIONS=folder ASSIGNMENT=2_adam"; exit 1; }
	@test -f build/assignments/$(ASSIGNMENT)/autograder.zip || $(PY) -m tools.make_assignments $(ASSIGNMENT)
	@$(PY) -m linfcourse.classroom grade build/assignments/$(ASSIGNMENT)/autograder.zip "$(SUBMISSIONS)" \
	  --out grades/$(ASSIGNMENT) $(if $(ROSTER),--roster "$(ROSTER)")

clean: ## remove what was built; .venv stays
	rm -rf _build build dist .pytest_cache .ruff_cache
