"""DP417: images made for CUDA that a Dockerfile builds on; and its commands, which are shell."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, check_silent, check_transformed, ported

CODE = "DP417"


@pytest.mark.parametrize(
    "text",
    [
        "FROM nvidia/cuda:12.1-devel-ubuntu22.04 AS base",
        "from nvcr.io/nvidia/pytorch:24.08-py3",
        "FROM --platform=linux/amd64 pytorch/pytorch:2.5.1-cuda12.1-cudnn9-runtime",
        "# base\nFROM vllm/vllm:cu124",
    ],
)
def test_an_image_for_cuda(text: str) -> None:
    check_reported("Dockerfile", text + "\n", CODE, "error", len(text.splitlines()))


@pytest.mark.parametrize("text", ["FROM ubuntu:22.04", "FROM python:3.11 AS cpu", "# FROM nvidia/cuda", "FROM scratch"])
def test_another_image(text: str) -> None:
    assert CODE not in [one.code for one in ported("Dockerfile", text + "\n").findings]


@pytest.mark.parametrize(
    "form",
    [
        "ENV {v}=0,1\n",
        "ENV {v} 0,1\n",
        "ENV A=1 {v}=0\n",
        "ARG {v}=0\n",
        "RUN {v}=0 python a.py --device {d}\n",
        "RUN apt-get update && \\\n    # then\n    {v}=0 python a.py\n",
        "RUN --mount=type=cache,target=/x python a.py --device={d}\n",
        "CMD python a.py --device {d}\n",
    ],
)
def test_commands_are_ported_as_shell(form: str) -> None:
    before, after = {"v": "CUDA_VISIBLE_DEVICES", "d": "cuda"}, {"v": "ASCEND_RT_VISIBLE_DEVICES", "d": "npu"}
    text = "FROM ubuntu\n" + form
    check_transformed("docker/Dockerfile", text.format(**before), text.format(**after))


@pytest.mark.parametrize("text", ["RUN make\n", "COPY cuda.sh /x/\n", "# CUDA\n", "ENV A=1\n"])
def test_left_alone(text: str) -> None:
    check_silent("x.dockerfile", text)


def test_what_no_rule_knows_is_a_note() -> None:
    check_reported("Dockerfile", 'FROM a\nCMD ["nvidia-smi"]\n', "DP418", "note", 2)
