"""DP217: C++ that is written for CUDA."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, check_silent, ported

CODE = "DP217"
KERNEL = "__global__ void k(float* x) {}\n"


def test_kernels_and_what_they_are_registered_as() -> None:
    text = f'{KERNEL}{KERNEL}TORCH_LIBRARY(ops, m) {{ m.def("scale(Tensor x) -> Tensor"); m.def("add"); }}\n'
    check_reported("k.cu", text, CODE, "error")
    (found,) = ported("k.cu", text).findings
    assert found.message == "this source holds 2 kernels in CUDA C++; it registers add, scale"


@pytest.mark.parametrize(
    "text", ["cudaMalloc(&p, 1); // cuda\n", "auto s = at::cuda::getCurrentCUDAStream(); // cuda\n"]
)
def test_calls_of_cudas_libraries(text: str) -> None:
    check_reported("a.cpp", text, CODE, "warning")


def test_one_call_is_in_one_place() -> None:
    (found,) = ported("a.cpp", "cudaMalloc(&p, 1); // cuda\n").findings
    assert "libraries in 1 place" in found.message
    assert "1 places" not in found.message


@pytest.mark.parametrize("text", ["int main() {}\n", "// runs on cuda\n", "bool use_cuda = false;\n"])
def test_left_alone(text: str) -> None:
    check_silent("a.cpp", text)


def test_bytes_that_are_no_utf_8_are_counted_too() -> None:
    from porter.documents import port_bytes
    from porter.port import Plan

    data = b"// \xff cuda\n" + KERNEL.encode()
    result = port_bytes("k.cuh", data, Plan("npu"))
    assert (result.data, [one.code for one in result.findings]) == (data, [CODE])
