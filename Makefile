# Two commands a newcomer needs: `make demo` and `make test`. Both create .venv from the locks.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --disable-pip-version-check
COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --quiet

# What running needs, and what tests, checks and benchmarks need besides.
READY_RUN := $(VENV)/.ready-run
READY_DEV := $(VENV)/.ready-dev

.PHONY: demo test faults slurm-test bench bench-gpu lint lock clean

demo: $(READY_RUN) ## run the sweep on the embedded demo data
	$(RUN) -m sweeps.run coco_hsplid

test: $(READY_DEV) ## run all tests, three files at a time: sweeps on a real Ray wait more than they work
	@# In their order: the cluster's test is the longest, and would come last as a file of one test.
	$(RUN) -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

faults: $(READY_DEV) ## kill processes of sweeps at random, 100 times: up to three hours
	$(RUN) -m tests.kill_series $(FAULTS_OPTIONS)

slurm-test: $(READY_DEV) ## run sweeps on a real SLURM of two nodes, as root (apt-get install slurm-wlm munge)
	SLURM_TESTS=1 $(RUN) -m pytest -q tests/slurm $(PYTEST_OPTIONS)

bench: $(READY_DEV) ## measure speed and memory, as ratios
	$(RUN) -m tests.benchmarks

# A machine that is lent with a GPU has a Python of its own: make bench-gpu GPU_PYTHON=python3
bench-gpu: $(if $(GPU_PYTHON),,$(READY_DEV)) ## measure training steps, HSIC and images a second on a GPU
	$(or $(GPU_PYTHON),$(RUN)) -m tests.benchmarks.gpu $(BENCH_GPU_OPTIONS)

lint: $(READY_DEV) ## check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lock: $(READY_DEV) ## pin what pyproject.toml asks for, with hashes and without addresses
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra dev --constraints requirements.lock --output-file requirements-dev.lock \
		$$(sed -n 's/^\([^ =]*\)==.*/--no-emit-package \1/p' requirements.lock)

clean: ## remove the environment and all results
	rm -rf $(VENV) runs

# The project itself is installed last and without its dependencies: the lock has them all. Its
# build tool is in the lock too, so nothing is resolved anew.
$(READY_RUN): requirements.lock pyproject.toml
	@echo "Installing what running needs into $(VENV): about 6.5 GB, most of it PyTorch with CUDA."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $(READY_RUN)

# These locks hold what comes on top of the first; the peers that tests compare with pin outdated
# packages of their own, so they come without those.
$(READY_DEV): $(READY_RUN) requirements-dev.lock requirements-peers.lock
	@echo "Installing what tests and checks need besides into $(VENV): about 1.3 GB more."
	$(INSTALL) --no-deps --require-hashes --requirement requirements-dev.lock
	$(INSTALL) --no-deps --require-hashes --requirement requirements-peers.lock
	touch $(READY_DEV)
