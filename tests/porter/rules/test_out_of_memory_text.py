"""DP308: CUDA's message looked for in an error."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP308"


@pytest.mark.parametrize(
    "text",
    [
        'if "CUDA out of memory" in str(error): pass',
        'if "cuda out of memory" in str(error).lower(): pass',
        'if str(error).startswith("CUDA out of memory."): pass',
        'if "CUDA error: out of memory" in message: pass',
        're.search("CUDA out of memory", text)',
        'with pytest.raises(RuntimeError, match="CUDA out of memory"): pass',
        'if any(text in message for text in ["a"]) or message == "CUDA out of memory": pass',
        'if "no memory" in message or "CUDA out of memory" in message: pass',
        'if "out of memory" in message and "CUDA out of memory" in message: pass',
    ],
)
def test_looking_for_it_is_a_warning(text):
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        'if "out of memory" in str(error): pass',
        'if "NPU out of memory" in str(error): pass',
        'if "CUDA out of reach" in message: pass',
        'raise RuntimeError("CUDA out of memory")',
        'print("CUDA out of memory")',
        '"CUDA out of memory"',
        're.search("out of memory", text)',
        'with pytest.raises(RuntimeError, match="out of memory"): pass',
        'log(title="CUDA out of memory")',
        'if "out of memory" in message or "cuda error: out of memory" in message: pass',
    ],
)
def test_other_texts_and_own_messages_are_left_alone(text):
    check_silent(text, CODE)
