# longarm: every target sets up .venv first when it has to; `make` alone lists the targets.
PY ?= python3
V := .venv/bin


.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench bench-long docs soak wheel clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.done ## make .venv with the console script `longarm` in it
.venv/.done: pyproject.toml
	@test -x $(V)/python || $(PY) -m venv .venv
	@$(V)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup ## the main job on practice hosts and this machine: diagnose, repair one, report, case
	@$(V)/python -m console.demo

test: setup ## all tests; says in one line what this machine cannot run
	@$(V)/python -m pytest -q -n auto --dist loadgroup

lint: setup ## ruff, mypy --strict, the layer test
	@$(V)/ruff check . && $(V)/ruff format --check . && $(V)/mypy && $(V)/python -m pytest -q tests/test_layers.py

TABLES := run questions canned hostile scale
LONG_TABLES := inventories bastion detached repairs journal plans sampled hung service windows profiled

bench: setup ## figures, as tables: the peers, our own questions, canned hosts, hostile ones, memory and 10,000 hosts (needs root and gcc)
	@for table in $(TABLES); do printf '\n== bench.%s\n' $$table; $(V)/python -m bench.$$table || exit; done

bench-long: bench ## every table there is: inventories, slow lines, changes, the store, the service, Windows hosts, a profile as well
	@for table in $(LONG_TABLES); do printf '\n== bench.%s\n' $$table; $(V)/python -m bench.$$table || exit; done

docs: setup ## run every example in README.md and docs/
	@$(V)/python -m pytest -q tests/docs

soak: setup ## the long forms: thousands of kills, cuts, random answers
	@LONGARM_SOAK=1 $(V)/python -m pytest -q -n auto --dist loadgroup --timeout=7200

wheel: setup ## build the wheel into dist/
	@$(V)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what the targets made
	rm -rf .venv dist build demo .mypy_cache .ruff_cache
