"""Public reports of CUDA code failing on Ascend, as small programs.

Each program passes on CPU, on the emulated NPU fails or warns where the hardware did, and its way out passes there.
"""

from __future__ import annotations

import re
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import npu_emulator
from npu_emulator.errors import RefusedOnNpu

Run = Callable[..., "subprocess.CompletedProcess[str]"]


# Rotary tables in float64: huggingface/diffusers#10428, #10123.


def rotary_tables(device: str, dtype: torch.dtype) -> Tensor:
    frequencies = torch.outer(torch.arange(6, dtype=dtype, device=device), torch.ones(4, dtype=dtype, device=device))
    return frequencies.cpu().cos().to(device).repeat_interleave(2, dim=1)


def test_rotary_tables_in_float64() -> None:
    expected = rotary_tables("cpu", torch.float64)
    with pytest.raises(RefusedOnNpu, match=r"aclnnRepeatInterleaveIntWithDim.*DT_DOUBLE"):
        rotary_tables("npu", torch.float64)
    torch.testing.assert_close(rotary_tables("npu", torch.float32).cpu(), expected.float())


# Indexing a complex64 rotary table: huggingface/diffusers#12979, vllm-project/vllm-omni#4911.


def indexed_table(device: str, positions: Tensor, as_complex: bool) -> Tensor:
    angles = torch.arange(12.0, device=device).view(6, 2)
    cos, sin = angles.cos(), angles.sin()
    chosen = positions.to(device)
    if as_complex:
        return torch.view_as_real(torch.complex(cos, sin)[chosen])
    return torch.stack([cos[chosen], sin[chosen]], dim=-1)


def test_indexing_a_complex_table() -> None:
    positions = torch.tensor([0, 3, 5])
    expected = indexed_table("cpu", positions, as_complex=True)
    with pytest.raises(RefusedOnNpu, match=r"aclnnIndex.*DT_COMPLEX64"):
        indexed_table("npu", positions, as_complex=True)
    torch.testing.assert_close(indexed_table("npu", positions, as_complex=False).cpu(), expected)


# Rotary multiply in complex128: modelscope/DiffSynth-Studio#1191.


def rotate(x: Tensor, angles: Tensor, dtype: torch.dtype) -> Tensor:
    turned = torch.view_as_complex(x.to(dtype).unflatten(-1, (-1, 2)).contiguous())
    table = torch.complex(angles.cos().to(dtype), angles.sin().to(dtype))
    return torch.view_as_real(turned * table).flatten(-2).to(x.dtype)


def test_rotary_multiply_in_complex128(run: Run) -> None:
    # A process of its own: the warning comes once in a process.
    code = """
        import torch, warnings
        def rotate(x, table):
            return torch.view_as_real(torch.view_as_complex(x) * table)
        for dtype in (torch.float32, torch.float64):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                x = torch.ones(3, 2, dtype=dtype)
                table = torch.view_as_complex(torch.ones(3, 2, dtype=dtype))
                assert torch.equal(rotate(x.npu(), table.npu()).cpu(), rotate(x, table))
            print([f"{entry.filename[-10:]}:{entry.lineno}" for entry in caught if "AI CPU" in str(entry.message)])
    """
    result = run(code)
    assert result.stdout.splitlines() == ["[]", "['program.py:4']"], result.stderr


