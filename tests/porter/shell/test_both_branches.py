"""Scripts with branches for CUDA and the target."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import ported

IF = 'if [ "$D" = {first} ]; then\n  python a.py --device {first}\nelse\n  python a.py --device {second}\nfi\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(IF.format(first="npu", second="cuda"), id="else"),
        pytest.param(
            "if is_npu; then\n  run\nelif x; then\n  export CUDA_VISIBLE_DEVICES=0\nelse\n  y\nfi\n", id="elif"
        ),
        pytest.param(
            'case "$D" in\n  npu) python a.py --device npu ;;\n  *) python a.py --device cuda ;;\nesac\n', id="case"
        ),
    ],
)
def test_the_branch_for_cuda_stays(text: str) -> None:
    result = ported("a.sh", text)
    assert result.data.decode() == text
    assert [one.message for one in result.findings if one.code == "DP116"] == ["supports npu already: 1 place"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("if x; then\n  python a.py --device cuda\nelse\n  python b.py\nfi\n", id="one-device"),
        pytest.param('if [ "$D" = npu ]; then\n  x\nfi\npython a.py --device cuda\n', id="behind-it"),
        pytest.param("if npu; then\n  python a.py --device cuda\nelse\n  x\nfi\n", id="in-the-branch-for-npu"),
    ],
)
def test_what_is_no_branch_beside_one_for_the_target_is_ported(text: str) -> None:
    result = ported("a.sh", text)
    assert result.data.decode() == text.replace("device cuda", "device npu")
    assert "DP116" not in {one.code for one in result.findings}
