# The front door: `make demo`, `make test`. Both make .venv when it is missing.
TORCH := torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# The first Python from 3.11 to 3.13 that is there and can make environments.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
# Without an NVIDIA GPU the CPU build is enough, and gigabytes smaller; its index is asked beside the usual one.
TORCH_INDEX := $(shell nvidia-smi >/dev/null 2>&1 || echo --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu)
DEMO := demo
STUDY := study
FEDERATION := federation

.PHONY: help install demo federation study study-privacy test test-ci test-shuffled test-all reliability docs figures sample
.PHONY: lint types wheels lock clean

help:
	@echo 'make demo      simulate four hospital sites and fine-tune a dementia classifier across them'
	@echo 'make federation  three hospitals on one machine, on Flower: real processes, TLS, keys'
	@echo 'make study     the published study made small, then encoders compared, on simulated sites'
	@echo 'make study-privacy  what differential privacy costs on the sites of the demo'
	@echo 'make test      the quick part of the test suite, about four minutes'
	@echo 'make test-ci   the rest of what has to pass before a change lands: whole runs, browsers, killed processes'
	@echo 'make test-all  all tests, the slow ones, too'
	@echo 'make test-shuffled  the test suite in a random order'
	@echo 'make reliability  damage, kill and starve everything, and count what happens: about an hour and a half'
	@echo 'make docs      the documentation as a site, in build/site'
	@echo 'make figures   every image and the sample report of README and docs; make sample: the quick part of it'
	@echo 'make install   only make $(VENV)'
	@echo 'make wheels    a folder from which machines without internet can install'
	@echo 'make lint types lock clean'

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo 'fedtune3d needs Python 3.11, 3.12 or 3.13 with venv; none was found on the PATH (set PYTHON=…)'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(TORCH_INDEX) $(TORCH)
	$(BIN)/python -m pip install --constraint requirements.lock --editable '.[dev]'
	@touch $@

demo: install
	@test -f $(DEMO)/experiment.yaml || $(BIN)/fedtune3d simulate $(DEMO) --sites 4 --scans 200 --seed 1 --no-next
	@echo 'make demo now prepares the scans, then trains and evaluates: some minutes each'
	$(BIN)/fedtune3d prepare $(DEMO)/experiment.yaml
	$(BIN)/fedtune3d run $(DEMO)/experiment.yaml --resume

federation: install
	$(BIN)/python examples/federation.py $(FEDERATION)

study: install
	@test -f $(STUDY)/experiment.yaml || $(BIN)/fedtune3d simulate $(STUDY) --sites 3 --scans 90 --seed 1 --no-next
	$(BIN)/fedtune3d benchmark examples/study_simulated.yaml --workers 2
	@if test -f $(STUDY)/weights/model.pth; then cp examples/study_encoders.yaml $(STUDY)/encoders.yaml; else \
		echo 'Structure volumes are left out: their weights are not in $(STUDY)/weights (fedtune3d weights fetch volumes).'; \
		sed '/encoder: volumes/d' examples/study_encoders.yaml >$(STUDY)/encoders.yaml; fi
	$(BIN)/fedtune3d benchmark $(STUDY)/encoders.yaml --workers 2

study-privacy: install
	@test -f $(DEMO)/experiment.yaml || $(BIN)/fedtune3d simulate $(DEMO) --sites 4 --scans 200 --seed 1 --no-next
	$(BIN)/fedtune3d benchmark examples/study_privacy.yaml --workers 2

# Two processes, each of one thread: more threads only wait for each other. RANDOM_SEED=… repeats a shuffled order.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-ci: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'ci and not slow'

test-shuffled: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow' --random-order --random-order-seed=$(or $(RANDOM_SEED),$(shell date +%s))

test-all: install
	$(BIN)/python -m pytest -m 'slow or not slow'

reliability: install
	$(BIN)/python tests/reliability/run_all.py

# Strict: a broken link, an anchor that is not there or a page that is not in the menu fails it. Asks for no network.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'open build/site/index.html; its search works only behind a server: python -m http.server --directory build/site'

sample: install
	$(BIN)/python tests/support/sample_report.py build/sample

figures: sample demo study
	cp $(DEMO)/run/figures/auc_per_site.png docs/figures/demo_auc_per_site.png
	cp $(STUDY)/results/figures/auc_by_rule.png docs/figures/study_auc_by_rule.png
	cp $(STUDY)/results/figures/trade_off.png docs/figures/study_trade_off.png

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install
	$(BIN)/mypy

wheels: install
	$(BIN)/python -m pip wheel --wheel-dir wheels --constraint requirements.lock $(TORCH_INDEX) $(TORCH) '.[flower,lora,raw]'
	$(BIN)/python examples/deploy/lock_wheels.py wheels

lock:
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--no-emit-package torch --no-emit-package triton pyproject.toml | grep -v -E '^(nvidia|cuda)-' > requirements.lock

clean:
	rm -rf $(VENV) build/site build/sample $(DEMO) $(FEDERATION) $(STUDY) reliability .pytest_cache .mypy_cache .ruff_cache
