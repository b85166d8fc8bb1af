"""DP204: kernels written in CUDA C++."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP204"
IMPORTS = "from torch.utils.cpp_extension import CUDAExtension, CppExtension, load, load_inline\n"


@pytest.mark.parametrize(
    "text",
    [
        'setup(ext_modules=[CUDAExtension("ops", ["ops.cpp"])])',
        'load_inline("ops", cpp_sources=header, cuda_sources=kernel)',
        'load_inline("ops", cpp_sources=header, with_cuda=True)',
        'load(name="ops", sources=["ops.cpp", "kernel.cu"])',
        'load(name="ops", sources=[f"{root}/kernel.cu"])',
        'load(name="ops", sources=sources, extra_cuda_cflags=["-O3"])',
    ],
)
def test_compiling_cuda_sources_is_an_error(text):
    check_reported(IMPORTS + text, CODE, "error", 2)


@pytest.mark.parametrize(
    "text",
    [
        'setup(ext_modules=[CppExtension("ops", ["ops.cpp"])])',
        'load_inline("ops", cpp_sources=header)',
        'load_inline("ops", cpp_sources=header, with_cuda=False)',
        'load_inline("ops", cpp_sources=header, cuda_sources=None)',
        'load(name="ops", sources=["ops.cpp", "kernel.cc"])',
        'build(name="ops", sources=["ops.cpp", "kernel.cu"])',
        'open("kernel.cu")',
        "names = [CUDAExtension]",
    ],
)
def test_plain_extensions_are_left_alone(text):
    check_silent(IMPORTS + text, CODE)


def test_every_import_form_is_read():
    check_reported('import torch\ntorch.utils.cpp_extension.CUDAExtension("ops", files)', CODE, "error", 2)
    check_reported('from torch.utils import cpp_extension as ext\next.load("ops", ["a.cu"])', CODE, "error", 2)
    check_silent('from setuptools import Extension as CUDAExtension\nCUDAExtension("ops", files)', CODE)


def test_a_kernel_in_a_string_is_an_error():
    kernel = '{} """\nextern "C" __global__ void scale(float* x) {{}}\n"""'
    check_reported(kernel.format("source ="), CODE, "error")
    check_silent(kernel.format("").strip(), CODE)
    check_silent(kernel.format("source =").replace("__global__", "__globals__"), CODE)


@pytest.mark.parametrize(
    "text",
    [
        "from torch.utils.cpp_extension import CUDA_HOME",
        "import torch.utils.cpp_extension; home = torch.utils.cpp_extension.CUDA_HOME",
    ],
)
def test_the_toolkit_is_a_warning(text):
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text", ["from torch.utils.cpp_extension import CppExtension", 'os.environ["CUDA_HOME"]', "CUDA_HOME = None"]
)
def test_other_names_are_left_alone(text):
    check_silent(text, CODE)
