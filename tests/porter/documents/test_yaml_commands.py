"""Variables and commands within YAML: of compose, GitHub, GitLab and Kubernetes."""

from __future__ import annotations

import pytest
from yaml.nodes import MappingNode

from porter.documents import port_bytes
from porter.port import Plan
from porter.yaml_text import pieces, place_of, yaml_documents

NPU, CUDA = Plan("npu"), Plan("cuda")


def ported(text: str, name: str = "ci.yml") -> str:
    """Ported twice is ported once, and undoing gives the text back."""
    once = port_bytes(name, text.encode(), NPU).data
    assert port_bytes(name, once, NPU).data == once
    assert port_bytes(name, once, CUDA).data.decode() == text
    return once.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("environment:\n  - CUDA_VISIBLE_DEVICES=0\n", "environment:\n  - ASCEND_RT_VISIBLE_DEVICES=0\n"),
        ('env:\n  CUDA_VISIBLE_DEVICES: "0"  # one\n', 'env:\n  ASCEND_RT_VISIBLE_DEVICES: "0"  # one\n'),
        (
            "env:\n- name: CUDA_VISIBLE_DEVICES\n  value: '0'\n",
            "env:\n- name: ASCEND_RT_VISIBLE_DEVICES\n  value: '0'\n",
        ),
        ("variables:\n  DEVICE: cuda\n", "variables:\n  DEVICE: npu\n"),
        (
            "x: &x\n  environment: &e\n    CUDA_VISIBLE_DEVICES: 0\na:\n  <<: *x\n  environment: *e\nb: *x\n",
            "x: &x\n  environment: &e\n    ASCEND_RT_VISIBLE_DEVICES: 0\na:\n  <<: *x\n  environment: *e\nb: *x\n",
        ),
        (
            "env:\n  CUDA_VISIBLE_DEVICES: ${{ matrix.gpu }}\n  PYTORCH_CUDA_ALLOC_CONF: '{{ x }}'\n",
            "env:\n  ASCEND_RT_VISIBLE_DEVICES: ${{ matrix.gpu }}\n  PYTORCH_NPU_ALLOC_CONF: '{{ x }}'\n",
        ),
        ('env:\n  - "CUDA_VISIBLE_DEVICES=${GPUS:-0}"\n', 'env:\n  - "ASCEND_RT_VISIBLE_DEVICES=${GPUS:-0}"\n'),
        ('command: ["python", a.py, "--device", "cuda"]\n', 'command: ["python", a.py, "--device", "npu"]\n'),
        ("args:\n  - --device\n  - cuda\n", "args:\n  - --device\n  - npu\n"),
        ("run: python a.py --device cuda\n", "run: python a.py --device npu\n"),
        ('command: "python a.py --device cuda:1"\n', 'command: "python a.py --device npu:1"\n'),
        (
            "script:\n  - python a.py --device cuda\n  - |\n    cd x\n    python b.py --device cuda\n",
            "script:\n  - python a.py --device npu\n  - |\n    cd x\n    python b.py --device npu\n",
        ),
        (
            "- run: |\r\n    python é.py ${{ matrix.x }} --device cuda\r\n\r\n    ls\r\n",
            "- run: |\r\n    python é.py ${{ matrix.x }} --device npu\r\n\r\n    ls\r\n",
        ),
        (
            "device: cuda:0\nrun: python a.py --device cuda\nother_device: cuda\n",
            "device: npu:0\nrun: python a.py --device npu\nother_device: npu\n",
        ),
        ("env:\n  - &v CUDA_VISIBLE_DEVICES=0\n", "env:\n  - &v ASCEND_RT_VISIBLE_DEVICES=0\n"),
        ("env:\n  &k CUDA_VISIBLE_DEVICES: &v !!str 0\n", "env:\n  &k ASCEND_RT_VISIBLE_DEVICES: &v !!str 0\n"),
        ("run: &r python a.py --device cuda\nb: {run: *r}\n", "run: &r python a.py --device npu\nb: {run: *r}\n"),
        ("run: &r |\n  python a.py --device cuda\n", "run: &r |\n  python a.py --device npu\n"),
        ("args: &a [--device, &d cuda]\n", "args: &a [--device, &d npu]\n"),
        ("run: |2-\n    python a.py --device cuda\n", "run: |2-\n    python a.py --device npu\n"),
    ],
)
def test_ported(before: str, after: str) -> None:
    assert ported(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "name: python a.py --device cuda\n",
        "run: echo cuda\n",
        "run: >\n  python a.py --note\n  cuda\n",
        "run: >\n  python a.py\n\n  --device cuda\n",
        "run: >\n  python a.py\n    --device cuda\n",
        "run: 'echo ''x'' --device cuda'\n",
        "env:\n  NOTE: cuda is meant\n",
        "env:\n  - CUDA_VISIBLE_DEVICES\n",
        "environ:\n  - CUDA_VISIBLE_DEVICES=0\n",
        "run: [\n",
    ],
)
def test_left(text: str) -> None:
    assert port_bytes("ci.yml", text.encode(), NPU).data.decode() == text


