"""Which implementation is taken, what the override does, and what is said about it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffsynth.core.attention import AttentionImplementationError, attention, chosen_implementation
from diffsynth.core.attention.attention import VARIABLE

FLASH = ["flash_attention_2", "flash_attention_3", "flash_attention_4"]


@pytest.fixture
def gpu(monkeypatch):
    """A machine whose GPU has that compute capability, as far as the choice asks."""

    def has(*capability: int) -> None:
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)

    return has


@pytest.mark.parametrize(
    ("capability", "installed", "expected"),
    [
        ((9, 0), FLASH, "flash_attention_3"),
        ((9, 0), ["flash_attention_4"], "flash_attention_4"),
        ((10, 0), FLASH, "flash_attention_4"),
        ((8, 6), FLASH, "flash_attention_2"),
        ((7, 5), FLASH, "torch"),
        ((9, 0), [], "torch"),
        ((9, 0), ["sage_attention", "xformers"], "torch"),
    ],
)
def test_the_best_exact_kernel_there_is(install, gpu, capability, installed, expected):
    install(*installed)
    gpu(*capability)
    assert chosen_implementation("cuda", torch.bfloat16, 128) == expected


def test_rocm_has_the_second_generation(install, monkeypatch):
    install("flash_attention_2")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert chosen_implementation("cuda:0", torch.float16, 128) == "flash_attention_2"


@pytest.mark.parametrize(
    ("dtype", "head_dim", "mask_dtype"),
    [(torch.float32, 128, None), (torch.bfloat16, 384, None), (torch.bfloat16, 128, torch.bool)],
)
def test_calls_that_flash_attention_does_not_take(install, gpu, dtype, head_dim, mask_dtype):
    install(*FLASH)
    gpu(9, 0)
    assert chosen_implementation("cuda", dtype, head_dim, mask_dtype) == "torch"


def test_cpu_has_torch_alone(install):
    install(*FLASH)
    assert chosen_implementation("cpu", torch.bfloat16, 128) == "torch"


def test_a_package_that_cannot_be_imported_is_passed_over(install, gpu, tmp_path, caplog):
    install("flash_attention_2")
    (tmp_path / "flash_attn_interface.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    gpu(9, 0)
    sys.modules.pop("flash_attn_interface", None)  # install() marked it as absent
    assert chosen_implementation("cuda", torch.bfloat16, 128) == "flash_attention_2"
    assert "flash_attention_3 is installed but cannot be used (ImportError: undefined symbol: _ZN3c10)" in caplog.text


def test_the_choice_is_said_once(caplog):
    query = torch.randn(1, 4, 2, 8)
    with caplog.at_level(logging.INFO, logger="diffsynth"):
        attention(query, query, query)
        attention(query, query, query)
    assert [record.getMessage() for record in caplog.records] == ["attention on cpu, torch.float32, heads of 8: torch"]


def test_the_override_is_followed_from_one_call_to_the_next(install, gpu, monkeypatch):
    install(*FLASH, "sage_attention")
    gpu(9, 0)
    monkeypatch.setenv(VARIABLE, "sage_attention")
    assert chosen_implementation("cuda", torch.bfloat16, 128) == "sage_attention"
    monkeypatch.setenv(VARIABLE, "torch")
    assert chosen_implementation("cuda", torch.bfloat16, 128) == "torch"
    monkeypatch.setenv(VARIABLE, "")
    assert chosen_implementation("cuda", torch.bfloat16, 128) == "flash_attention_3"


@pytest.mark.parametrize(
    ("override", "device", "message"),
    [
        ("flash", "cpu", "='flash': expected one of flash_attention_3, .*sage_attention, xformers, customized_fa_k"),
        ("sage_attention", "cuda", "cannot be used on cuda: the module sageattention is not installed; unset the var"),
        ("flash_attention_4", "cuda", "cannot be used on cuda: the module flash_attn.cute is not installed"),
        ("flash_attention_2", "cpu", "cannot be used on cpu: it runs on cuda alone; unset the variable"),
        ("npu_fusion_attention", "cpu", "cannot be used on cpu: "),
        ("flash_attention_3", "cuda", r"is for compute capability 9.0 up, below 10.0; this is \(8, 0\)"),
        ("customized_fa_kernel", "cuda", "cannot be loaded: ImportError: DIFFSYNTH_FLASH_ATTN_KERNEL_REPO_ID names no"),
    ],
)
def test_an_override_that_cannot_be_followed(install, gpu, monkeypatch, override, device, message):
    install("flash_attention_2", "flash_attention_3", "customized_fa_kernel")
    gpu(8, 0)
    monkeypatch.delenv("DIFFSYNTH_FLASH_ATTN_KERNEL_REPO_ID", raising=False)
    monkeypatch.setenv(VARIABLE, override)
    with pytest.raises(AttentionImplementationError, match=message) as raised:
        chosen_implementation(device, torch.bfloat16, 128)
    assert str(raised.value).startswith(f"{VARIABLE}={override!r}")


def test_an_error_reaches_who_attends(monkeypatch):
    monkeypatch.setenv(VARIABLE, "flash")
    query = torch.randn(1, 4, 2, 8)
    with pytest.raises(AttentionImplementationError, match="expected one of"):
        attention(query, query, query)


def test_calls_the_override_does_not_take_are_torchs_and_a_warning_says_so(install, gpu, monkeypatch, caplog):
    install("flash_attention_2")
    gpu(8, 0)
    monkeypatch.setenv(VARIABLE, "flash_attention_2")
    for _ in range(2):
        assert chosen_implementation("cuda", torch.float32, 128) == "torch"
        assert chosen_implementation("cuda", torch.bfloat16, 384) == "torch"
        assert chosen_implementation("cuda", torch.bfloat16, 128, torch.bool) == "torch"
        assert chosen_implementation("cuda", torch.bfloat16, 128) == "flash_attention_2"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"{VARIABLE}='flash_attention_2': torch computes these calls instead, since {reason}"
        for reason in (
            "it takes float16 and bfloat16, not float32",
            "it takes heads up to 256 wide, not 384",
            "it takes no bool mask",
        )
    ]


def test_importing_it_does_not_import_the_compiler():
    program = "import sys, diffsynth.core.attention; assert 'torch._dynamo' not in sys.modules"
    root = Path(__file__).resolve().parents[4]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
