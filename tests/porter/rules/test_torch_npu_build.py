"""DP209: what the build of torch_npu that is ported to lacks."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from porter.torch_npu_builds import known_builds

from .cases import check_reported, check_silent

CODE = "DP209"


#: A use, what is missing, a build without it, one with it, and where it is said to be.
NAMES = [
    (
        "torch.cuda.ExternalStream(p)",
        "torch.npu.ExternalStream",
        "2.7.1.post4",
        "2.7.1.post11",
        "from 2.7.1.post11, 2.",
    ),
    ("torch.npu.ExternalStream(p)", "torch.npu.ExternalStream", "2.9.1", "2.9.0.post9", "2.9.0.post9, 2.10.0.post7 on"),
    ("torch.cuda._sleep(9)", "torch.npu._sleep", "2.8.0.post5", "2.10.0.post7", "2.9.0.post9, 2.10.0.post7 on"),
    (
        "torch.cuda.get_per_process_memory_fraction()",
        "torch.npu.get_per_process_memory_fraction",
        "2.7.1",
        "2.7.1.post4",
        "from 2.7.1.post4, 2.8.0.post5 on",
    ),
    (
        "torch.cuda.host_memory_stats()",
        "torch.npu.host_memory_stats",
        "2.6.0.post5",
        "2.8.0.post5",
        "from 2.7.1.post4, ",
    ),
    (
        "torch.cuda.memory.reset_peak_host_memory_stats()",
        "torch.npu.memory.reset_peak_host_memory_stats",
        "2.7.1",
        "2.9.1",
        "from 2.7.1.post4, 2.8.0.post5 on",
    ),
    (
        "torch.cuda.ipc_collect()",
        "torch.npu.ipc_collect",
        "2.6.0",
        "2.6.0.post5",
        "2.1.0.post17, 2.6.0.post5, 2.7.1 on",
    ),
    ("torch.cuda.ipc_collect()", "torch.npu.ipc_collect", "2.5.1.post1", "2.1.0.post17", "from 2.1.0.post17, "),
    ("torch.cuda.StreamContext(s)", "torch.npu.StreamContext", "2.4.0.post4", "2.5.1.post1", "2.5.1.post1 on"),
    ("torch.cuda.MemPoolContext(p)", "torch.npu.MemPoolContext", "2.13.0", "2.12.0.post3", "up to 2.12.0.post3"),
    ("torch.cuda._parse_visible_devices()", "torch.npu._parse_visible_devices", "2.4.0.post4", "2.5.1.post1", "on"),
    ("torch_npu.npu.set_device_limit(0, 8)", "torch.npu.set_device_limit", "2.6.0", "2.7.1", "2.6.0.post5, 2.7.1 on"),
    ("torch.npu.mstx.range_push('x')", "torch.npu.mstx.range_push", "2.9.1", "2.11.0.post3", "from 2.7.1.post11, "),
    ("torch.npu.npurt()", "torch.npu.npurt", "2.7.1.post4", "2.7.1.post11", "from 2.7.1.post11, "),
    (
        "torch.npu.get_default_generator()",
        "torch.npu.get_default_generator",
        "2.12.0.post3",
        "2.13.0",
        "from 2.13.0 on",
    ),
    ("torch_npu.npu_mla_prolog_v2(x)", "torch_npu.npu_mla_prolog_v2", "2.3.1.post6", "2.1.0.post17", "2.5.1.post1 on"),
    ("torch.ops.npu.npu_gelu_mul(x)", "torch_npu.npu_gelu_mul", "2.7.1", "2.6.0.post5", "2.7.1.post4, 2.8.0.post5 on"),
    (
        "torch_npu.npu_quant_all_reduce(x)",
        "torch_npu.npu_quant_all_reduce",
        "2.14.0",
        "2.9.1",
        "2.8.0.post5, 2.9.1 only",
    ),
    (
        "from torch_npu import npu_clipped_swiglu",
        "torch_npu.npu_clipped_swiglu",
        "2.6.0",
        "2.7.1.post4",
        "2.6.0.post5, ",
    ),
    ("from torch_npu.contrib import BiLSTM", "torch_npu.contrib.BiLSTM", "2.6.0", "2.3.1.post6", "2.4.0.post4 only"),
    (
        "torch_npu.npu_multi_head_attention_v2(x)",
        "torch_npu.npu_multi_head_attention_v2",
        "2.6.0.post5",
        "2.6.0",
        "in 2.3.1",
    ),
    ("torch.npu.Event.from_ipc_handle(d, h)", "torch.npu.Event.from_ipc_handle", "2.7.1", "2.7.1.post4", "from 2.7.1."),
]


@pytest.mark.parametrize(("text", "name", "lacks", "has", "where"), NAMES)
def test_a_name_before_and_after(text: str, name: str, lacks: str, has: str, where: str) -> None:
    found = check_reported(text, CODE, "error", torch_npu=lacks)
    assert found.message.startswith(f"torch_npu {lacks} has no {name}; it is there ")
    assert where in found.message
    assert found.way_out
    check_silent(text, CODE, torch_npu=has)


@pytest.mark.parametrize(
    ("text", "parameter", "lacks", "has"),
    [
        (
            "torch.cuda.is_bf16_supported(including_emulation=True)",
            "including_emulation",
            "2.7.1.post4",
            "2.7.1.post11",
        ),
        ("torch.npu.is_bf16_supported(including_emulation=True)", "including_emulation", "2.8.0.post5", "2.9.0.post9"),
        ("torch.cuda.MemPool(no_split=True)", "no_split", "2.12.0.post3", "2.13.0"),
        ("torch.cuda.memory_snapshot(mempool_id=p)", "mempool_id", "2.12.0.post3", "2.14.0"),
        ("torch_npu.npu_fusion_attention(q, k, v, 8, 'BSH', sink=s)", "sink", "2.7.1", "2.6.0.post5"),
        ("torch_npu.npu_fusion_attention(q, k, v, 8, 'BSH', seed=1)", "seed", "2.6.0.post5", "2.7.1.post4"),
        ("torch_npu.npu_fusion_attention(q, k, v, 8, 'BSH', softmax_layout='')", "softmax_layout", "2.6.0", "2.7.1"),
        ("torch.ops.npu.npu_rotary_mul(x, a, b, rotate=r)", "rotate", "2.7.1", "2.8.0.post5"),
        ("torch_npu.npu_format_cast(x, 29, customize_dtype=d)", "customize_dtype", "2.5.1.post1", "2.1.0.post17"),
        ("torch.npu.mstx.mark('x', domain='d')", "domain", "2.4.0.post4", "2.5.1.post1"),
        ("torch_npu.npu_fused_causal_conv1d(x, w, s, activation_mode=1)", "activation_mode", "2.14.0", "2.9.1"),
    ],
)
def test_a_parameter_before_and_after(text: str, parameter: str, lacks: str, has: str) -> None:
    message = check_reported(text, CODE, "error", torch_npu=lacks).message
    assert f"of torch_npu {lacks} has no parameter {parameter}; it is there " in message
    check_silent(text, CODE, torch_npu=has)


@pytest.mark.parametrize(
    ("text", "lacks", "has"),
    [
        ("torch.cuda.is_bf16_supported(False)", "2.9.1", "2.9.0.post9"),
        ("torch.cuda.memory_snapshot(p)", "2.12.0.post3", "2.13.0"),
        ("torch_npu.npu_format_cast(x, 29, d)", "2.7.1.post4", "2.7.1"),
        ("torch_npu.npu_rotary_mul(x, a, b, 'half', r)", "2.7.1", "2.7.1.post4"),
    ],
)
def test_arguments_by_position_before_and_after(text: str, lacks: str, has: str) -> None:
    assert "by position" in check_reported(text, CODE, "error", torch_npu=lacks).message
    check_silent(text, CODE, torch_npu=has)


@pytest.mark.parametrize(
    "class_", ["torch.cuda.Event", "torch.npu.Event", "torch.npu.streams.Event", "torch_npu.npu.Event"]
)
@pytest.mark.parametrize(
    "use",
    [
        "{}(interprocess=True).ipc_handle()",
        "event = {}(interprocess=True)\nevent.ipc_handle()",
        "self.done = {}()\nself.done.ipc_handle()",
        "if shared:\n    event: object = {}()\nelse:\n    event = {}()\nevent.ipc_handle()",
    ],
)
def test_a_method_of_what_the_file_makes(class_: str, use: str) -> None:
    text = use.format(class_, class_)
    line = text.count("\n") + 1
    found = check_reported(text, CODE, "error", line, torch_npu="2.7.1")
    assert found.message.endswith("Event.ipc_handle; it is there from 2.7.1.post4, 2.8.0.post5 on")
    assert found.way_out == "take torch_npu 2.7.1.post4, which is for the same torch"
    check_silent(text, CODE, torch_npu="2.7.1.post4")


@pytest.mark.parametrize(
    "text",
    [
        "event.ipc_handle()",
        "def share(event):\n    return event.ipc_handle()\nevent = torch.cuda.Event()",
        "event = torch.cuda.Event()\nevent = Mine()\nevent.ipc_handle()",
        "event = Mine()\nother = torch.cuda.Event()\nevent.ipc_handle()",
        "self.event = torch.cuda.Event()\nother.event.ipc_handle()",
        "for event in events:\n    event.ipc_handle()\nevent = torch.cuda.Event()",
        "event = torch.cuda.Event()\nevent.record()",
    ],
)
def test_a_method_of_something_else_is_left_alone(text: str) -> None:
    check_silent(text, CODE, torch_npu="2.1.0.post17")


@pytest.mark.parametrize(
    "text",
    [
        'if hasattr(torch.cuda, "_sleep"):\n    torch.cuda._sleep(9)',
        'x = torch.npu._sleep(9) if hasattr(torch.npu, "_sleep") else None',
        'hasattr(torch.npu, "_sleep") and torch.npu._sleep(9)',
        "try:\n    torch.cuda._sleep(9)\nexcept AttributeError:\n    time.sleep(1)",
        "try:\n    from torch.cuda import _sleep\nexcept ImportError:\n    _sleep = None",
        'if torch_npu.__version__ >= "2.9.0.post9":\n    torch.npu._sleep(9)',
        "if NPU_VERSION > (2, 9):\n    torch.npu._sleep(9)",
        'getattr(torch.npu, "_sleep", None)',
        "try:\n    torch.cuda.is_bf16_supported(including_emulation=True)\nexcept TypeError:\n    pass",
    ],
)
def test_what_the_program_asks_for_first_is_left_alone(text: str) -> None:
    check_silent(text, CODE, torch_npu="2.7.1")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('if hasattr(torch.cuda, "Stream"):\n    torch.cuda._sleep(9)', 2),
        ('if hasattr(torch.cuda, "_sleep"):\n    pass\ntorch.cuda._sleep(9)', 3),
        ("try:\n    torch.cuda._sleep(9)\nexcept AttributeError:\n    raise", 2),
        ("try:\n    torch.cuda._sleep(9)\nexcept ValueError:\n    pass", 2),
        ("try:\n    pass\nexcept AttributeError:\n    torch.cuda._sleep(9)", 4),
        ('if hasattr(torch.npu, "_sleep"):\n    def wait():\n        torch.npu._sleep(9)', 3),
    ],
)
def test_another_question_does_not_help(text: str, line: int) -> None:
    check_reported(text, CODE, "error", line, torch_npu="2.7.1")


@pytest.mark.parametrize(
    "text",
    [
        "torch.cuda.synchronize()",
        "torch.npu.Stream()",
        "torch_npu.npu_rms_norm(x, g)",
        "torch.cuda.is_bf16_supported()",
        "@torch.cuda.amp.custom_fwd(cast_inputs=torch.float16)\ndef forward(ctx, x): ...",
        "torch.cuda.is_bf16_supported(*arguments)",
        "torch_npu.npu_fusion_attention(q, k, v, 8, 'BSH', atten_mask=m)",
        "import torch_npu",
        "torch.xpu._sleep(9)",
        "other.ExternalStream(p)",
        "from mine import ExternalStream",
        '"torch.npu.ExternalStream"',
        "torch.cuda.nvtx.range_push('x')",
        "nn.SiLU()",
        "is_bf16_supported(including_emulation=True)",
        "from torch.profiler import ProfilerActivity\nactivities = [ProfilerActivity.CPU]",
        "activities = [torch_npu.profiler.ProfilerActivity.NPU]",
    ],
)
@pytest.mark.parametrize("build", ["2.1.0.post17", "2.3.1.post6", "2.7.1.post4", None])
def test_what_every_build_has_is_left_alone(text: str, build: str | None) -> None:
    check_silent(text, CODE, torch_npu=build)


def test_a_name_is_reported_where_it_is_imported_and_not_again() -> None:
    text = "from torch.cuda import MemPoolContext\nprint(MemPoolContext.active_pool())\n"
    found = check_reported(text, CODE, "error", 1)
    assert found.message == "torch_npu 2.14.0 has no torch.npu.MemPoolContext; it is there up to 2.12.0.post3"
    assert found.way_out == "torch.npu.use_mem_pool(pool) alone does it"


@pytest.mark.parametrize(
    "text",
    [
        "activities = [torch.profiler.ProfilerActivity.CUDA]",
        "from torch.profiler import ProfilerActivity\n\nx = [ProfilerActivity.NPU]",
    ],
)
def test_the_activity_of_the_profiler(text: str) -> None:
    line = text.count("\n") + 1
    found = check_reported(text, CODE, "error", line, torch_npu="2.12.0.post3")
    assert found.message.endswith("has no torch.profiler.ProfilerActivity.NPU; it is there from torch 2.13 on")
    check_silent(text, CODE, torch_npu="2.13.0")


def test_only_the_npu_has_builds() -> None:
    for target in ("xpu", "mps", "musa"):
        check_silent("torch.cuda.ExternalStream(p)", CODE, target=target)


def test_every_build_can_be_asked_for() -> None:
    text = "torch.cuda._sleep(9)\n"
    lacking = {
        build for build in known_builds() if port_text(text, Plan("npu", torch_npu=build)).findings[-1].code == CODE
    }
    assert lacking == set(known_builds()) - {
        "2.7.1.post11",
        "2.9.0.post9",
        "2.10.0.post7",
        "2.11.0.post3",
        "2.12.0.post3",
        "2.13.0",
        "2.14.0",
    }
