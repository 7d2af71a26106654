# `make demo` and `make test` are all that is needed; `make help` lists the rest.
# PYTHON names the interpreter that .venv is made with; PYTEST_ARGS goes to pytest,
# CAMPAIGN_ARGS to the campaigns.
PYTHON ?=
PYTEST_ARGS ?=
CAMPAIGN_ARGS ?= all --long --results campaigns.jsonl
export PYTHON

PROVISION := tests/provision
VENV := .venv/bin
step = @printf '== %s\n' "$(1)" >&2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench bench-before campaigns doctor lint provision format references pytest install install-dev clean

help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name words; do \
		printf '  make %-11s %s\n' "$$name" "$$words"; done

demo: install ## install into .venv and show a variable survive kill -9 of its worker and of the server
	$(call step,demo: embedded server and worker and a real WebSocket)
	@$(VENV)/bascule demo

test: provision install-dev lint pytest ## provision; then lint and types and import rules and references and all tests

bench: provision install-dev ## measure Bascule and its baselines side by side
	@$(PROVISION)/environment local,speed,dev,bench
	$(call step,bench: let the machine do nothing else meanwhile)
	@$(VENV)/python -m loadtests $(BENCH_ARGS)

bench-before: provision install-dev ## whether the hot path is slower than at the revision BEFORE=…
	$(call step,bench-before: this version and $(BEFORE) in turns; let the machine do nothing else meanwhile)
	@$(VENV)/python -m loadtests.versions --before $(BEFORE) $(BENCH_ARGS)

campaigns: provision install-dev ## kill what sessions must survive, for hours, and judge what clients saw
	$(call step,campaigns: $(CAMPAIGN_ARGS))
	@$(VENV)/python -m tests.durability.campaign $(CAMPAIGN_ARGS)

doctor: install ## tell what this machine has and lacks
	@$(VENV)/bascule doctor

lint: install-dev ## formatting and lint rules and types and import rules and generated references
	$(call step,lint: ruff)
	@$(VENV)/ruff check --quiet .
	@$(VENV)/ruff format --quiet --check . || { $(VENV)/ruff format --check .; exit 1; }
	$(call step,types: mypy --strict)
	@$(VENV)/mypy --no-error-summary
	$(call step,import rules: import-linter)
	@words="$$($(VENV)/lint-imports 2>&1)" || { printf '%s\n' "$$words"; exit 1; }
	$(call step,references: docs/reference is what tables and commands and tests say)
	@$(VENV)/python -m replwire.reference --check
	@$(VENV)/python -m orchestrator.reference --check
	@$(VENV)/python -m orchestrator.transports.rest.openapi --check
	@$(VENV)/python -m tests.support.catalogue --check

pytest: install-dev ## the tests alone (docker and redis and bubblewrap as they are)
	$(call step,tests: pytest)
	@$(VENV)/python -m pytest $(PYTEST_ARGS)

format: install-dev ## format the sources and mend what ruff can mend
	@$(VENV)/ruff check --quiet --fix . ; $(VENV)/ruff format --quiet .

references: install-dev ## write the generated pages of docs/reference again
	@$(VENV)/python -m replwire.reference
	@$(VENV)/python -m orchestrator.reference
	@$(VENV)/python -m orchestrator.transports.rest.openapi
	@$(VENV)/python -m tests.support.catalogue
	@$(VENV)/python -m orchestrator.runtimes.syscalls > worker-image/seccomp.json

provision: ## system packages (apt-get; as root) and a Docker engine and the worker images
	@$(PROVISION)/packages python docker redis bubblewrap tmux curl nginx
	@$(PROVISION)/engine start
	@$(PROVISION)/images

install:
	@$(PROVISION)/environment local,speed

install-dev:
	@$(PROVISION)/environment local,speed,dev

clean: ## end the tests' Docker engine and remove .venv and caches and test state
	@$(PROVISION)/engine stop
	@rm -rf .venv .bascule-test .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
