# GNU make 4.3 or later. `make` alone lists the targets.

PYTHON ?= python3
TORCH ?= torch==2.13.0

PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BIN := .venv/bin
# Another Python, or a newer pyproject.toml, makes this file out of date; nothing else does.
INSTALLED := .venv/.installed-$(PYTHON_VERSION)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help setup demo test check lint types imports audit bandit sbom advisories tools loadtest peers growth chaos tables soak images imagetest pythons docs reference figure clean
.NOTPARALLEL:

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: $(INSTALLED) ## make .venv with everything installed; nothing to do when it is up to date

$(INSTALLED): pyproject.toml
	@case "$(PYTHON_VERSION)" in 3.11|3.12|3.13) ;; *) \
	  echo "$(PYTHON) is Python '$(PYTHON_VERSION)', expected 3.11 to 3.13; name another with: make PYTHON=python3.12" >&2; exit 1;; esac
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python$(PYTHON_VERSION)-venv" >&2; exit 1; }
	@rm -f .venv/.installed-*
	@test "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(PYTHON_VERSION)" \
	  || $(PYTHON) -m venv --clear .venv
	@echo "setup 1/2: $(TORCH), the long download"
	@$(PIP) install "$(TORCH)"
	@echo "setup 2/2: kshot and what its development needs"
	@$(PIP) install --editable ".[dev]"
	@touch $@

demo: setup ## train on the demo data if need be, serve it on 127.0.0.1:8000
	@exec $(BIN)/kshot demo

test: setup tools ## run the tests
	@$(BIN)/python -m pytest

check: setup lint types imports bandit sbom test ## what CI runs: lint, types, import rules, security, tests

lint: setup ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup ## mypy, strict
	@$(BIN)/mypy
	@$(BIN)/mypy --strict loadtests
	@$(BIN)/mypy --strict deploy/images
	@$(BIN)/mypy --strict docs/tools

imports: setup ## import-linter: the layers of both packages
	@$(BIN)/lint-imports

audit: bandit sbom advisories ## security: bandit, bill of materials, known advisories

bandit: setup
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml service model_store

# What is installed, torch and the tools included, in CycloneDX's format.
sbom: setup
	@mkdir -p build
	@$(BIN)/cyclonedx-py environment --no-validate --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json .venv
	@echo "bill of materials: build/sbom.json"

# Not part of CI: it asks a service on the internet, whose answer changes without any change here.
advisories: setup
	@mkdir -p build
	@$(BIN)/pip-audit --local --skip-editable --progress-spinner off --timeout 15 --format json 2>build/pip-audit.log \
	  | $(BIN)/python .ci/advisories.py

# Tests and load tests use these; without root, those that need an absent one say so and are skipped.
# RUNLEVEL=1 keeps Debian from starting the Redis that is only wanted as a program.
tools:
	@command -v redis-server >/dev/null && command -v wrk >/dev/null && command -v strace >/dev/null \
	  && command -v chromium >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing redis-server, wrk, strace and chromium for the tests"; \
	  apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
	    apt-get -qq install redis-server wrk strace chromium >/dev/null; \
	else \
	  echo "redis-server, wrk, strace or chromium is absent: the tests that need it are skipped"; \
	fi

loadtest: setup tools ## measure a service under load, and adaptation and scoring alone; takes minutes
	@$(BIN)/python -m loadtests throughput
	@$(BIN)/python -m loadtests graphs

peers: setup tools ## measure kshot beside other recommenders, each in its own environment; takes ten minutes
	@$(BIN)/python -m loadtests comparison

growth: setup tools ## measure up to a million items and five million users; needs 16 GB, takes half an hour
	@$(BIN)/python -m loadtests growth --keep build/bundles
	@$(BIN)/python -m loadtests swap --keep build/bundles
	@$(BIN)/python -m loadtests worker-memory --keep build/bundles

chaos: setup tools ## run the chaos tests in full, at most 15 minutes; writes docs/results/reliability.md
	@mkdir -p build
	@$(BIN)/python -m pytest tests/chaos -m chaos --chaos-size long --verbose --junitxml build/chaos.xml; broken=$$?; \
	PYTHONPATH=. $(BIN)/python tests/chaos/report.py build/chaos.xml && exit $$broken

tables: setup ## 20,000 messy tables for each property of reading data, instead of 200: takes about twenty minutes
	@$(BIN)/python -m pytest tests/model_store/tables/test_any_table.py --tables 20000

soak: setup tools ## run for half an hour at 70% of the highest rate; writes loadtests/results/soak.json
	@$(BIN)/python -m loadtests soak --minutes 30 --json loadtests/results/soak.json

docs: setup ## build the documents as a site, offline, into build/docs; a warning is an error
	@$(BIN)/python -m sphinx -W -n --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "documents: build/docs/index.html"

reference: setup ## rewrite what the documents take from the code: settings, commands, routes, errors, metrics
	@$(BIN)/python docs/tools/reference.py

figure: setup ## draw the README's figure from REPORT=…/report.json of a bundle
	@$(BIN)/python docs/tools/figure.py $(REPORT)

# ENGINE=buildah, IMAGE_PYTHON=3.13 and TORCH_INDEX=… choose; without an engine this needs root on Debian.
images: ## build both container images, with Docker or Podman, or with neither and no registry
	@$(PYTHON) deploy/images/build_images.py $(if $(ENGINE),--engine $(ENGINE)) $(if $(IMAGE_PYTHON),--python $(IMAGE_PYTHON)) \
	  $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

imagetest: setup ## build both images and run the compose file's services, for real; takes ten minutes
	@$(BIN)/python -m pytest tests/deploy --deploy-size long

pythons: setup ## install, serve and run the service's tests under the other Pythons that can be had here
	@$(BIN)/python deploy/images/check_pythons.py

clean: ## remove .venv, caches and build leftovers; bundles and users' data stay
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
