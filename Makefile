# One command for all checks: make check
.PHONY: check lint types test docs tables format

check: lint types test docs

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	pytest -n auto --dist loadfile

docs:
	mkdocs build --strict --quiet

tables:
	python docs/extensions/method_tables.py

format:
	ruff check --fix .
	ruff format .
