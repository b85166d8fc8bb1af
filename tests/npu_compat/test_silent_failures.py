"""What does nothing, and says nothing, on an NPU without the redirect."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch


@pytest.mark.filterwarnings("ignore")
def test_without_the_redirect_autocast_does_nothing(npu):
    matrix = torch.ones(4, 4, device="npu")
    with torch.autocast("cuda", torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.float32


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_autocast_in_every_form(redirect):
    matrix = torch.ones(4, 4, device="cuda")
    for context in (torch.autocast("cuda"), torch.cuda.amp.autocast(), torch.amp.autocast("cuda", torch.float16)):
        with context:
            assert (matrix @ matrix).dtype == torch.float16
            assert torch.is_autocast_enabled()
            assert torch.is_autocast_enabled("cuda")

    @torch.autocast(device_type="cuda", dtype=torch.bfloat16)
    def product():
        return matrix @ matrix

    assert product().dtype == torch.bfloat16
    assert not torch.is_autocast_enabled()


@pytest.mark.filterwarnings("ignore")
def test_autocast_state_in_its_old_and_new_forms(redirect):
    torch.set_autocast_enabled(True)
    assert torch.is_autocast_enabled("npu")
    torch.set_autocast_enabled("cuda", False)
    assert not torch.is_autocast_enabled()
    torch.set_autocast_gpu_dtype(torch.bfloat16)
    assert torch.get_autocast_gpu_dtype() == torch.get_autocast_dtype("cuda") == torch.bfloat16
    torch.set_autocast_dtype("cuda", torch.float16)
    assert torch.get_autocast_dtype("npu") == torch.float16
    assert torch.amp.is_autocast_available("cuda")


def test_custom_autograd_functions_under_autocast(redirect):
    class Double(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
        def forward(ctx, value):
            assert value.dtype == torch.float32
            return value * 2

        @staticmethod
        @torch.amp.custom_bwd(device_type="cuda")
        def backward(ctx, gradient):
            return gradient * 2

    value = torch.ones(2, device="cuda", dtype=torch.float16, requires_grad=True)
    with torch.autocast("cuda"):
        Double.apply(value).sum().backward()
    assert value.grad.tolist() == [2, 2]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("make", [torch.amp.GradScaler, lambda: torch.cuda.amp.GradScaler()])
def test_grad_scaler_scales_steps_and_skips_overflow(redirect, make):
    module = torch.nn.Linear(2, 1, bias=False).cuda()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    scaler = make()
    before = module.weight.detach().clone()
    scaler.scale(module(torch.full((1, 2), float("inf"), device="cuda")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(module.weight, before)
    assert scaler.get_scale() == 2.0**15
    optimizer.zero_grad()
    scaler.scale(module(torch.ones(1, 2, device="cuda")).sum()).backward()
    scaler.step(optimizer)
    torch.testing.assert_close(module.weight.cpu(), before.cpu() - 1)


@pytest.mark.parametrize(
    "seed", [lambda: torch.cuda.manual_seed_all(3), lambda: torch.cuda.manual_seed(3), lambda: torch.manual_seed(3)]
)
def test_seeds(redirect, seed):
    seed()
    first = torch.randn(3, device="cuda")
    seed()
    assert torch.equal(first, torch.randn(3, device="cuda"))


def test_every_device_is_seeded(redirect):
    draws = []
    for _ in range(2):
        torch.cuda.manual_seed_all(4)
        draws.append(torch.randn(3, device="cuda:1"))
    assert torch.equal(*draws)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("given", [{}, {"devices": ["cuda:0"]}, {"devices": [0]}, {"device_type": "cuda"}])
def test_fork_rng(redirect_anywhere, given):
    torch.cuda.manual_seed(3)
    expected = torch.randn(3, device="cuda")
    torch.cuda.manual_seed(3)
    with torch.random.fork_rng(**given):
        torch.randn(3, device="cuda")
    assert torch.equal(expected, torch.randn(3, device="cuda"))


def test_random_states_of_a_device_by_name(redirect):
    state = torch.cuda.get_rng_state("cuda:1")
    first = torch.randn(3, device="cuda:1")
    torch.cuda.set_rng_state(state, "cuda:1")
    assert torch.equal(first, torch.randn(3, device="cuda:1"))
    torch.cuda.random.set_rng_state_all(torch.cuda.get_rng_state_all())


@pytest.fixture
def tagged_cuda():
    """A checkpoint as a machine with CUDA writes it: the storage's tag is ``cuda:0``."""
    plain, tagged = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tagged, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                assert content.count(b"X\x03\x00\x00\x00cpu") == 1
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            target.writestr(name, content)
    return tagged


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (lambda: None, "npu:0"),
        (lambda: "cuda", "npu:0"),
        (lambda: "cuda:1", "npu:1"),
        (lambda: torch.device("cuda", 1), "npu:1"),
        (lambda: {"cuda:0": "cuda:1"}, "npu:1"),
        (lambda: {"cuda:0": "cpu"}, "cpu"),
        (lambda: "cpu", "cpu"),
        (lambda: lambda storage, tag: storage.cuda(1), "npu:1"),
        (lambda: lambda storage, tag: storage, "cpu"),
    ],
)
def test_checkpoints_tagged_cuda(redirect, tagged_cuda, location, expected):
    tagged_cuda.seek(0)
    weight = torch.load(tagged_cuda, map_location=location())["weight"]
    assert weight.device == torch.device(expected)
    assert weight.tolist() == [0, 1, 2, 3]


def test_safetensors(redirect, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    file = str(tmp_path / "weights.safetensors")
    safetensors.save_file({"weight": torch.ones(2)}, file)
    for device, number in (("cuda", 0), ("cuda:1", 1)):
        assert safetensors.load_file(file, device=device)["weight"].device == torch.device("npu", number)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
def test_safetensors_on_either(redirect_anywhere, tmp_path, device):
    safetensors = pytest.importorskip("safetensors.torch")
    file = str(tmp_path / "weights.safetensors")
    safetensors.save_file({"weight": torch.ones(2)}, file)
    weight = safetensors.load_file(file, device=device)["weight"]
    assert weight.device.type == redirect_anywhere.accelerator
    assert weight.tolist() == [1, 1]


def test_pinned_memory_where_the_cpu_stands_in(redirect_anywhere):
    pinned = torch.empty(2, pin_memory=True)
    assert pinned.is_pinned() == (redirect_anywhere.accelerator != "cpu")
    assert pinned.new_zeros(2, pin_memory=True).tolist() == [0, 0]


def test_activation_checkpointing(redirect):
    value = torch.ones(2, device="cuda", requires_grad=True)
    torch.utils.checkpoint.checkpoint(lambda v: (v * 2).sum(), value, use_reentrant=False).backward()
    assert value.grad.tolist() == [2, 2]
