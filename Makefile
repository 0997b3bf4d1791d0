.DEFAULT_GOAL := help
.PHONY: help install format check test nightly mutants backends quick report wheel man

help: ## list these
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

install: ## a virtual environment with everything
	python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[dev]'

format: ## mend what can be mended
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .

check: ## linters, types on each system, layers
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/mypy --platform win32 && .venv/bin/mypy --platform darwin && .venv/bin/lint-imports

test: ## all tests, and how much of the code they run
	.venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder --cov=batch --cov=model --cov=jobs --cov-report=term:skip-covered

nightly: ## all tests, with a hundred kills instead of twenty, every call on the output failing once, and emulated stores
	.venv/bin/pip install --quiet adlfs gcsfs gcp-storage-emulator
	! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --prefix .azurite azurite
	PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.azurite/node_modules/.bin:$$PATH" ANNOTATE_KILLS=100 ANNOTATE_FAULTS=9999 .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

mutants: ## plant small defects and count those that no test notices; MUTANTS="model.data.split*" picks some
	.venv/bin/pip install --quiet mutmut && .venv/bin/mutmut run $(MUTANTS)

wheel: ## build the wheel, and try it in a bare environment
	.venv/bin/pip wheel --quiet --no-deps --wheel-dir dist . && python3 -m venv .venv-bare
	.venv-bare/bin/pip install --quiet dist/*.whl && .venv-bare/bin/annotate --version

backends: ## the networks on JAX, beside TensorFlow and ONNX Runtime
	.venv/bin/pip install --quiet jax && .venv/bin/pytest tests/test_backends.py

man: ## manual pages of the commands in dist/man
	.venv/bin/python docs/manual.py dist/man

quick: ## the tests that failed last, then the others, up to the first failure
	.venv/bin/pytest --failed-first --exitfirst

report: ## annotate the photographs in ./photos and make a page of them
	.venv/bin/annotate photos && .venv/bin/annotate-report annotations
