"""What is timed: networks of the families' records, in published sizes and small, and a peer of the same numbers."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")

from benchmarks import dit_speed, qwen_speed, vae_speed, z_image_speed
from benchmarks.device import networks
from benchmarks.record import made
from diffsynth.core.loader.detection import model_hash

pytestmark = pytest.mark.usefixtures("diffusers_as_without_torch_npu")

CPU = torch.device("cpu")
BOUND = 5e-5


@pytest.mark.parametrize(("name", "layers"), [*((name, 2) for name in dit_speed.KINDS), ("vace", 1)])
@torch.inference_mode()
def test_a_call_of_each_kind_of_wan_gives_what_diffusers_gives(name: str, layers: int) -> None:
    pair = dit_speed.pair(
        dit_speed.KINDS[name], dit_speed.Case(dit_speed.narrow(256, layers), (3, 8, 8)), CPU, torch.float32
    )
    torch.testing.assert_close(pair.ours(), pair.theirs(), rtol=0, atol=BOUND)


@pytest.mark.parametrize("asked", [{}, {"layers": 3}, {"edited": 3}], ids=str)
@torch.inference_mode()
def test_calls_of_qwen_image(asked: dict[str, int]) -> None:
    calls = qwen_speed.dit_calls(networks.QWEN_SMALL._replace(dit_latents=16), CPU, torch.float32, **asked)
    torch.testing.assert_close(calls["diffsynth"](), calls["diffusers"](), rtol=0, atol=BOUND)


@torch.inference_mode()
def test_calls_of_z_image() -> None:
    calls = z_image_speed.dit_calls(networks.Z_IMAGE_SMALL._replace(dit_latents=16), CPU, torch.float32)
    torch.testing.assert_close(calls["diffsynth"](), calls["diffusers"](), rtol=0, atol=BOUND)


def test_the_full_ones_are_as_published() -> None:
    cases = [
        (dit_speed.DIT, dit_speed.FULL.sizes, "9269f8db9040a9d860eaca435be61814"),
        (qwen_speed.DIT, qwen_speed.FULL.dit, "0319a1cb19835fb510907dd3367c95ff"),
        (z_image_speed.DIT, z_image_speed.FULL.dit, "fc3a8a1247fe185ce116ccbe0e426c28"),
    ]
    for network, sizes, published in cases:
        with torch.device("meta"):
            assert model_hash(made(network, sizes).state_dict()) == published
    full = [vae_speed.CASES["2.1", True], vae_speed.CASES["2.2", True]]
    assert [case.sizes["dim"] for case in full] == [96, 160]
