"""Variables and commands within YAML: of compose, GitHub, GitLab and Kubernetes."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan

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
    ],
)
def test_ported(before: str, after: str) -> None:
    assert ported(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "name: python a.py --device cuda\n",
        "run: echo cuda\n",
        "run: >\n  python a.py\n  --device cuda\n",
        'run: "python \\u0061.py --device cuda"\n',
        "env:\n  NOTE: cuda is meant\n",
        "env:\n  - CUDA_VISIBLE_DEVICES\n",
        "environ:\n  - CUDA_VISIBLE_DEVICES=0\n",
        "run: [\n",
    ],
)
def test_left(text: str) -> None:
    assert port_bytes("ci.yml", text.encode(), NPU).data.decode() == text


def test_what_is_left_to_a_person_stands_where_it_is_in_the_file() -> None:
    steps = "    steps:\n      - run: |\n          ls\n          nvidia-smi\n"
    text = f"jobs:\n  a:\n{steps}    env:\n      NCCL_DEBUG: INFO\n"
    findings = port_bytes("ci.yml", text.encode(), NPU).findings
    assert [(one.code, one.line, one.column) for one in findings] == [("DP406", 6, 11), ("DP404", 8, 7)]


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
