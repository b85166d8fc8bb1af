"""The emulated NPU refuses what its table says, operator by operator, argument by argument, type by type.

A sample of benchmarks/emulator_definitions.py, which reads the vendor's definitions themselves.
"""

from __future__ import annotations

import pytest

from benchmarks.emulator_definitions import Caller, pairs
from npu_emulator.operator_table import OperatorTable

TABLE = OperatorTable("atlas-a2")
OPERATORS = """
    add.Tensor add_.Tensor sub.Tensor mul.Tensor div.Tensor neg abs sin cos exp sqrt rsqrt reciprocal log tanh
    eq.Tensor lt.Tensor where.self cat stack index.Tensor index_select gather scatter_add_ masked_fill_.Scalar
    mm bmm addmm matmul sum.dim_IntList mean.dim max.dim cumsum sort topk arange zeros ones fill_.Scalar normal_
    embedding native_layer_norm _softmax _softmax_backward_data gelu_backward sigmoid_backward
    threshold_backward convolution upsample_nearest2d _foreach_add_.List _foreach_mul_.Scalar flip roll tril
    repeat_interleave.self_int nonzero clamp pow.Tensor_Scalar isfinite isclose complex polar searchsorted.Tensor
""".split()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_refuses_what_it_does_not_take(operator: str) -> None:
    caller = Caller()
    entry = TABLE.entry(operator)
    assert entry is not None
    checked = 0
    for pair, taken, refuses in pairs(operator, lambda _, argument: entry.takes.get(argument), caller):
        if TABLE.report(operator.partition(".")[0], pair.type) is None:
            assert refuses() is not taken, pair
            checked += 1
    assert checked >= 10
