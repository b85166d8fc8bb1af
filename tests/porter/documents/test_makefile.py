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


def test_what_make_sets_is_a_note() -> None:
    check_reported("rules.mk", "DEVICE := cuda\n", "DP418", "note")


@pytest.mark.parametrize("text", ["# cuda\n", "run:\n\techo cuda\n", "run:\n\tpython a.py\n", "SRC = src/cuda/a.c\n"])
def test_left_alone(text: str) -> None:
    check_silent("Makefile", text)
