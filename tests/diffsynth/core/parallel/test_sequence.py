"""Attention across processes is attention in one, whatever the layout, the lengths and the number of heads."""

import json
from pathlib import Path

import pytest

from tests.diffsynth.ranks import run_ranks

PROGRAM = Path(__file__).with_name("attention_program.py").read_text(encoding="utf-8")
LAYOUTS = {2: [(1, 1, 2), (1, 2, 1), (2, 1, 1)], 4: [(1, 1, 4), (1, 2, 2), (1, 4, 1), (2, 1, 2), (2, 2, 1)]}
TOLERANCES = {"float32": 1e-6, "bfloat16": 2**-7}  # one step of bfloat16 between 1 and 2


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["cpu", "npu"])
@pytest.mark.parametrize("count", LAYOUTS)
def test_attention_across_processes(machine, count, tmp_path):
    printed = run_ranks(machine, PROGRAM, count, tmp_path, MACHINE=machine, LAYOUTS=json.dumps(LAYOUTS[count]))
    for rank in map(json.loads, printed):
        assert len(rank) == 2 * len(LAYOUTS[count])
        for case, difference in rank.items():
            assert difference <= TOLERANCES[case.split()[1]], (case, difference)
