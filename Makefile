# make demo: see it work.  make test: all checks.  make lint: the quick ones.
# Each target makes its own virtual environment; PYTHON=python3.12 picks another interpreter.

PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: demo test lint clean

.venv/ready: pyproject.toml $(wildcard runtime/native/*.c runtime/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

# Synthesise a set, train on it, quantise, judge a strip that was never seen, and compare.
demo: .venv/ready
	rm -rf $(DEMO)
	$(BIN)/defectgate synthesize --out $(DEMO)/set
	$(BIN)/defectgate synthesize --out $(DEMO)/strip --strip 200 --seed 1
	$(BIN)/defectgate train --data $(DEMO)/set --epochs 12 --out $(DEMO)/run
	$(BIN)/defectgate export --int8 --model $(DEMO)/run --out $(DEMO)/bundle
	$(BIN)/defectgate runtime --camera $(DEMO)/strip/images/test --bundle $(DEMO)/bundle \
		--out $(DEMO)/verdicts.jsonl --save-overlays $(DEMO)/overlays
	$(BIN)/defectgate evaluate --model $(DEMO)/bundle --data $(DEMO)/strip \
		--verdicts $(DEMO)/verdicts.jsonl --json $(DEMO)/metrics.json
	@echo "A picture of what was found: $$(ls $(DEMO)/overlays/*.png | head -n 1)"

test: lint
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info $(DEMO) runtime/_native*.so
