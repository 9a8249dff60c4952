# Two commands a newcomer needs: `make demo` and `make test`. Both create .venv from the lock.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test bench lint lock clean

demo: $(READY) ## run the sweep on the embedded demo data
	$(RUN) -m sweeps.run coco_hsplid

test: $(READY) ## run all tests, two files at a time: sweeps on a real Ray wait more than they work
	@# In their order: the cluster's test is the longest, and would come last as a file of one test.
	$(RUN) -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

bench: $(READY) ## measure speed and memory, as ratios
	$(RUN) -m tests.benchmarks

lint: $(READY) ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lock: $(READY) ## pin what pyproject.toml asks for, with hashes and without addresses
	$(VENV)/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
		--quiet --output-file requirements.lock

clean: ## remove the environment and all results
	rm -rf $(VENV) runs

# The project itself is installed last and without its dependencies: the lock has them all. Its
# build tool is in the lock too, so nothing is resolved anew. The peers that tests compare with
# pin outdated packages of their own, so they come without those.
$(READY): requirements.lock requirements-peers.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-peers.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)