FOLDED = {
    "block": "run: >\n  python a.py\n  --device cuda\n",
    "block-with-an-anchor": "run: &r >-\n\n  python a.py\n  --device cuda\n",
    "block-of-several-commands": "run: >\n  python a.py\n  --device cuda\n\n  python b.py --device cuda\n\n\n  ls\n",
    "block-with-lines-further-in": "run: >\n  python a.py \\\n    --device cuda\n  ls\n",
    "windows": "run: >\r\n  python a.py\r\n  --device cuda\r\n",
    "plain": "run: python a.py\n  --device cuda\n\n  --x\n",
    "plain-behind-a-tag": "run: !!str\n  python a.py --device cuda\n",
    "double-quotes": 'run: "python \\u0061.py \\\n  --name \\"x\\"\n  --device cuda"\n',
    "single-quotes": "run: 'python a.py --name ''x''\n  --device cuda'\n",
    "expression": "run: >\n  python a.py ${{ matrix.x }}\n  --device cuda\n",
    "variable": "env:\n  DEVICE: >-\n    cuda\n",
}


@pytest.mark.parametrize("text", FOLDED.values(), ids=FOLDED)
def test_lines_that_are_folded_and_quotes(text: str) -> None:
    assert ported(text) == text.replace("cuda", "npu")
    assert {one.severity for one in port_bytes("ci.yml", text.encode(), NPU).findings} == {"fix"}


PIECES = {
    **FOLDED,
    "leading-and-trailing-blank-lines": "run: >+\n\n\n  a\n  b\n\n\n",
    "further-in-and-out": "run: >\n  a\n   b\n   c\n\n   d\n  e\n",
    "further-in-at-first": "run: >\n    a\n  b\n".replace("    a", "  a\n    x"),
    "blank-line-of-blanks": "run: >\n  a\n    \n  b\n",
    "quotes-over-blank-lines": "run: 'a\n\n\n  b  c   \n  d'\n",
    "double-quotes-over-blank-lines": 'run: "a\n\n\n  b  \\\n  d\\\n  \\  e\\tf"\n',
    "plain-over-blank-lines": "run: a   b\n\n\n  c\n  d\n",
    "comment-behind-an-anchor": "run: &x # why\n  a b\n",
    "indentation-that-is-said": "run: |1\n   a\n  b\n",
    "indentation-that-is-said-folded": "run: >1\n   a\n  b\n c\n d\n",
}


@pytest.mark.parametrize("text", PIECES.values(), ids=PIECES)
def test_pieces_of_a_scalar_are_its_value(text: str) -> None:
    """By the parser's own word; and each piece stands where it says."""
    (root,) = yaml_documents(text)
    assert root is not None
    ((_, value),) = root.value
    if isinstance(value, MappingNode):
        ((_, value),) = value.value
    found = pieces(value, text)
    said = "".join(piece.text for piece in found)
    assert said.rstrip("\n") == value.value.rstrip("\n") != ""
    for piece in found:
        if piece.at is not None:
            assert text.startswith(piece.text.rstrip("\n"), piece.at)
    start, end = place_of(value, text)
    assert text[start:end].strip("'\"").startswith(next(one.text for one in found if one.text.strip()).strip())


