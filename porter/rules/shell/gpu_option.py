"""
# DP409 gpu-option: GPUs that a script asks a container or a cluster for

## What it does

Reports `--gpus` and `--runtime=nvidia` of `docker run` and the like, `--nv` of Singularity and Apptainer, `--gres=gpu`,
`--gpus` and `--gpus-per-node` of Slurm's commands (error), and images made for CUDA.

## Why

They hand in NVIDIA devices, and fail without its runtime or such nodes. Ascend NPUs are handed in by Ascend Docker
Runtime, `--runtime ascend -e ASCEND_VISIBLE_DEVICES=0`, or one by one, `--device /dev/davinci0` (its documentation); on
a cluster their resource has the name that its administrator gave it, often `--gres=npu:8`.

## Before

    docker run --gpus all trainer python train.py

## What to write instead

    docker run --runtime ascend -e ASCEND_VISIBLE_DEVICES=0 trainer python train.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.made_for_cuda import judged_image
from porter.rules.rule import Rule
from porter.shell.command import Command
from porter.shell.script import ShellScript
from porter.text_unit import TextUnit
from porter.unit import Found

_CONTAINERS = frozenset("docker podman nerdctl nvidia-docker".split())
_SANDBOXES = frozenset("singularity apptainer".split())
_CLUSTER = frozenset("srun sbatch salloc".split())

_OF_CONTAINERS = re.compile(r"--gpus(?:=.*)?|--runtime=nvidia|-e(?:nv)?=?NVIDIA_VISIBLE_DEVICES(?:=.*)?")
_OF_CLUSTERS = re.compile(r"--gres=gpu.*|--gpus(?:-per-(?:node|task))?(?:=.*)?|-G\d*")

RULE = Rule(
    "DP409",
    "gpu-option",
    __doc__,
    words=("gpus", "gres", "nvidia", "nv", "cuda", "nvcr", "SBATCH"),
    fixes=False,
    language="shell",
)


@RULE.on(Command)
def report_the_option(command: Command, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    names = {text.rpartition("/")[2] for text in command.texts[:2]}
    for index, word in enumerate(command.words):
        before = command.words[index - 1].text if index else ""
        span = (word.start, word.end)
        if names & _CONTAINERS and (
            _OF_CONTAINERS.fullmatch(word.text) or (before, word.text) == ("--runtime", "nvidia")
        ):
            yield unit.report(RULE.code, "error", span, f"{word.text} hands in NVIDIA devices", _container(unit))
        elif names & _SANDBOXES and word.text == "--nv":
            yield unit.report(RULE.code, "error", span, "--nv hands in NVIDIA devices", "--bind /dev/davinci0")
        elif names & _CLUSTER and _OF_CLUSTERS.fullmatch(word.text):
            yield unit.report(RULE.code, "error", span, f"{word.text} asks for GPUs", _cluster(unit))
        elif names & (_CONTAINERS | _SANDBOXES) and index > 1 and (way_out := _instead_of_image(word.text, unit)):
            yield unit.report(RULE.code, "error", span, f"the image {word.text} is made for CUDA", way_out)


@RULE.on(ShellScript)
def report_the_directive(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """`#SBATCH --gres=gpu:4`: a comment that Slurm reads."""
    for match in re.finditer(rb"^#SBATCH[ \t]+(\S+)", script.data, re.MULTILINE):
        option = match[1].decode("utf-8", "replace")
        if _OF_CLUSTERS.fullmatch(option):
            yield unit.report(RULE.code, "error", match.span(1), f"{option} asks for GPUs", _cluster(unit))


def _instead_of_image(text: str, unit: TextUnit[ShellScript]) -> str | None:
    return judged_image(text.removeprefix("docker://"), unit.translation.new) if "/" in text else None


def _container(unit: TextUnit[ShellScript]) -> str:
    return unit.translation.new.tools.get("container", "the device's own runtime")


def _cluster(unit: TextUnit[ShellScript]) -> str:
    return f"the cluster's resource for {unit.translation.new.title}: --gres=npu:8, say"
