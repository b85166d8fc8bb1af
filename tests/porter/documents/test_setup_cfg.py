"""The packages that setup.cfg asks for."""

from __future__ import annotations

from porter.documents import port_bytes
from porter.port import Plan

SETUP = """\
[metadata]
name = flash_attn
description = needs
    xformers
[options]
# flash_attn
install_requires =
    numpy
    torch==2.9.1+cu121
    flash_attn>=2  ; python_version > "3.9"
setup_requires = wheel
[options.extras_require]
cuda = cupy-cuda12x
test =
    pytest
[tool:pytest]
addopts = --device cuda
"""


def test_lists_of_packages() -> None:
    done = port_bytes("setup.cfg", SETUP.encode(), Plan("npu"))
    assert done.data == SETUP.encode()
    packages = [(one.line, one.message.split(" ")[0]) for one in done.findings if one.code == "DP415"]
    assert packages == [(9, "torch"), (10, "flash-attn"), (13, "cupy-cuda12x")]
    assert {one.line for one in done.findings if one.code != "DP415"} == {17}


def test_without_any() -> None:
    plain = (
        SETUP.replace("flash_attn", "click").replace("+cu121", "").replace("cupy-cuda12x", "rich").replace("cuda", "x")
    )
    assert {one.severity for one in port_bytes("setup.cfg", plain.encode(), Plan("npu")).findings} == {"note"}