def test_rotary_multiply_in_complex64_is_a_way_out() -> None:
    x, angles = torch.randn(4, 6), torch.randn(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actual = rotate(x.npu(), angles.npu(), torch.float32)
    torch.testing.assert_close(actual.cpu(), rotate(x, angles, torch.float64))


# Conv3d in bfloat16: Comfy-Org/ComfyUI#7784, #7499, hiyouga/LlamaFactory#6694.


def patches_by_convolution(video: Tensor, layer: nn.Conv3d) -> Tensor:
    return layer(video).flatten(2).transpose(1, 2)


def patches_by_matmul(video: Tensor, layer: nn.Conv3d) -> Tensor:
    batch, channels, *extent = video.shape
    sizes = [part for whole, step in zip(extent, layer.kernel_size, strict=True) for part in (whole // step, step)]
    blocks = video.reshape(batch, channels, *sizes).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return functional.linear(blocks.flatten(4).flatten(1, 3), layer.weight.flatten(1), layer.bias)


CONVOLUTION = """
import torch
layer = torch.nn.Conv3d(3, 8, (1, 2, 2), stride=(1, 2, 2)).to("npu", torch.bfloat16)
def attempt():
    try:
        with torch.no_grad():
            print(layer(torch.ones(1, 3, 2, 4, 4, dtype=torch.bfloat16, device="npu")).shape)
    except RuntimeError as error:
        print(error)
attempt()
torch.npu.config.allow_internal_format = False
attempt()
torch.npu.config.allow_internal_format = True
torch.npu.set_compile_mode(jit_compile=False)
attempt()
"""


def test_conv3d_in_bfloat16(run: Run) -> None:
    result = run(CONVOLUTION, options=("--cann", "8.0"))
    refused, *ways_out = result.stdout.splitlines()
    assert re.search(r"call Conv3D failed.*DT_BFLOAT16", refused), result.stderr
    assert ways_out == ["torch.Size([1, 8, 2, 2, 2])"] * 2


def test_conv3d_in_bfloat16_on_the_newest_cann() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(3, 8, (1, 2, 2), stride=(1, 2, 2)).to(torch.bfloat16)
    video = torch.randn(1, 3, 2, 4, 4, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = patches_by_convolution(video, layer)
        layer.npu()
        torch.testing.assert_close(patches_by_convolution(video.npu(), layer).cpu(), expected)
        torch.testing.assert_close(patches_by_matmul(video.npu(), layer).cpu(), expected)


# torch.cuda.get_device_properties on an NPU machine: Comfy-Org/ComfyUI#6483.


def memory_of(device: torch.device, module: object) -> int:
    if device.type == "cpu":
        return 0
    return int(module.get_device_properties(device).total_memory)  # type: ignore[attr-defined]


def test_properties_through_torch_cuda() -> None:
    assert memory_of(torch.device("cpu"), torch.cuda) == 0
    with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
        memory_of(torch.device("npu:0"), torch.cuda)
    assert memory_of(torch.device("npu:0"), torch.get_device_module("npu")) == 8 * 2**30


# fork_rng that saves only a cuda generator: sgl-project/sglang#31027. Silent.


def draws_are_undone(device: torch.device, **fork: object) -> bool:
    before = torch.get_rng_state() if device.type == "cpu" else torch.npu.get_rng_state(device)
    with torch.random.fork_rng(**fork):  # type: ignore[arg-type]
        torch.rand(2, device=device)
    after = torch.get_rng_state() if device.type == "cpu" else torch.npu.get_rng_state(device)
    return torch.equal(before, after)


def devices_if_cuda(device: torch.device) -> list[int]:
    return [device.index] if device.type == "cuda" else []


def test_fork_rng_for_cuda_only() -> None:
    host, npu = torch.device("cpu"), torch.device("npu:0")
    assert draws_are_undone(host, devices=devices_if_cuda(host))
    assert not draws_are_undone(npu, devices=devices_if_cuda(npu))
    assert draws_are_undone(npu, devices=[npu.index], device_type="npu")


# A program that starts only with CUDA: sgl-project/sglang#33569.


def start(device: str, available: Callable[[], bool]) -> str:
    if device != "cpu" and not available():
        raise RuntimeError("an accelerator is required")
    return str((torch.ones(2, device=device) + 1).sum().item())


def test_refusing_to_start_without_cuda() -> None:
    assert start("cpu", torch.cuda.is_available) == "4.0"
    with pytest.raises(RuntimeError, match="an accelerator is required"):
        start("npu", torch.cuda.is_available)
    assert start("npu", torch.accelerator.is_available) == "4.0"


# torch.accelerator.get_device_name: pytorch/tutorials#3883, vllm-project/llm-compressor#2884.


def device_name(device: str, module: object) -> str:
    return "cpu" if device == "cpu" else str(module.get_device_name(0))  # type: ignore[attr-defined]


def test_device_name_through_torch_accelerator() -> None:
    assert device_name("cpu", torch.accelerator) == "cpu"
    with pytest.raises(AttributeError, match="get_device_name"):
        device_name("npu", torch.accelerator)
    assert device_name("npu", torch.get_device_module("npu")) == "Ascend910B2"


# Disk offload that keeps what it read: modelscope/DiffSynth-Studio#1564. Silent: host memory grows.


class FromDisk:
    """A layer whose weight is read into pinned memory for each step, and kept unless told to let go."""

    def __init__(self, release: bool) -> None:
        self.release = release
        self.read: list[Tensor] = []

    def step(self, x: Tensor) -> Tensor:
        weight = torch.eye(256)
        self.read.append(weight if x.device.type == "cpu" else weight.pin_memory())
        out = x @ self.read[-1].to(x.device)
        if self.release:
            self.read.clear()
        return out


def growth(layer: FromDisk) -> list[int]:
    x, sizes = torch.ones(1, 256, device="npu"), []
    for _ in range(3):
        x = layer.step(x)
        sizes.append(torch.npu.host_memory_stats()["allocated_bytes.current"])
    return [after - sizes[0] for after in sizes]


def test_disk_offload_that_keeps_what_it_read() -> None:
    assert FromDisk(release=False).step(torch.ones(1, 256)).sum().item() == 256
    assert growth(FromDisk(release=False)) == [0, 256 * 256 * 4, 2 * 256 * 256 * 4]
    assert growth(FromDisk(release=True)) == [0, 0, 0]


# More device memory than the same model needs elsewhere: modelscope/DiffSynth-Studio#1257.


STAGES = """
import sys, torch
keep, device = sys.argv[1] == "keep", sys.argv[2]
kept, x = [], torch.ones(1, 1024, device=device)
for _ in range(3):
    stage = torch.nn.Linear(1024, 16384).to(device)  # 64 MiB of weights each
    with torch.no_grad():
        x = stage(x)[:, :1024].clone()
    if keep:
        kept.append(stage)
print("done")
"""


def test_stages_that_stay_on_the_device(run: Run) -> None:
    assert run(STAGES, "keep", "cpu", options=("--memory", "150MiB")).stdout == "done\n"
    failed = run(STAGES, "keep", "npu", options=("--memory", "150MiB"))
    assert "torch.OutOfMemoryError: NPU out of memory. Tried to allocate 64.00 MiB" in failed.stderr
    # Freed between stages, one stage and its successor fit.
    assert run(STAGES, "free", "npu", options=("--memory", "150MiB")).stdout == "done\n"


# Ascend 950DT has fewer APIs than Atlas A2: the vendor's documentation.


HARDWARE_LINE = """
import sys, torch
x = torch.full((2,), 0.5, device=sys.argv[1])
spelled_out = 0.5 * (torch.log1p(x) - torch.log1p(-x))
print("%.4f" % (spelled_out if sys.argv[2] == "elementary" else torch.atanh(x)).sum().item())
"""


def test_api_that_a_hardware_line_lacks(run: Run) -> None:
    line = ("--hardware", "ascend-950dt")
    assert run(HARDWARE_LINE, "cpu", "atanh", options=line).stdout == "1.0986\n"
    assert (
        "NotImplementedError: atanh is not supported on ascend-950dt"
        in run(HARDWARE_LINE, "npu", "atanh", options=line).stderr
    )
    assert run(HARDWARE_LINE, "npu", "atanh", options=("--hardware", "atlas-a2")).stdout == "1.0986\n"
    assert run(HARDWARE_LINE, "npu", "elementary", options=line).stdout == "1.0986\n"


# More than fits: vllm-project/vllm-omni#1199. Programs match on the text.


def halves_on_out_of_memory(device: str, rows: int) -> int:
    """A program that recognises the error by its text and tries again with half."""
    try:
        torch.empty(rows, 2**20, dtype=torch.uint8, device=device)
    except RuntimeError as error:
        if "NPU out of memory. Tried to allocate" not in str(error):
            raise
        return halves_on_out_of_memory(device, rows // 2)
    return rows


def test_more_than_fits() -> None:
    assert halves_on_out_of_memory("cpu", 12 * 1024) == 12 * 1024
    with pytest.raises(torch.OutOfMemoryError) as error:
        torch.empty(12 * 2**30, dtype=torch.uint8, device="npu")
    assert str(error.value).startswith(
        "NPU out of memory. Tried to allocate 12.00 GiB (NPU 0; 8.00 GiB total capacity; "
    )
    assert str(error.value).endswith(" reserved in total by PyTorch)")
    assert halves_on_out_of_memory("npu", 12 * 1024) == 6 * 1024


# Offloading together with training: modelscope/DiffSynth-Studio#1257, second report.


def offloaded_training_step(device: str, offload: bool) -> float:
    layer = nn.Linear(3, 2).to(device)
    if offload:
        layer.to("cpu")  # what an offload manager does between calls; training calls the layer without it
    loss = layer(torch.ones(1, 3, device=device)).sum()
    loss.backward()
    return float(loss.item())


def test_offload_in_training() -> None:
    offloaded_training_step("cpu", offload=True)
    with pytest.raises(RuntimeError, match=r"same device.*npu:0 and cpu|same device.*cpu and npu:0"):
        offloaded_training_step("npu", offload=True)
    offloaded_training_step("npu", offload=False)


# More reports, of one line each. A program is refused, or warns that it runs elsewhere, as there; the way out is quiet.


@dataclass(frozen=True)
class Reported:
    """``program`` and ``way_out`` are expressions; ``says`` is what the refusal or the warning holds."""

    link: str
    program: str
    says: str
    way_out: str


def ones(*shape: int, dtype: str = "float32") -> str:
    """Ones on the device, made on the host and sent there."""
    return f"torch.ones({', '.join(map(str, shape))}, dtype=torch.{dtype}).npu()"


REPORTS = [
    Reported(
        "Ascend/pytorch#158", f"{ones(1, dtype='uint64')} + 1", "refused aclnnAdds? .*DT_UINT64", f"{ones(1)} + 1"
    ),
    Reported(
        "Ascend/pytorch#83, sgl-project/sglang#10402",
        f"torch.cat([{ones(2, dtype='uint64')}] * 2)",
        "refused aclnnCat .*DT_UINT64",
        f"torch.cat([{ones(2, dtype='int64')}] * 2)",
    ),
    Reported(
        "flagos-ai/Torch-FL#135: mm",
        f"torch.mm(*[{ones(2, 2, dtype='int64')}] * 2)",
        "refused aclnnMm .*DT_INT64",
        f"torch.mm(*[{ones(2, 2)}] * 2)",
    ),
    Reported(
        "flagos-ai/Torch-FL#135: neg",
        f"-{ones(2, dtype='int16')}",
        "refused aclnnNeg .*DT_INT16",
        f"-{ones(2, dtype='int32')}",
    ),
    Reported(
        "flagos-ai/FlagGems#6346",
        'torch.arange(4, dtype=torch.int8, device="npu")',
        "refused aclnnArange .*DT_INT8",
        'torch.arange(4, dtype=torch.int32, device="npu").to(torch.int8)',
    ),
    Reported(
        "vllm-project/vllm-ascend#1619",
        "torch.tensor([3, 1, 2]).npu().sort()",
        "warned sort on int64 runs on the AI CPU",
        "torch.tensor([3.0, 1.0, 2.0]).npu().sort()",
    ),
    Reported(
        "candle-org/candle#115: hypot",
        f"torch.hypot({ones(3)}, {ones(3)})",
        "warned 'aten::hypot' is not currently supported on the NPU backend",
        f"({ones(3)} ** 2 + {ones(3)} ** 2).sqrt()",
    ),
    Reported(
        "flagos-ai/FlagGems, tests/test_index_fill.py",
        f"{ones(2, 4, dtype='int16')}.index_fill(1, torch.tensor([0]).npu(), 3)",
        "refused aclnn(Inplace)?IndexFill .*DT_INT16",
        f"{ones(2, 4, dtype='int32')}.index_fill(1, torch.tensor([0]).npu(), 3)",
    ),
    Reported(
        "flagos-ai/FlagGems, benchmark/test_searchsorted.py",
        f"torch.searchsorted({ones(2, dtype='bfloat16')}, {ones(2, dtype='bfloat16')})",
        "refused aclnnSearchSorted .*DT_BFLOAT16",
        f"torch.searchsorted({ones(2)}, {ones(2)})",
    ),
    Reported(
        "sgl-project/sglang#14159",
        f"{ones(2, 1, 1, 1, 1, 1, 1, 1, 2)}.transpose(0, 8).contiguous()",
        "refused aclnnInplaceCopy .*dimension should not be more than 8",
        f"{ones(2, 1, 2)}.transpose(0, 2).contiguous()",
    ),
    Reported(
        "Ascend/pytorch#51",
        "encoder_layer(torch.ones(1, 3, 8).npu())",
        "warned 'aten::_transformer_encoder_layer_fwd' is not currently supported on the NPU backend",
        "encoder_layer(torch.ones(1, 3, 8).npu().requires_grad_())",
    ),
    Reported(
        "flagos-ai/FlagGems#3267",
        'torch.randn(3, dtype=torch.complex32, device="npu")',
        "refused aclnnInplaceNormal .*DT_COMPLEX32",
        'torch.randn(3, 2, device="npu")',
    ),
    Reported(
        "vllm-project/vllm-ascend#16865, #1057",
        "torch.tensor([3, 1, 2]).npu().argsort()",
        "warned (arg)?sort on int64 runs on the AI CPU",
        "torch.tensor([3, 1, 2]).npu().float().argsort()",
    ),
    Reported(
        "vllm-project/vllm-ascend#8343",
        f"{ones(3, dtype='int64')}.scatter_add_(0, torch.tensor([1]).npu(), {ones(1, dtype='int64')})",
        "warned scatter_add_ on int64 runs on the AI CPU",
        f"{ones(3, dtype='int32')}.scatter_add_(0, torch.tensor([1]).npu(), {ones(1, dtype='int32')})",
    ),
    Reported(
        "flagos-ai/FlagGems-vllm#818",
        f"{ones(18, dtype='int64')}.cumsum(0)",
        "warned cumsum on int64 runs on the AI CPU",
        f"{ones(18)}.cumsum(0)",
    ),
    Reported(
        "flagos-ai/FlagGems#6575",
        f"{ones(3)}.geometric_(0.5)",
        "warned 'aten::geometric_' is not currently supported on the NPU backend",
        f"({ones(3)}.uniform_().log() / -0.7).ceil()",
    ),
    Reported(
        "candle-org/candle, docs/known-kernel-issues.md: fmin",
        f"torch.fmin({ones(3)}, {ones(3)})",
        "warned 'aten::fmin' is not currently supported on the NPU backend",
        f"torch.minimum({ones(3)}, {ones(3)})",
    ),
    Reported(
        "candle-org/candle, docs/known-kernel-issues.md: fmax",
        f"torch.fmax({ones(3)}, {ones(3)})",
        "warned 'aten::fmax' is not currently supported on the NPU backend",
        f"torch.maximum({ones(3)}, {ones(3)})",
    ),
    Reported(
        "vllm-project/vllm-omni#6852",
        f"functional.linear({ones(1, 2)}, {ones(3, 2, dtype='int8')})",
        "refused aclnnMatmul .*DT_INT8",
        f"functional.linear({ones(1, 2)}, {ones(3, 2, dtype='int8')}.float())",
    ),
    Reported(
        "Ascend/pytorch#45",
        f"{ones(2)}.masked_fill_({ones(2)}, 0)",
        "refused aclnnInplaceMaskedFillScalar .*mask",
        f"{ones(2)}.masked_fill_({ones(2)}.bool(), 0)",
    ),
    Reported(
        "flagos-ai/FlagGems, tests/test_nanmedian.py",
        f"{ones(3, dtype='float64')}.nanmedian()",
        "refused aclnnNanMedian .*DT_DOUBLE",
        f"{ones(3)}.nanmedian()",
    ),
    Reported(
        "flagos-ai/FlagGems, tests/test_real.py",
        f"torch.isclose({ones(2, dtype='complex64')}, {ones(2, dtype='complex64')})",
        "refused aclnnIsClose .*DT_COMPLEX64",
        f"torch.isclose(torch.view_as_real({ones(2, dtype='complex64')}), {ones(2, 2)})",
    ),
    Reported(
        "Comfy-Org/ComfyUI#14653, Ascend/pytorch#100",
        f"{ones(2)}.to(torch.float8_e4m3fn)",
        "refused aclnnCast .*DT_FLOAT8_E4M3FN",
        "torch.ones(2).to(torch.float8_e4m3fn).to(torch.bfloat16).npu()",
    ),
]


def outcome(program: str) -> str:
    """``refused`` or ``warned`` with what was said, or nothing."""
    npu_emulator.reset_slow_operators()
    encoder_layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).npu().eval()
    names = {"torch": torch, "functional": functional, "encoder_layer": encoder_layer}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with torch.set_grad_enabled("requires_grad" in program):
                eval(program, names)
        except RuntimeError as error:
            return f"refused {str(error).partition('call ')[2]}"
    return " ".join(f"warned {entry.message}" for entry in caught)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.link)
def test_a_report(report: Reported) -> None:
    assert re.search(report.says.replace("warned '", "warned .*'"), outcome(report.program))
    assert outcome(report.way_out) == ""


# On other hardware than Atlas A2, or with an older CANN.

ELSEWHERE = """
import sys, warnings, torch
for program in sys.argv[1:]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            eval(program)
            print(*[str(entry.message)[:60] for entry in caught] or ["runs"])
        except RuntimeError as error:
            print("refused", str(error).partition("call ")[2][:60])
"""
CONV3D = "torch.nn.functional.conv3d(*[torch.ones(1, 1, 2, 2, 2, dtype=torch.float16).npu()] * 2)"
ISIN = "torch.isin(torch.ones(2).npu(), torch.ones(2).npu())"


@pytest.mark.parametrize(
    ("link", "options", "program", "says", "way_out"),
    [
        (
            "hiyouga/LlamaFactory#7522, #5425",
            ("--hardware", "atlas-310p"),
            f"{ones(2, dtype='bfloat16')}.float()",
            "refused aclnnCast failed",
            f"{ones(2, dtype='float16')}.float()",
        ),
        (
            "hiyouga/LlamaFactory#4165",
            ("--hardware", "atlas-910"),
            f"{ones(2, dtype='float16')}.to(torch.bfloat16)",
            "refused aclnnCast failed",
            f"{ones(2, dtype='float16')}.float()",
        ),
        (
            "vllm-project/vllm-ascend#5017",
            ("--hardware", "atlas-310p"),
            CONV3D,
            "refused Conv3D failed",
            "torch.ones(1, 8, dtype=torch.float16).npu() @ torch.ones(8, 1, dtype=torch.float16).npu()",
        ),
        (
            "Ascend/pytorch#40, hiyouga/LlamaFactory#4836, #6671, modelscope/ms-swift#1047",
            ("--cann", "8.0"),
            ISIN,
            "CAUTION: The operator 'aten::isin' is not currently supporte",
            "(torch.ones(2).npu()[:, None] == torch.ones(2).npu()).any(-1)",
        ),
    ],
)
def test_a_report_of_other_hardware(
    run: Run, link: str, options: tuple[str, ...], program: str, says: str, way_out: str
) -> None:
    result = run(ELSEWHERE, program, way_out, options=options)
    assert result.stdout.splitlines()[0].startswith(says), (link, result.stdout, result.stderr)
    assert result.stdout.splitlines()[1:] == ["runs"], link
