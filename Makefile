# Everything that a person does with this checkout. `make help` lists it.
PYTHON ?= python3
POETRY := $(PYTHON) tools/run_poetry.py
RUN := .venv/bin
INSTALLED := .venv/.installed
SERVING := .venv/.serving
IMAGE := tate-embeddings
HOST_PORT := 8002
MINUTES := 30
KILLS := 50

.DEFAULT_GOAL := help
.PHONY: help install demo dev run run-local logs stop restart check format test openapi docs example-django example-photos packages sbom licences chaos soak test-long bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## everything a developer needs, into .venv

$(INSTALLED): pyproject.toml poetry.lock tools/run_poetry.py
	$(POETRY) install --compile --no-interaction
	@touch $@ $(SERVING)

$(SERVING): pyproject.toml poetry.lock tools/run_poetry.py
	$(POETRY) install --only main --compile --no-interaction
	@touch $@

demo: $(SERVING)  ## a searchable gallery of generated artworks on the bundled model, on port 8002
	PORT=$(HOST_PORT) $(RUN)/tate-embeddings demo

dev: $(INSTALLED)  ## a server on port 8002 that reloads when a file changes
	$(RUN)/uvicorn app.main:app --reload --reload-dir app --port $(HOST_PORT)

run-local: $(INSTALLED)  ## the service on port 8002, without Docker
	PORT=$(HOST_PORT) $(RUN)/tate-embeddings serve

run:  ## the service in Docker, on port 8002, with the settings of .env
	docker build --tag $(IMAGE) $(addprefix --build-arg ,$(shell grep -E '^(MODEL_NAME|PRETRAINED)=.' .env 2>/dev/null)) .
	docker rm --force $(IMAGE) 2>/dev/null || true
	docker run --detach --name $(IMAGE) --env-file .env --env HOST=0.0.0.0 --env PORT=8000 \
		--env MODEL_CACHE_DIR=/models --publish $(HOST_PORT):8000 $(IMAGE)

logs:  ## what the service in Docker writes
	docker logs --follow $(IMAGE)

stop:  ## end the service in Docker
	docker rm --force $(IMAGE) 2>/dev/null || true

restart: stop run  ## end it and start it again

check: $(INSTALLED)  ## lint, types, and the direction of imports
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: $(INSTALLED)  ## let ruff mend what it can
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

test: $(INSTALLED)  ## the whole test suite, with branch coverage
	$(RUN)/coverage erase
	$(RUN)/coverage run -m pytest --numprocesses auto --maxprocesses 4 --max-worker-restart 0 --dist loadfile
	$(RUN)/coverage combine --quiet
	$(RUN)/coverage report

openapi: $(INSTALLED)  ## write docs/openapi.json anew, after an intended change of the API
	$(RUN)/python -m tools.write_openapi

docs: $(INSTALLED)  ## write the tables of docs/configuration.md anew, after a change of the settings
	$(RUN)/python -m tools.write_configuration

example-django: $(INSTALLED)  ## a museum's site with Wagtail, on the bundled model, on port 8010
	$(RUN)/python clients/django/example/run.py

example-photos: $(INSTALLED)  ## a Node app with customers' photos in PostgreSQL, on the bundled model
	$(RUN)/python -m tools.show_customer_photos

packages: $(INSTALLED)  ## what callers install, for Python, Django and Node, into dist/
	$(POETRY) build --project clients/python --format wheel --output $(CURDIR)/dist
	$(POETRY) build --project clients/django --format wheel --output $(CURDIR)/dist
	$(RUN)/python -m tools.pack_node_client dist

sbom: $(INSTALLED)  ## write dist/sbom.cdx.json: what serves, with checksums, in CycloneDX's form
	$(RUN)/python -m tools.write_sbom

licences: $(INSTALLED)  ## write docs/licences.md anew, after a change of poetry.lock
	$(RUN)/python -m tools.write_licences

chaos: $(INSTALLED)  ## what each fault costs, one after the other: two minutes
	$(RUN)/python -m tests.endurance chaos

soak: $(INSTALLED)  ## a mixed load among faults, and whether anything is lost, wrong or leaks: MINUTES=30
	$(RUN)/python -m tests.endurance soak --minutes $(MINUTES)

test-long: $(INSTALLED)  ## what takes too long for every change: the tests, a catalogue killed KILLS times, chaos, and the soak
	$(MAKE) test
	KILLS=$(KILLS) $(RUN)/pytest tests/catalogue/test_kills.py
	$(MAKE) chaos
	$(MAKE) soak

bench: $(INSTALLED)  ## speed beside a straightforward service and the machine's limits, as tables: an hour
	$(RUN)/python -m benchmarks

clean:  ## remove what the other targets made here
	rm -rf .venv .poetry .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist
