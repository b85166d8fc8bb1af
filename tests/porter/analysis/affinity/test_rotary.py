"""DP503: rotary embeddings that are written out, and what is none."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import body, check_fused, check_left_alone, check_only_reported

CODE = "DP503"
HALF = "def turn(x):\n    a, b = x.chunk(2, dim=-1)\n    return torch.cat((-b, a), dim=-1)\n"
SLICED = HALF.replace("a, b = x.chunk(2, dim=-1)", "h = x.shape[-1] // 2\n    a = x[..., :h]\n    b = x[..., h:]")
PAIRS = "def turn(x):\n    a = x[..., ::2]\n    b = x[..., 1::2]\n    return torch.stack((-b, a), dim=-1).flatten(-2)\n"
WRITTEN = "def turn(x):\n    return torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).reshape(x.shape)\n"
OTHER_WAY = HALF.replace("(-b, a)", "(b, -a)")
SWAPPED = HALF.replace("(-b, a)", "(-a, b)")
THIRDS = HALF.replace("chunk(2", "chunk(3").replace("a, b =", "a, b, c =")
LINES = "cos = cos.unsqueeze(1)\nsin = sin.unsqueeze(1)\n"


def whole(turn: str, line: str) -> str:
    return body(LINES + line, "x, y, cos, sin") + "\n\n" + turn


@pytest.mark.parametrize(
    ("turn", "option"),
    [(HALF, ""), (SLICED, ""), (PAIRS, ', rotary_mode="interleave"'), (WRITTEN, ', rotary_mode="interleave"')],
)
@pytest.mark.parametrize("line", ["return x * cos + turn(x) * sin", "return (sin * turn(x)) + (cos * x)"])
def test_the_body_of_the_function_tells_how_it_turns(turn, option, line):
    after = whole(turn, f"return torch_npu.npu_rotary_mul(x, cos, sin{option})")
    check_fused(whole(turn, line), after.replace("import torch\n", "import torch\nimport torch_npu\n", 1), CODE)


@pytest.mark.parametrize(
    ("turn", "line"),
    [
        (OTHER_WAY, "return x * cos + turn(x) * sin"),
        (SWAPPED, "return x * cos + turn(x) * sin"),
        (THIRDS, "return x * cos + turn(x) * sin"),
        (HALF, "return x * cos - turn(x) * sin"),
        (HALF, "return x * cos + turn(y) * sin"),
        (HALF, "return x * cos + turn(x) * cos"),
        (HALF.replace("dim=-1)\n    return", "dim=1)\n    return"), "return x * cos + turn(x) * sin"),
        ("", "return x * cos + turn(x) * sin"),
    ],
)
def test_what_is_nearly_one_is_left_alone(turn, line):
    check_left_alone(whole(turn, line), CODE)


def test_tables_that_may_have_fewer_dimensions_are_left_to_a_person():
    text = body("return x * cos + turn(x) * sin", "x, cos, sin") + "\n\n" + HALF
    assert "as many dimensions" in check_only_reported(text, CODE).way_out
