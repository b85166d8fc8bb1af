"""DP203: a package that is made for NVIDIA devices."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP203"


@pytest.mark.parametrize(
    "text",
    [
        "import xformers",
        "import xformers.ops as xops",
        "from flash_attn import flash_attn_func",
        "from flash_attn.bert_padding import pad_input, unpad_input",
        "import numpy, bitsandbytes",
        "from apex.optimizers import FusedAdam",
        "import pynvml",
        "import cupy as cp",
        "from cuda import cudart",
        "import nvidia.dali as dali",
        "import transformer_engine.pytorch as te",
        "import deep_gemm",
        "from numba import cuda",
        "import numba.cuda",
        "from vllm import _C",
        "import pycuda.driver",
        "import tensorrt as trt",
        "import cudf",
        "from sageattention import sageattn",
        'xops = importlib.import_module("xformers.ops")',
        'xops = __import__("xformers")',
        "pipe.enable_xformers_memory_efficient_attention()",
    ],
)
def test_such_a_package_is_an_error(text):
    assert check_reported(text, CODE, "error").way_out


@pytest.mark.parametrize(
    "text",
    [
        "import numpy",
        "import xformers_stubs",
        "from .xformers import ops",
        "from . import xformers",
        "from diffusers import flash_attn",
        "import numba",
        "from numba import jit",
        "import torch.cuda",
        "from torch import cuda",
        "import onnxruntime",
        'xops = importlib.import_module("numpy")',
        'xops = importlib.util.find_spec("xformers")',
        'print("xformers")',
        "pipe.enable_attention_slicing()",
        "pipe.disable_xformers_memory_efficient_attention()",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import xformers",
        "import typing\nif typing.TYPE_CHECKING:\n    from flash_attn import flash_attn_func",
    ],
)
def test_other_packages_and_names_are_left_alone(text):
    check_silent(text, CODE)


GUARDED = [
    ("try:\n    import xformers\nexcept ImportError:\n    xformers = None", 2),
    ("try:\n    import xformers\nexcept (ImportError, OSError):\n    xformers = None", 2),
    ("try:\n    import xformers\nexcept:\n    xformers = None", 2),
    ("if is_xformers_available():\n    import xformers", 2),
    ('if importlib.util.find_spec("xformers"):\n    import xformers', 2),
    ("if HAS_XFORMERS:\n    import xformers", 2),
    ("if is_torch_npu_available():\n    import torch_npu\nelse:\n    import xformers", 4),
    ("with contextlib.suppress(ImportError):\n    import xformers", 2),
]

NOT_GUARDED = [
    ("try:\n    import xformers\nexcept ImportError:\n    raise RuntimeError('install xformers')", 2),
    ("try:\n    import xformers\nexcept KeyError:\n    xformers = None", 2),
    ("try:\n    import numpy\nexcept ImportError:\n    import xformers", 4),
    ("if torch.cuda.is_available():\n    import xformers", 2),
    ("if is_xformers_available():\n    pass\nelse:\n    import xformers", 4),
    ("if sys.version_info > (3, 10):\n    import xformers", 2),
    ("try:\n    def load():\n        import xformers\nexcept ImportError:\n    pass\nload()", 3),
    ("with contextlib.suppress(KeyError):\n    import xformers", 2),
]


@pytest.mark.parametrize(("text", "line"), GUARDED)
def test_an_import_that_may_fail_is_a_note(text, line):
    check_reported(text, CODE, "note", line)


@pytest.mark.parametrize(("text", "line"), NOT_GUARDED)
def test_an_import_that_must_not_fail_is_an_error(text, line):
    check_reported(text, CODE, "error", line)


def test_a_package_that_the_target_has_a_build_of_is_a_warning():
    assert "triton-ascend" in check_reported("import triton", CODE, "warning").way_out
    assert "bitsandbytes 0.48" in check_reported("import bitsandbytes", CODE, "warning", target="xpu").way_out
    check_reported("import triton.language as tl", CODE, "error", target="mps")


def test_the_way_out_is_the_targets():
    text = "from flash_attn import flash_attn_func"
    assert "npu_fusion_attention" in check_reported(text, CODE, "error").way_out
    assert "npu_fusion_attention" not in check_reported(text, CODE, "error", target="xpu").way_out


@pytest.mark.parametrize(
    "text",
    [
        'model = load(path, attn_implementation="flash_attention_2")',
        'options = {"attn_implementation": "flash_attention_2"}',
        'config._attn_implementation = "flash_attention_2"',
    ],
)
def test_flash_attention_2_is_carried_out_on_ascend(text):
    check_reported(text, CODE, "note")
    check_reported(text, CODE, "warning", target="xpu")


def test_flash_attention_3_is_not():
    check_reported('model = load(path, attn_implementation="flash_attention_3")', CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        'model = load(path, attn_implementation="sdpa")',
        'model = load(path, title="flash_attention_2")',
        'if config._attn_implementation == "flash_attention_2":\n    pass',
        'print("flash_attention_2")',
    ],
)
def test_other_implementations_and_questions_are_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "package",
    """spconv MinkowskiEngine torch_scatter gsplat nerfacc pytorch3d auto_gptq awq kaolin torchsparse""".split(),
)
def test_packages_with_kernels_in_cuda(package):
    check_reported(f"import {package}", CODE, "error")


@pytest.mark.parametrize("package", ["vllm", "megatron", "xfuser", "yunchang"])
def test_packages_that_have_a_way_on_the_npu(package):
    check_reported(f"import {package}", CODE, "warning")
    check_reported(f"import {package}", CODE, "error", target="mps")


def test_a_package_without_a_wheel_for_aarch64():
    assert "aarch64" in check_reported("import decord", CODE, "warning").message
    check_reported("try:\n    import decord\nexcept ImportError:\n    decord = None", CODE, "note", 2)
    check_silent("import decord", CODE, target="mps")


def test_an_import_in_a_function_that_nothing_calls_is_a_note():
    check_reported("def f():\n    import xformers", CODE, "note", 2)
    check_reported("def f():\n    import xformers\nf()", CODE, "error", 2)
    check_reported("class A:\n    def __init__(self):\n        import xformers", CODE, "error", 3)
    check_reported("@app.get\ndef f():\n    import xformers", CODE, "error", 3)
