"""What mypy says of a torch module's call, with our plugin: whatever its `forward` says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from torch import Tensor, nn

class Doubled(nn.Module):
    def forward(self, tokens: Tensor, times: int = 1) -> Tensor:
        return tokens * times

def call(linear: nn.Linear, doubled: Doubled, several: nn.Sequential, module: nn.Module, tokens: Tensor) -> None:
    found: int = linear(tokens)
    doubled(tokens, times="twice")
    doubled()
    anything: int = several(tokens)
    whatever: int = module("nothing", is_known=True)
"""
SAID = [
    'program.py:9: error: Incompatible types in assignment (expression has type "Tensor", variable has type "int")',
    'program.py:10: error: Argument "times" to "forward" of "Doubled" has incompatible type "str"; expected "int"',
    'program.py:11: error: Missing positional argument "tokens" in call to "forward" of "Doubled"',
]


@pytest.mark.slow
def test_a_call_is_checked_by_the_forward_of_the_class(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", tmp_path / "program.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [
        line.removeprefix(f"{tmp_path}/").rpartition("  [")[0] for line in ran.stdout.splitlines() if ": error:" in line
    ]
    assert told == SAID, ran.stdout + ran.stderr
