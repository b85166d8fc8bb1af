"""DP408: commands and programs that a script keeps as text."""

from __future__ import annotations

import pytest

from tests.porter.shell.launching import check_reported, check_silent

CODE = "DP408"


@pytest.mark.parametrize(
    "script",
    [
        'bash -c "CUDA_VISIBLE_DEVICES=0 python generate.py"',
        "sh -c 'accelerate launch train.py'",
        "/bin/bash -lc 'torchrun x.py'",
        'eval "CUDA_VISIBLE_DEVICES=$i python generate.py"',
        'ssh host "cd wan && accelerate launch train.py"',
        "tmux new-session -d 'nvidia-smi -l 1'",
        'srun bash -c "NCCL_DEBUG=INFO python x.py"',
        "python -c 'x.to(\"cuda\"); y()'",
        "python - <<'EOF'\nx.to('cuda')\nEOF",
        "cat > run.py <<EOF\nx.to('cuda')\nEOF",
        "bash <<-EOF\n\tCUDA_VISIBLE_DEVICES=0 python x.py\n\tEOF",
        'CMD="accelerate launch train.py --x 1"\n$CMD',
        "CMD='X=1 torchrun --nproc_per_node 2 x.py --backend nccl'",
    ],
)
def test_reported(script: str) -> None:
    check_reported(script + "\n", CODE, "warning")


@pytest.mark.parametrize(
    "script",
    [
        'bash -c "python generate.py"',
        'python generate.py --prompt "cuda: a card"',
        'echo "CUDA_VISIBLE_DEVICES=0 python x.py"',
        "bash run_cuda.sh",
        "bash cuda",
        "cat <<EOF\n$CUDA_HOME\nEOF",
        "python - <<EOF\nimport sys\nEOF",
        "cat <<EOF\ncudart npu\nEOF",
        'NAME="accelerate launches"',
        'NAME="a torchrun"',
        "# bash -c 'CUDA_VISIBLE_DEVICES=0 python x.py'",
        "eval 'nvidia-smi -L'  # port: ignore",
        "grep 'cuda is' log",
    ],
)
def test_left_alone(script: str) -> None:
    check_silent(script + "\n")


def test_what_it_names() -> None:
    finding = check_reported("ssh host 'NCCL_DEBUG=INFO accelerate launch x.py --device cuda'\n", CODE, "warning")
    assert finding.message == "this text names NCCL_DEBUG, accelerate launch, cuda; it was left as it is"
