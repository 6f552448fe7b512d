.DEFAULT_GOAL := help

install: ## editable install with everything the tests need
	pip install -e '.[test]'

test: ## the whole test suite
	pytest

lint: ## ruff, cython-lint, mypy: check only
	ruff check .
	ruff format --check .
	cython-lint loadgen sut
	mypy

fmt: ## let ruff format and fix
	ruff format .
	ruff check --fix .

size: ## lines of code per package
	@for p in engine evaluators loadgen multirun sut tests; do \
		printf '%-12s %6d\n' $$p $$(find $$p -name '*.py' -o -name '*.pyx' -o -name '*.pxd' | xargs cat | wc -l); done

clean: ## remove what building leaves behind
	rm -rf build dist *.egg-info loadgen/*.cpp loadgen/*.so sut/*.cpp sut/*.so

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

.PHONY: install test lint fmt size clean help
