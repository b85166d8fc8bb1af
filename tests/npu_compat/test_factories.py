"""Every factory of torch, with the device in each spelling: it lands on the accelerator's device of that number."""

from __future__ import annotations

import pytest
import torch

from npu_compat.surface import read_surface

COMPRESSED = ([0, 1, 2], [0, 1], [1.0, 2.0])
BLOCKS = ([0, 1, 2], [0, 1], [[[1.0]], [[2.0]]])

# Arguments without the device; callables make them where they must be made anew.
ARGUMENTS = {
    "_efficientzerotensor": [(2,)],
    "_nested_tensor_from_tensor_list": [lambda: [torch.ones(2)]],
    "_pin_memory": [lambda: torch.ones(2)],
    "arange": [3],
    "as_tensor": [[1.0]],
    "asarray": [[1.0]],
    "bartlett_window": [4],
    "blackman_window": [4],
    "empty": [2],
    "empty_like": [lambda: torch.ones(2)],
    "empty_permuted": [(2, 3), (0, 1)],
    "empty_strided": [(2, 3), (3, 1)],
    "eye": [2],
    "from_file": [__file__],
    "full": [(2,), 1.0],
    "full_like": [lambda: torch.ones(2), 2.0],
    "hamming_window": [4],
    "hann_window": [4],
    "kaiser_window": [4],
    "linspace": [0, 1, 3],
    "logspace": [0, 1, 3],
    "normal": [0.0, 1.0, (2,)],
    "ones": [2],
    "ones_like": [lambda: torch.ones(2)],
    "rand": [2],
    "rand_like": [lambda: torch.ones(2)],
    "randint": [3, (2,)],
    "randint_like": [lambda: torch.ones(2), 3],
    "randn": [2],
    "randn_like": [lambda: torch.ones(2)],
    "randperm": [3],
    "range": [0, 2],
    "scalar_tensor": [1.0],
    "sparse_bsc_tensor": BLOCKS,
    "sparse_bsr_tensor": BLOCKS,
    "sparse_compressed_tensor": COMPRESSED,
    "sparse_coo_tensor": [[[0, 1]], [1.0, 2.0]],
    "sparse_csc_tensor": COMPRESSED,
    "sparse_csr_tensor": COMPRESSED,
    "tensor": [[1.0]],
    "tril_indices": [2, 2],
    "triu_indices": [2, 2],
    "zeros": [2],
    "zeros_like": [lambda: torch.ones(2)],
}
KEYWORDS = {
    "from_file": {"size": 2, "dtype": torch.uint8},
    "sparse_compressed_tensor": {"layout": torch.sparse_csr},
}
# Factories of quantized tensors, and of a CUDA library's own state: the emulated NPU has no kernel for them.
WITHOUT_KERNEL = {
    "_cudnn_init_dropout_state": ([0.5, True, 0], {"dtype": torch.uint8}),
    "_empty_affine_quantized": ([(2,)], {"scale": 1.0, "zero_point": 0, "dtype": torch.quint8}),
    "_empty_per_channel_affine_quantized": (
        [(2,)],
        {
            "scales": lambda: torch.ones(2),
            "zero_points": lambda: torch.zeros(2, dtype=torch.long),
            "axis": 0,
            "dtype": torch.quint8,
        },
    ),
    "empty_quantized": ([(2,), lambda: torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.quint8)], {}),
}
SPELLINGS = ("cuda", "cuda:1", "device", "device with number", "made before", "number")


def spelled(spelling: str):
    """A device as a CUDA program writes it, and the number it stands for."""
    return {
        "cuda": ("cuda", 0),
        "cuda:1": ("cuda:1", 1),
        "device": (torch.device("cuda"), 0),
        "device with number": (torch.device("cuda", 1), 1),
        "made before": (type(torch.device("cpu"))("cuda:1"), 1),
        "number": (1, 1),
    }[spelling]


def made(arguments):
    return [argument() if callable(argument) else argument for argument in arguments]


def test_every_factory_is_tried():
    assert set(ARGUMENTS) | set(WITHOUT_KERNEL) | {"frombuffer"} == set(read_surface()["factories"])
    assert len(read_surface()["factories"]) == 49


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_keyword(redirect, name, spelling):
    device, number = spelled(spelling)
    result = getattr(torch, name)(*made(ARGUMENTS[name]), device=device, **KEYWORDS.get(name, {}))
    if name == "_pin_memory":  # the device tells whose pinned memory; the tensor stays on the host
        assert result.is_pinned()
    else:
        assert result.device == torch.device("npu", number)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_by_position(redirect, spelling):
    assert torch._pin_memory(torch.ones(2), spelled(spelling)[0]).is_pinned()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", sorted(WITHOUT_KERNEL))
def test_without_a_kernel_the_accelerator_is_what_refuses(redirect, name, spelling):
    arguments, keywords = WITHOUT_KERNEL[name]
    keywords = {key: value() if callable(value) else value for key, value in keywords.items()}
    message = outcome(lambda: getattr(torch, name)(*made(arguments), device=spelled(spelling)[0], **keywords))
    assert "not compiled with CUDA" not in message
    assert "'CUDA' backend" not in message


def outcome(make):
    """What an error says, or the device the result is on."""
    try:
        return f"made on {make().device}"
    except (NotImplementedError, RuntimeError) as refusal:
        return str(refusal)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_frombuffer_takes_no_device_as_in_torch(redirect, spelling):
    assert torch.frombuffer(bytearray(8), dtype=torch.float32).device.type == "cpu"
    with pytest.raises(TypeError, match="device"):
        torch.frombuffer(bytearray(8), dtype=torch.float32, device=spelled(spelling)[0])


@pytest.mark.parametrize("name", ["zeros", "empty", "tensor", "full_like", "randn"])
def test_other_devices_stay(redirect, name):
    for device in ("cpu", "meta", torch.device("cpu"), None):
        result = getattr(torch, name)(*made(ARGUMENTS[name]), device=device)
        assert result.device.type == ("cpu" if device is None else torch.device(device).type)


@pytest.mark.parametrize("device", ["cud", "cuda:x", "cuda:-1", "cudaa", [1], {}])
def test_what_is_no_device_fails_as_in_torch(redirect, device):
    with pytest.raises((RuntimeError, TypeError)):
        torch.zeros(2, device=device)


def test_the_callers_keywords_stay(redirect):
    keywords = {"device": "cuda", "dtype": torch.float16}
    assert torch.zeros(2, **keywords).device.type == "npu"
    assert keywords == {"device": "cuda", "dtype": torch.float16}
