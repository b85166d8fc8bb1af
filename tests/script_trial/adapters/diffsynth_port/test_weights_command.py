"""`python -m script_trial weights`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from script_trial.__main__ import main
from script_trial.adapters.diffsynth_port.catalogue import MODELS

ROOT = Path(__file__).resolve().parents[3]
SMALL = "Wan-AI/Wan2.1-T2V-1.3B"
CONVERTED = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
TINY = ["--width", "128", "--layers", "1"]


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(main, ["weights", *arguments], env=environment)


def test_a_model_and_the_files_it_is_redirected_to(tmp_path):
    result = run(SMALL, "--output", str(tmp_path), *TINY)
    assert result.exit_code == 0, result.output
    written = [Path(line.split("  ")[0]) for line in result.output.splitlines()]
    assert written == [path for path in written if path.is_file()]
    assert {path.relative_to(tmp_path).as_posix() for path in written} >= {
        f"{SMALL}/diffusion_pytorch_model.safetensors",
        f"{SMALL}/google/umt5-xxl/tokenizer.json",
        f"{CONVERTED}/Wan2.1_VAE.safetensors",
    }


def test_it_writes_to_the_model_tree_of_the_environment(tmp_path):
    assert run(CONVERTED, *TINY, DIFFSYNTH_MODEL_BASE_PATH=str(tmp_path)).exit_code == 0
    assert (tmp_path / CONVERTED / "Wan2.1_VAE.safetensors").is_file()


def test_again_changes_nothing_and_other_values_need_force(tmp_path):
    output = ["--output", str(tmp_path), *TINY]
    assert run(CONVERTED, *output).exit_code == run(CONVERTED, *output).exit_code == 0
    target = tmp_path / CONVERTED / "Wan2.1_VAE.safetensors"
    before = target.read_bytes()
    refused = run(CONVERTED, *output, "--seed", "1")
    assert refused.exit_code == 2
    assert "is already there and differs" in refused.output
    assert target.read_bytes() == before
    assert run(CONVERTED, *output, "--seed", "1", "--force").exit_code == 0
    assert target.read_bytes() != before


def test_an_unknown_model_is_told_the_known_ones_before_anything_is_written(tmp_path):
    result = run(SMALL, "Wan-AI/Wan9", "--output", str(tmp_path))
    assert result.exit_code == 2
    assert "no made-up weights for 'Wan-AI/Wan9'" in result.output
    assert all(model_id in result.output for model_id in MODELS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "100"], "width must be a multiple of 128, not 100"),
        (["--layers", "0"], "layers must be at least 1, not 0"),
        (["--dtype", "int8"], "'int8' is not one of 'float32', 'bfloat16', 'float16'"),
    ],
)
def test_bad_options(tmp_path, arguments, message):
    result = run(SMALL, "--output", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_an_output_that_is_a_file(tmp_path):
    (tmp_path / "models").write_text("")
    result = run(CONVERTED, "--output", str(tmp_path / "models"), *TINY)
    assert result.exit_code == 2
    assert "models" in result.output
    assert "Traceback" not in result.output


def test_as_a_module_without_importing_torch_for_the_help():
    help_text = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "script_trial", "weights", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert SMALL in help_text.stdout.replace("-\n  ", "-")  # names are wrapped at their hyphens
    assert "| torch\n" not in help_text.stderr
