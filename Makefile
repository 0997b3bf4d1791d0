.DEFAULT_GOAL := help
.PHONY: help install format check test quick report

help: ## list these
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

install: ## a virtual environment with everything
	python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[dev]'

format: ## mend what can be mended
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

check: ## linters, types, layers
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

test: ## all tests, and how much of the code they run
	.venv/bin/pytest -n 2 --dist loadfile --cov=batch --cov=model --cov=jobs --cov-report=term:skip-covered

quick: ## the tests that failed last, then the others, up to the first failure
	.venv/bin/pytest --failed-first --exitfirst

report: ## annotate the photographs in ./photos and make a page of them
	.venv/bin/annotate photos && .venv/bin/annotate-report annotations
