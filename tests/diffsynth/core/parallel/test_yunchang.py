"""Attention across processes is that of yunchang, an implementation of the same two papers by others."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.diffsynth.ranks import run_ranks

PROGRAM = Path(__file__).with_name("yunchang_program.py").read_text(encoding="utf-8")
LAYOUTS = {2: [(1, 2), (2, 1)], 4: [(1, 4), (2, 2), (4, 1)]}  # ring, ulysses
BOUND = 1e-6


@pytest.mark.slow
@pytest.mark.skipif(find_spec("yunchang") is None, reason="yunchang is not installed; the extra usp brings it")
@pytest.mark.parametrize("count", LAYOUTS)
def test_the_attention_of_yunchang(count, tmp_path):
    for said in run_ranks("cpu", PROGRAM, count, tmp_path, LAYOUTS=json.dumps(LAYOUTS[count])):
        report = json.loads(said.splitlines()[-1])
        assert len(report) == len(LAYOUTS[count])
        for layout, (apart, own, theirs) in report.items():
            assert max(apart, own, theirs) <= BOUND, (layout, apart, own, theirs)
