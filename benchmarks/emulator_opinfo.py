"""Compares the emulated NPU with the CPU on torch's own operator database: forward and backward, float32
(or, for an entry without it, another type).

An entry counts only if every sample ran, with all its tensors on the npu, and gave the CPU's numbers; a sample that is
skipped or raises is a failure. An entry is excused only if it is listed below and, in this run, raises on the CPU too:
then there is nothing to be equal to. Refusals are off (they would rightly fail some): what is measured is the backend.

    python benchmarks/emulator_opinfo.py [--samples 3] [--only NAME]

Takes some minutes. Needs the packages that torch.testing._internal imports (numpy, expecttest).
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import npu_emulator

npu_emulator.enable(devices=1, memory="64GiB", strict=False)

import torch  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.testing._internal.opinfo.core import SampleInput  # noqa: E402
from torch.utils._pytree import tree_flatten, tree_map  # noqa: E402

EQUAL = "equal"

# Their results are drawn at random, or are memory that nobody wrote: only shape and type can agree.
UNDETERMINED = {"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"}
# torch demands that its indices, where they are a tensor, stand on the CPU, whatever the device of the input: on CUDA
# and on a real NPU it raises otherwise, and so it does here.
HOST_ARGUMENTS = {"tensor_split"}
# Their indices are int32 on Ascend (op-plugin's MaxPool3dWithIndicesKernelNpuOpApi.cpp), and so they are here.
SHORT_INDICES = {"nn.functional.max_pool3d", "nn.functional.adaptive_max_pool3d"}
# Entries that the CPU cannot run. A real NPU has none of them either: where it lacks a kernel it falls back to the CPU,
# and raises that there is none (vllm-project/vllm-omni#755). So does the emulated one.
NOT_ON_CPU = {
    "jiterator_unary": "compiles CUDA code",
    "jiterator_binary": "compiles CUDA code",
    "jiterator_4inputs_with_extra_args": "compiles CUDA code",
    "jiterator_binary_return_by_ref": "compiles CUDA code",
    "jiterator_2inputs_2outputs": "compiles CUDA code",
    "torch.ops.aten._flash_attention_forward": "has CUDA and ROCm kernels only",
    "torch.ops.aten._efficient_attention_forward": "has CUDA and ROCm kernels only",
}


@dataclasses.dataclass
class Result:
    """What became of one entry."""

    name: str
    forward: str = ""
    backward: str = ""
    on_cpu: bool = True

    @property
    def excuse(self) -> str | None:
        """Why there are no results of the CPU to be equal to."""
        return None if self.on_cpu else NOT_ON_CPU.get(self.name)


def tensors_of(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, torch.Tensor)]


def move_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Moves a tensor together with all of its storage, which as_strided may reach beyond the tensor."""
    if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
        return tensor.to("npu")
    storage = tensor.untyped_storage().to(device=torch.device("npu"))
    empty = torch.empty(0, dtype=tensor.dtype, device="npu")
    return empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def to_npu(value: Any) -> Any:
    """Moves tensors, and names npu where a sample names cpu as its device."""

    def move(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return move_tensor(leaf.detach()).requires_grad_(leaf.requires_grad)
        if isinstance(leaf, torch.device) or leaf == "cpu":
            return torch.device("npu")
        return leaf

    return tree_map(move, value)


def shortened(leaf: Any) -> Any:
    return leaf.int() if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.int64 else leaf


def compare(expected: Any, actual: Any, values: bool) -> None:
    """Raises AssertionError where two results differ, or a tensor is not on npu."""
    wanted, found = tensors_of(expected), tensors_of(actual)
    assert len(wanted) == len(found), f"{len(found)} tensors, expected {len(wanted)}"
    for one, other in zip(wanted, found, strict=True):
        assert other.device.type == "npu", f"a result is on {other.device}"
        assert one.shape == other.shape, f"shape {tuple(other.shape)}, expected {tuple(one.shape)}"
        assert one.dtype == other.dtype, f"type {other.dtype}, expected {one.dtype}"
        if values:
            torch.testing.assert_close(other.cpu(), one, equal_nan=True)
    if not wanted:
        assert expected == actual or not isinstance(expected, (bool, int, float)), f"{actual}, expected {expected}"


def run(op: Any, sample: Any) -> Any:
    torch.manual_seed(0)
    return op(sample.input, *sample.args, **sample.kwargs)


def forward(op: Any, samples: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Runs every sample on both devices, compares, and yields the pairs of results."""
    for sample in samples:
        args, kwargs = (
            (sample.args, sample.kwargs) if op.name in HOST_ARGUMENTS else to_npu((sample.args, sample.kwargs))
        )
        moved = SampleInput(to_npu(sample.input), args=args, kwargs=kwargs)
        expected = run(op, sample)
        actual = run(op, moved)
        if op.name in SHORT_INDICES:
            expected = tree_map(shortened, expected)
        compare(expected, actual, values=op.name not in UNDETERMINED)
        for tensor in tensors_of(moved.input if op.name in HOST_ARGUMENTS else (moved.input, args, kwargs)):
            assert tensor.device.type == "npu", "an input is not on npu"
        yield (sample, expected), (moved, actual)


def gradients(sample: Any, output: Any) -> list[torch.Tensor | None]:
    inputs = [t for t in tensors_of((sample.input, sample.args, sample.kwargs)) if t.requires_grad]
    outputs = [t for t in tensors_of(output) if t.requires_grad]
    if not inputs or not outputs:
        return []
    # The magnitude of complex results: their phase is not always determined.
    totals = [(t.abs() if t.is_complex() else t.to_dense()).sum() for t in outputs]
    return list(torch.autograd.grad(sum(totals), inputs, allow_unused=True))


def fresh_samples(op: Any, count: int, requires_grad: bool) -> list[Any]:
    torch.manual_seed(0)
    samples = op.sample_inputs("cpu", dtype_of(op), requires_grad=requires_grad)
    return list(itertools.islice(samples, count))


def dtype_of(op: Any) -> torch.dtype:
    """float32, or for an entry without it the first type it has."""
    if torch.float32 in op.dtypes or not op.dtypes:
        return torch.float32
    return min(op.dtypes, key=str)


def attempt(check: Any) -> str:
    try:
        check()
    except Exception as error:  # every failure of an entry is a row of the table
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:150]
    return EQUAL


def run_on_cpu(op: Any, count: int) -> None:
    for sample in fresh_samples(op, count, requires_grad=False):
        run(op, sample)


def check_forward(op: Any, count: int) -> None:
    assert sum(1 for _ in forward(op, fresh_samples(op, count, requires_grad=False))) > 0, "no sample"


def check_backward(op: Any, count: int) -> None:
    compared = 0
    for (sample, expected), (moved, actual) in forward(op, fresh_samples(op, count, requires_grad=True)):
        compare(gradients(sample, expected), gradients(moved, actual), values=True)
        compared += 1
    assert compared > 0, "no sample"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3, help="samples of each entry (default: 3)")
    parser.add_argument("--only", help="entries whose name holds this")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = []
    for op in op_db:
        name = f"{op.name}.{op.variant_test_name}".rstrip(".")
        if options.only and options.only not in name:
            continue
        result = Result(name, attempt(lambda op=op: check_forward(op, options.samples)))
        if result.forward != EQUAL:
            result.on_cpu = attempt(lambda op=op: run_on_cpu(op, options.samples)) == EQUAL
        if op.supports_autograd and (dtype_of(op).is_floating_point or dtype_of(op).is_complex):
            result.backward = attempt(lambda op=op: check_backward(op, options.samples))
        results.append(result)
    return report(results)


def report(results: list[Result]) -> int:
    """Prints the exceptions and the counts; returns 1 if an entry failed that the CPU can run."""
    differentiable = [result for result in results if result.backward]
    unexpected = 0
    for direction, rows in (("forward", results), ("backward", differentiable)):
        failed = [result for result in rows if getattr(result, direction) != EQUAL]
        for result in failed:
            why = f"not on CPU either: {result.excuse}" if result.excuse else getattr(result, direction)
            print(f"{direction:<9} {result.name:<45} {why}")
        unexcused = sum(result.excuse is None for result in failed)
        unexpected += unexcused
        equal, runs = len(rows) - len(failed), len(rows) - len(failed) + unexcused
        print(f"{direction + ':':<9} {equal} of {len(rows)} entries equal to CPU, which itself runs {runs}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
