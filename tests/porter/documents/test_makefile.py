"""Makefiles: their recipes are shell."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, check_silent, check_transformed


@pytest.mark.parametrize(
    "form",
    [
        "run:\n\t{v}=0 python a.py --device {d}\n",
        "run: data\n\t@{v}=0 python a.py $(ARGS) && \\\n\t  python b.py --device={d}\n",
        "run:\n\t-python a.py --device {d} # last\n\nclean:\n\trm -f $@\n",
    ],
)
def test_recipes(form: str) -> None:
    before, after = {"v": "CUDA_VISIBLE_DEVICES", "d": "cuda"}, {"v": "ASCEND_RT_VISIBLE_DEVICES", "d": "npu"}
    check_transformed("Makefile", form.format(**before), form.format(**after))


@pytest.mark.parametrize(
    "form",
    [
        "DEVICE := {d}\n",
        "DEVICE?={d} # the first\n",
        "export DEVICE = {d}:1\r\nX=1\r\n",
        "run: DEVICE = {d}\nrun:\n\tpython a.py\n",
        "override DEVICE ::= {d}",
        "export {v}=0\nexport {v}\n",
        "{v} ?= 0\nifdef {v}\nARGS = --gpus $({v})\nendif\n$(info ${{{v}}})\n",
        "{v} = $(GPUS)\nrun:\n\t{v}=$({v}) python a.py\n",
        "ifeq ($(DEVICE),x)\n  DEVICE = {d}\nendif\n",
    ],
)
def test_what_make_sets(form: str) -> None:
    before, after = {"v": "CUDA_VISIBLE_DEVICES", "d": "cuda"}, {"v": "ASCEND_RT_VISIBLE_DEVICES", "d": "npu"}
    check_transformed("Makefile", form.format(**before), form.format(**after))


@pytest.mark.parametrize("value", ["=", " ?= /usr/local/cuda", "= # none", " := $(shell which nvcc)"])
def test_what_has_no_pair_is_a_note_as_in_shell(value: str) -> None:
    check_reported("Makefile", f"CUDA_HOME{value}\n", "DP404", "note")


def test_what_no_rule_knows_is_a_note() -> None:
    check_reported("rules.mk", "KIND := cuda\n", "DP418", "note")
    check_reported("rules.mk", "ARGS = --device cuda --fast\n", "DP418", "note")


@pytest.mark.parametrize(
    "text", ["# cuda\n", "run:\n\techo cuda\n", "run:\n\tpython a.py\n", "SRC = src/cuda/a.c\n", "#DEVICE = cuda\n"]
)
def test_left_alone(text: str) -> None:
    check_silent("Makefile", text)
