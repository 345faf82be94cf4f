# Two commands need nothing but Python 3.11, a C++20 compiler and make: `make train` and `make test`. The first run sets
# everything up (.venv, torch, WasmEdge, the wasm tool chain, the wheel); later runs rebuild only what changed.
#
#   make train ARGS="--epochs 3"   arguments for `wasmgrad train`
#   make train TORCH_INDEX=URL     one more package index, for a smaller build of torch than the default one (CPU only)
#   make fuzz SECONDS_EACH=600     each fuzz target for ten minutes; needs clang with libFuzzer
#   make dev                       an installation that follows the Python sources: no build after a change of .py files
#   make site                      the documentation as a site, in build/site
#   make test | bench | lint | asan | tsan | fuzz | clean

PYTHON ?= python3
ARGS ?=
export TORCH_INDEX
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)

SECONDS_EACH ?= 60
# 0: other changes of the inputs each time.
SEED ?= 0
# clang 14, which Debian 12 calls clang, cannot read its own C++20 library.
CLANG ?= $(firstword $(shell command -v clang-19 clang))
CONFIGURE_ASAN = $(if $(CLANG),,$(error This needs clang with libFuzzer. On Debian and Ubuntu: apt-get install clang-19 libclang-rt-19-dev)) \
  cmake --preset asan -G Ninja -DCMAKE_C_COMPILER=$(CLANG) -DCMAKE_CXX_COMPILER=$(subst clang,clang++,$(CLANG))

SOURCES := $(shell find cpp guests python cmake tools -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml
CPP_FILES = $(shell find cpp guests tests tools benchmarks -name '*.[ch]' -o -name '*.[ch]pp')
RUST_FILES = $(shell find guests tests -name '*.rs' -not -path '*/target/*')
# Where scikit-build-core keeps the native build between installs.
BUILD_DIR = $(firstword $(wildcard build/cp3*))

.PHONY: train dev test site bench lint asan tsan fuzz clean

train: .venv/.wheel
	@wasmgrad train $(ARGS)

dev: .venv/.development
	pip install -v --no-deps --no-build-isolation --editable .
	@touch .venv/.wheel

test: .venv/.wheel .venv/.testing
	cmake -S . -B $(BUILD_DIR) -DWASMGRAD_BUILD_TESTS=ON
	cmake --build $(BUILD_DIR) --target all tests/cpp/all
	ctest --test-dir $(BUILD_DIR) --output-on-failure
	WASMGRAD_BUILD_DIR=$(abspath $(BUILD_DIR)) pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

site: .venv/.wheel .venv/.testing
	mkdocs build

bench: .venv/.wheel .venv/.development
	pytest benchmarks $(ARGS)

lint: .venv/.wheel .venv/.development
	ruff check .
	ruff format --check .
	mypy
	clang-format --dry-run -Werror $(CPP_FILES)
	! command -v rustfmt || rustfmt --check --edition 2021 --config-path guests $(RUST_FILES)
	python tools/tidy.py $(BUILD_DIR)

asan: .venv/.testing
	$(CONFIGURE_ASAN)
	cmake --build --preset asan
	ctest --preset asan

tsan: .venv/.requirements
	cmake --preset tsan -G Ninja
	cmake --build --preset tsan
	ctest --preset tsan

fuzz: .venv/.requirements
	$(CONFIGURE_ASAN)
	cmake --build --preset fuzz
	python tests/fuzz/run.py build/asan --seconds $(SECONDS_EACH) --seed $(SEED)

clean:
	rm -rf build dist .venv/.wheel

.venv/.requirements: pyproject.toml tools/make_venv.py
	$(PYTHON) tools/make_venv.py build runtime
	@touch $@

.venv/.testing: .venv/.requirements
	$(PYTHON) tools/make_venv.py test compile docs
	@touch $@

.venv/.development: .venv/.testing
	$(PYTHON) tools/make_venv.py bench dev
	@touch $@

.venv/.wheel: .venv/.requirements $(SOURCES)
	pip install -v --no-deps --no-build-isolation .
	@touch $@