def test_a_here_document_is_reported_once() -> None:
    text = "run: |\n  python - <<'E'\n  device='cuda'\n  x.to('cuda')\n  E\n  python b.py --device cuda\n"
    found = port_bytes("ci.yml", text.encode(), NPU).findings
    assert [(one.code, one.line, one.column, one.end_line) for one in found] == [
        ("DP408", 3, 3, 4),
        ("DP405", 6, 24, 6),
    ]


@pytest.mark.parametrize("name", ["c.yaml", "c.sh"])
def test_quotes_around_several_words_are_no_path(name: str) -> None:
    """`"python a.py nvidia"` names a path and, beside it, something that no rule knows."""
    (one,) = port_bytes(name, b'x: "python a.py nvidia"\n', NPU).findings
    assert one.code == "DP418"
    assert port_bytes(name, b'x: "python a.py /opt/nvidia/x"\n', NPU).findings == ()


def test_what_is_left_to_a_person_stands_where_it_is_in_the_file() -> None:
    steps = "    steps:\n      - run: |\n          ls\n          nvidia-smi\n"
    text = f"jobs:\n  a:\n{steps}    env:\n      NCCL_DEBUG: INFO\n"
    findings = port_bytes("ci.yml", text.encode(), NPU).findings
    assert [(one.code, one.line, one.column) for one in findings] == [("DP406", 6, 11), ("DP404", 8, 7)]


@pytest.mark.parametrize("named", ['"run"', "run"])
def test_a_command_beside_a_device_in_one_line(named: str) -> None:
    text = f'{{{named}: "python a.py --device cuda", "device": "cuda", env: {{DEVICE: cuda, X: cuda}}}}\n'
    assert ported(text).count("npu") == 3  # a variable that says nothing of a device stays


def test_of_a_line_that_ignores_one_rule_the_others_are_made() -> None:
    text = "run: CUDA_VISIBLE_DEVICES=0 python a.py --device cuda  # port: ignore[DP405]\n"
    done = port_bytes("ci.yml", text.encode(), NPU)
    assert done.data.decode() == text.replace("CUDA_VIS", "ASCEND_RT_VIS")
    assert [one.code for one in done.findings] == ["DP404"]
    assert [one.code for one in done.left_out] == ["DP405"]


def test_a_value_that_the_target_refuses_stays() -> None:
    text = "env:\n  CUDA_VISIBLE_DEVICES: GPU-8932f937\n"
    done = port_bytes("ci.yml", text.encode(), NPU)
    assert done.data.decode() == text
    assert [one.severity for one in done.findings] == ["error"]


def test_variables_in_a_file_of_their_own() -> None:
    text = "CUDA_VISIBLE_DEVICES=0\nDEVICE=cuda\n# cuda\n"
    for name in (".env", ".env.local", "prod.env"):
        assert ported(text, name) == "ASCEND_RT_VISIBLE_DEVICES=0\nDEVICE=npu\n# cuda\n"
    assert ported("x = 1\n", "environment.py") == "x = 1\n"


def test_variables_in_a_file_that_is_no_bash() -> None:
    text = "NOTE=it's fine\r\nexport CUDA_VISIBLE_DEVICES=0  # both\r\nGREETING=<b>\r\n"
    assert ported(text, "prod.env") == text.replace("CUDA_", "ASCEND_RT_")


def test_aliases_of_aliases_take_no_time() -> None:
    """Each level names the one above nine times, which is 9 ** 20 lists where every alias is followed."""
    levels = "".join(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]\n" for level in range(1, 20))
    assert "npu" in ported(f"l0: &l0 {{run: python a.py --device cuda}}\n{levels}")


@pytest.mark.parametrize("name", ["requirements", "run"])
def test_a_list_of_words_is_one_command_only_where_it_says_so(name: str) -> None:
    text = f"{name}: [--device, cuda]\n"
    assert ported(text) == text
