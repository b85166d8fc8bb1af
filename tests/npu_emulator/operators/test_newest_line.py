"""What the operators take on Ascend 950 alone. A process has one hardware line, so one program tries them all."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAM = """
    import torch, torch_npu

    torch.manual_seed(0)
    rows = torch.randn(4, 6)

    for number in (torch.float8_e4m3fn, torch_npu.float8_e4m3fn):
        cast = torch_npu.npu_dtype_cast(rows.npu(), number)
        assert torch.equal(cast.cpu().float(), rows.to(torch.float8_e4m3fn).float()), number

    tokens = torch.randint(-128, 128, (4, 6), dtype=torch.int8)
    experts = torch.tensor([[1, 0], [0, 2], [2, 1], [0, 1]])
    permuted, places = torch_npu.npu_moe_token_permute(tokens.npu(), experts.npu())
    order = experts.flatten().argsort(stable=True)
    assert permuted.dtype == torch.int8
    assert torch.equal(permuted.cpu(), tokens[order // 2])
    assert torch.equal(order[places.cpu()], torch.arange(8))

    for mode, dims in (("pertensor", (0, 1)), ("perchannel", 0), ("pertoken", 1)):
        half = rows.half()
        quantized, scale = torch_npu.npu_dynamic_quant(half.npu(), quant_mode=mode)
        expected = half.float().abs().amax(dims) / 127
        torch.testing.assert_close(scale.cpu(), expected.view_as(scale.cpu()))
        unit = expected if mode != "pertoken" else expected[:, None]
        assert torch.equal(quantized.cpu(), (half.float() / unit).round().to(torch.int8)), mode
        low, scale, offset = torch_npu.npu_dynamic_quant_asymmetric(half.npu(), quant_mode=mode)
        back = low.cpu().float()
        scale, offset = ((t.cpu()[:, None] if mode == "pertoken" else t.cpu()) for t in (scale, offset))
        assert ((back - offset) * scale - half.float()).abs().max() <= scale.max(), mode

    x, angle = torch.randn(1, 2, 3, 64), torch.randn(1, 1, 3, 64)
    turned = torch_npu.npu_interleave_rope(x.npu(), angle.cos().npu(), angle.sin().npu())
    gathered = torch.cat([x[..., 0::2], x[..., 1::2]], -1)
    swapped = torch.cat([-gathered[..., 32:], gathered[..., :32]], -1)
    torch.testing.assert_close(turned.cpu(), gathered * angle.cos() + swapped * angle.sin())

    wide, table = torch.randn(1, 1, 2, 1024).npu(), torch.ones(1, 1, 2, 1024).npu()
    assert torch.equal(torch_npu.npu_rotary_mul(wide, table, table * 0), wide)
    refused = None
    try:
        torch_npu.npu_rotary_mul(wide, table, table, "half", torch.eye(1024).npu())
    except RuntimeError as error:
        refused = str(error)
    assert "rotate is given, expected None (ascend-950dt, by the operator" in str(refused), refused
"""


def test_what_the_newest_line_takes(run: Run) -> None:
    result = run(PROGRAM, options=("--hardware", "ascend-950dt"))
    assert result.returncode == 0, result.stderr[-2000:]
