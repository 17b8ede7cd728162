# Every command of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run serve test lint format unit lock bench model clean
BIN := .venv/bin

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

run: ## set up everything and serve: local demo model, scripted cloud, SQLite; prints a key and lines to try
	@tools/setup.sh run
	@exec $(BIN)/bailiwick demo $(ARGS)

serve: ## serve what bailiwick.yaml says, without the demo's key and hints
	@tools/setup.sh run
	@exec $(BIN)/bailiwick serve $(ARGS)

test: ## set up everything that the tests need, and run all of them with the linters
	@tools/setup.sh test
	@$(MAKE) --no-print-directory check-code
	@$(BIN)/python -m pytest $(ARGS)

lint: ## formatting, lint, types, layering
	@tools/setup.sh test
	@$(MAKE) --no-print-directory check-code

.PHONY: check-code
check-code:
	@echo "▸ ruff"; $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "▸ mypy --strict"; $(BIN)/mypy && $(BIN)/mypy --strict --config-file= --python-version 3.11 sdk/src/bailiwick
	@echo "▸ layers"; $(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: ## put the code into its format
	@tools/setup.sh test
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

unit: ## the tests alone: make unit ARGS="tests/policy -x"
	@$(BIN)/python -m pytest $(ARGS)

bench: ## the overhead benchmark against its peers (docs/performance.md)
	@tools/setup.sh test
	@$(BIN)/python -m benchmarks.overhead $(ARGS)

lock: ## resolve the dependencies anew into requirements/*.lock
	@tools/setup.sh test
	@tools/lock.sh

model: ## train and export the demo model anew (tools/demo_model/README.md)
	@tools/demo_model/make.sh

clean: ## remove what was built; the state in .state stays
	@rm -rf .venv .cache build dist *.egg-info
