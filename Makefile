# limosa: everything a developer types. Each target sets up what it needs.
PY := .venv/bin/python

.PHONY: setup check test test-full compatibility demo bench clean

setup:
	@tools/setup

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test: setup
	tools/lanes.py

test-full: setup
	tools/full.py

# Writes docs/compatibility.md.
compatibility: setup
	tools/test full --compatibility tests/e2e/matrix/test_matrix.py tests/e2e/test_obstacles.py tests/vm/test_matrix_vm.py

demo: setup
	$(PY) tools/demo.py

bench: setup
	$(PY) bench/run.py; status=$$?; $(PY) bench/commits.py && exit $$status

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
