# make port         set up and run the main job: port the examples to the NPU, into build/npu
# make test         set up and run all tests and checks: about 10 minutes on 2 cores
# make test TESTS=tests/porter    set up and run one part of the tests, and the checks: about 5 minutes once set up
# make test-readme  run every command of the README that can run here, the installations from an index among them
# make test-torch TORCH=2.7.1     the tests of emulator and redirect, and one of verify, on that torch, in an environment
#                   of its own below build/, or in the one that TORCH_VENV names
# make lint         the checks alone: ruff and mypy
# make golden       write the expected outputs under tests/golden anew, for review (hand-written ones stay)
# make bench        run the benchmarks
# make dist         build both wheels, to be published or carried to another machine, into dist
#
# Needs Python (3.10 to 3.14), pip, make, gcc and g++. PYTHON=python3.12 chooses another Python.

PYTHON ?= python3
TESTS ?=
BIN := .venv/bin
WHEELHOUSE := build/wheelhouse
# A test that hangs is named, with where it waits, and ends the run; so does one that takes its process down.
HANGS := -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true --max-worker-restart=0
BENCHMARKS := porter_speed porter_sweep emulator_block compat_cost emulator_opinfo \
	pipeline_import load_memory offload_cost dit_speed vae_speed qwen_speed z_image_speed

# Stamp files say what .venv and the wheelhouse hold, so that a second run does not ask pip again.
BASE := .venv/base.stamp
DEV := .venv/dev.stamp
WHEELS := $(WHEELHOUSE)/stamp

.PHONY: port test test-torch test-readme lint golden bench dist clean

port: $(BASE)
	$(BIN)/diffsynth-port examples/ --target npu --output build/npu --jobs 2

test: $(DEV) $(WHEELS)
	@echo "$(if $(TESTS),The tests in $(TESTS),All tests: about 10 minutes on 2 cores (make test TESTS=tests/porter: a part of them)), then ruff and mypy."
	$(BIN)/python -m pytest -n auto --dist loadfile $(HANGS) $(TESTS)
	@$(MAKE) lint

test-torch:
	$(PYTHON) tools/tests_on_torch.py $(TORCH)

test-readme: $(DEV) $(WHEELS)
	$(BIN)/python -m pytest -s -n 0 -m "slow or not slow" tests/packaging/test_readme_commands.py

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

golden: $(DEV)
	$(BIN)/python tests/golden/regenerate.py

bench: $(DEV)
	set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name; done

dist: $(DEV)
	DIFFSYNTH_PORT_RELEASE=1 $(BIN)/python -m build --wheel --outdir dist .
	$(BIN)/python -m build --wheel --outdir dist packaging/pipelines

clean:
	rm -rf .venv build dist

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BASE): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --editable .
	touch $@

$(DEV): pyproject.toml packaging/pipelines/pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --editable '.[dev]' --constraint constraints.txt
	touch $(BASE) $@

# Everything that installing this checkout takes, so that the tests of pre-commit and of `make port` need no network.
$(WHEELS): pyproject.toml constraints.txt | $(BIN)/python
	rm -rf $(WHEELHOUSE)
	$(BIN)/python -m pip wheel --wheel-dir $(WHEELHOUSE) --constraint constraints.txt . hatchling editables
	rm $(WHEELHOUSE)/diffsynth_port-*.whl
	touch $@
