"""DP401: the environment of a training on Ascend NPUs."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.shell.launching import EXPORTS, PATH, check_noop, check_silent, check_transformed

LAUNCH = "accelerate launch train.py --learning_rate 1e-5\n"


@pytest.mark.parametrize(
    "launch",
    [
        pytest.param(LAUNCH, id="accelerate"),
        pytest.param("accelerate launch --config_file c.yaml --num_processes 2 train.py\n", id="options-of-accelerate"),
        pytest.param("accelerate-launch train.py\n", id="accelerate-launch"),
        pytest.param("accelerate launch -m wan.train --x 1\n", id="module"),
        pytest.param("torchrun --nproc_per_node 2 train.py\n", id="torchrun"),
        pytest.param("deepspeed --num_gpus 2 train.py\n", id="deepspeed"),
        pytest.param("python train.py --x 1\n", id="python"),
        pytest.param("python3.11 -u -X dev wan/finetune_lora.py\n", id="python-with-options"),
        pytest.param("python -m torch.distributed.run --nproc-per-node 2 train.py\n", id="python-m-run"),
        pytest.param("python -m accelerate.commands.launch train.py\n", id="python-m-accelerate"),
        pytest.param("/opt/env/bin/python train.py\n", id="path-of-python"),
        pytest.param("python run.py --learning_rate 1e-4\n", id="told-by-its-options"),
        pytest.param("nohup accelerate launch train.py > log 2>&1 &\n", id="nohup"),
        pytest.param("TOKENIZERS_PARALLELISM=false accelerate launch train.py\n", id="variable-before"),
        pytest.param("env X=1 torchrun train.py\n", id="env"),
        pytest.param("srun --ntasks 8 --label accelerate launch train.py\n", id="srun"),
        pytest.param("uv run accelerate launch train.py\n", id="uv"),
        pytest.param("cd wan && accelerate launch train.py | tee log\n", id="list-and-pipe"),
        pytest.param("for i in 1 2; do accelerate launch train.py --seed $i; done\n", id="loop"),
        pytest.param("if true; then\n  accelerate launch train.py\nfi\n", id="branch"),
        pytest.param('train() {\n  accelerate launch train.py "$@"\n}\ntrain --x 1\n', id="function"),
        pytest.param("result=$(accelerate launch train.py)\n", id="substitution"),
        pytest.param("SCRIPT=wan/train.py\naccelerate launch $SCRIPT\n", id="script-in-a-variable"),
        pytest.param('ARGS=(--x 1)\naccelerate launch train.py "${ARGS[@]}"\n', id="array"),
    ],
)
def test_a_script_that_trains(launch: str) -> None:
    check_transformed(launch, EXPORTS + launch)


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        pytest.param("#!/bin/bash\n", LAUNCH, id="shebang"),
        pytest.param("#!/bin/bash\n\n", LAUNCH, id="shebang-and-empty-line"),
        pytest.param("# What it does.\n\n", LAUNCH, id="comment-apart"),
        pytest.param("# One.\n\n# Two.\n\n", LAUNCH, id="two-comments-apart"),
        pytest.param("#!/bin/bash\n", "# About the launch.\n" + LAUNCH, id="comment-of-the-launch"),
        pytest.param("", "# High noise.\n" + LAUNCH + "# Low noise.\n" + LAUNCH, id="comments-of-two-launches"),
        pytest.param("# What it does.\n\n", "# About the launch.\n" + LAUNCH, id="both"),
        pytest.param("#!/bin/bash\n#SBATCH --nodes 1\n#SBATCH -t 1:00\n", LAUNCH, id="slurm"),
        pytest.param("#!/bin/bash\n#SBATCH --nodes 1\n", "# About it.\n" + LAUNCH, id="slurm-and-comment"),
        pytest.param("# shellcheck shell=bash\n", LAUNCH, id="shellcheck"),
        pytest.param("\n\n", LAUNCH, id="empty-lines"),
        pytest.param("#!/bin/bash\n", "set -euo pipefail\n" + LAUNCH, id="set"),
        pytest.param("", "source env.sh\ncd wan\n" + LAUNCH, id="other-commands-first"),
        pytest.param("", LAUNCH.rstrip("\n"), id="no-final-newline"),
    ],
)
def test_where_they_go(head: str, rest: str) -> None:
    check_transformed(head + rest, head + EXPORTS + rest)


def test_once_for_several_launches() -> None:
    check_transformed(LAUNCH * 3, EXPORTS + LAUNCH * 3)


ALLOCATOR, AFFINITY = EXPORTS.splitlines()[:2]


@pytest.mark.parametrize(
    "own",
    [
        pytest.param("export PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:128", id="export"),
        pytest.param("export PYTORCH_NPU_ALLOC_CONF=", id="empty"),
        pytest.param("declare -x PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:128", id="declare"),
        pytest.param("export PYTORCH_ALLOC_CONF=expandable_segments:True", id="general"),
    ],
)
def test_beside_the_one_that_the_script_sets(own: str) -> None:
    before = f"#!/bin/bash\nset -e\n{own}\n\n{LAUNCH}"
    check_transformed(before, before.replace(own, f"{own}\n{AFFINITY}"))


def test_beside_the_other_one_that_the_script_sets() -> None:
    check_transformed(f"export CPU_AFFINITY_CONF=2\n{LAUNCH}", f"export CPU_AFFINITY_CONF=2\n{ALLOCATOR}\n{LAUNCH}")


def test_beside_the_one_that_is_renamed() -> None:
    own = "export PYTORCH_{0}_ALLOC_CONF=expandable_segments:True\n"
    check_transformed(own.format("CUDA") + LAUNCH, own.format("NPU") + AFFINITY + "\n" + LAUNCH)


@pytest.mark.parametrize(
    "own",
    [
        pytest.param("PYTORCH_NPU_ALLOC_CONF=a:1 accelerate launch train.py\n", id="for-the-launch"),
        pytest.param("env PYTORCH_NPU_ALLOC_CONF=a:1 accelerate launch train.py\n", id="by-env"),
        pytest.param(': "${PYTORCH_NPU_ALLOC_CONF:=a:1}"\n' + LAUNCH, id="default"),
        pytest.param("if x; then export PYTORCH_NPU_ALLOC_CONF=a:1; fi\n" + LAUNCH, id="in-a-branch"),
    ],
)
def test_apart_from_one_that_is_set_in_another_way(own: str) -> None:
    check_transformed(own, f"{AFFINITY}\n\n{own}")


def test_a_variable_that_only_one_of_two_launches_sets() -> None:
    script = "CPU_AFFINITY_CONF=2 accelerate launch train.py\n" + LAUNCH
    check_transformed(script, EXPORTS + script)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("accelerate config\n", id="accelerate-config"),
        pytest.param("accelerate test\n", id="accelerate-test"),
        pytest.param("python generate.py\n", id="inference"),
        pytest.param("torchrun --nproc_per_node 2 generate.py\n", id="inference-by-torchrun"),
        pytest.param("accelerate launch infer.py\n", id="inference-by-accelerate"),
        pytest.param("python setup.py install\n", id="setup"),
        pytest.param("python -m pip install accelerate\n", id="pip"),
        pytest.param("python -c 'import train'\n", id="python-c"),
        pytest.param("pip install accelerate deepspeed\n", id="installs"),
        pytest.param("echo accelerate launch train.py\n", id="echo"),
        pytest.param("# accelerate launch train.py --learning_rate 1e-5\n", id="commented-out"),
        pytest.param("cat train.py\n", id="another-command"),
        pytest.param("modelscope download --dataset x --local_dir data\n", id="download"),
        pytest.param("git log -- train.py\n", id="git"),
        pytest.param("", id="nothing"),
        pytest.param("#!/bin/bash\n", id="shebang"),
        pytest.param(EXPORTS + LAUNCH, id="there"),
        pytest.param(
            "CPU_AFFINITY_CONF=2\nexport CPU_AFFINITY_CONF\n" + ALLOCATOR + "\n" + LAUNCH, id="set-and-exported"
        ),
    ],
)
def test_left_alone(script: str) -> None:
    check_silent(script)


@pytest.mark.parametrize("target", ["xpu", "musa", "mps"])
def test_they_are_for_the_npu(target: str) -> None:
    check_silent(LAUNCH, target)


def test_ignored_by_a_comment() -> None:
    check_silent(LAUNCH.replace("\n", "  # port: ignore[npu-exports]\n"))


def test_undoing_leaves_what_the_script_had() -> None:
    script = EXPORTS + "CUDA_VISIBLE_DEVICES=0 " + LAUNCH
    check_transformed(script, script.replace("CUDA", "ASCEND_RT"))


def test_undoing_without_a_record_takes_nothing_out() -> None:
    script = f"export CPU_AFFINITY_CONF=1\n{LAUNCH}"
    assert port_bytes(PATH, script.encode(), Plan("cuda")).data.decode() == script


def test_crlf_stays() -> None:
    before, after = LAUNCH.replace("\n", "\r\n"), (EXPORTS + LAUNCH).replace("\n", "\r\n")
    check_transformed(before, after)


def test_nothing_to_say_of_a_script_without_the_words() -> None:
    assert check_noop("if then fi (\n") == ()
