"""Runs the prebuilt backend of this environment's torch: `python tools/check_backend.py TORCH_VERSION`.

tools/build_backends.py runs it in each torch's environment, without a compiler. Any difference from the CPU raises.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

started = time.perf_counter()
import torch  # noqa: E402

imported = time.perf_counter()
import npu_emulator  # noqa: E402

npu_emulator.enable(devices=2, memory="64MiB")
first = torch.ones(2, device="npu").sum().item()
answered = time.perf_counter()


def check_version() -> None:
    assert torch.__version__ == sys.argv[1], f"this is torch {torch.__version__}"
    loaded = Path("/proc/self/maps").read_text()
    minor = ".".join(torch.__version__.split(".")[:2])
    assert f"/prebuilt/torch-{minor}-" in loaded, "the prebuilt backend is not the one that was loaded"


def check_operators() -> None:
    def results(device: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, 3, 8, 8, generator=generator).to(device).requires_grad_()
        weight = torch.randn(4, 3, 3, 3, generator=generator).to(device)
        y = torch.nn.functional.conv2d(x, weight).relu()
        y = torch.nn.functional.layer_norm(y, y.shape[-1:])
        z = torch.nn.functional.scaled_dot_product_attention(y, y, y).flatten(1) @ torch.ones(144, 5, device=device)
        z.square().mean().backward()
        assert x.grad is not None
        return [y, z, x.grad, z.argsort(), x.detach()[:, ::2].contiguous(), x.detach().to(torch.bfloat16)]

    for expected, found in zip(results("cpu"), results("npu:1"), strict=True):
        assert found.device == torch.device("npu:1")
        torch.testing.assert_close(found.cpu(), expected)


def check_random() -> None:
    draws = [(torch.npu.manual_seed(3), torch.rand(5, device="npu"))[1].cpu() for _ in range(2)]
    assert torch.equal(*draws)
    assert torch.nn.functional.dropout(torch.ones(100, device="npu")).unique().tolist() == [0, 2]


def check_memory() -> None:
    before = torch.npu.memory_allocated()
    held = torch.empty(2**20, dtype=torch.uint8, device="npu")
    assert torch.npu.memory_allocated() - before == held.nbytes
    try:
        torch.empty(2**27, dtype=torch.uint8, device="npu")
    except torch.OutOfMemoryError:
        return
    raise AssertionError("no limit of memory")


def check_refusals_and_saving() -> None:
    try:
        torch.ones(2, device="npu:0") + torch.ones(2, device="npu:1")
    except RuntimeError:
        pass
    else:
        raise AssertionError("two devices were mixed")
    file = io.BytesIO()
    torch.save({"x": torch.arange(3, device="npu")}, file)
    file.seek(0)
    assert torch.load(file)["x"].device.type == "npu"


assert first == 2
for check in (check_version, check_operators, check_random, check_memory, check_refusals_and_saving):
    check()
print(f"runs; first tensor {answered - imported:.2f} s after importing torch, which took {imported - started:.2f} s")
