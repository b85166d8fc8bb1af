"""DiffSynth-Studio's networks at tiny sizes, on the CPU and on an NPU: ``studio_networks.py wan|flux|z_image``."""

from __future__ import annotations

import copy
import sys

import torch
from torch import nn

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def filled(network: nn.Module) -> nn.Module:
    """A network that was built on the meta device, with small random weights."""
    generator = torch.Generator().manual_seed(0)
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 1.0 if parameter.ndim < 2 and "bias" not in name else parameter.shape[-1] ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network.eval()


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@torch.no_grad()
def wan():
    from diffsynth.models import wan_video_dit as module

    torch.manual_seed(0)
    dit = module.WanModel(
        dim=96, in_dim=16, ffn_dim=128, out_dim=16, text_dim=64, freq_dim=32, eps=1e-6, patch_size=(1, 2, 2),
        num_heads=2, num_layers=2, has_image_input=False,
    ).eval()  # fmt: skip
    inputs = {"x": randn(1, 16, 2, 8, 8), "timestep": torch.tensor([500.0]), "context": randn(1, 6, 64)}
    expected = dit(**inputs)
    found = copy.deepcopy(dit).to("npu")(**{name: tensor.to("npu") for name, tensor in inputs.items()})
    torch.testing.assert_close(found.cpu(), expected, **CLOSE)


@torch.no_grad()
def flux():
    from diffsynth.models import flux_dit as module

    with torch.device("meta"):
        dit = module.FluxDiT(num_blocks=1)
        dit.single_blocks = dit.single_blocks[:1]
    dit = filled(dit)
    inputs = {
        "hidden_states": randn(1, 16, 4, 4), "timestep": torch.tensor([500.0]), "prompt_emb": randn(1, 3, 4096),
        "pooled_prompt_emb": randn(1, 768), "guidance": torch.tensor([3.5]), "text_ids": torch.zeros(1, 3, 3),
    }  # fmt: skip
    expected = dit(**inputs)
    found = dit.to("npu")(**{name: tensor.to("npu") for name, tensor in inputs.items()})
    torch.testing.assert_close(found.cpu(), expected, **CLOSE)


@torch.no_grad()
def z_image():
    from diffsynth.models import z_image_dit as module

    torch.manual_seed(0)
    dit = module.ZImageDiT(dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=48,
                           axes_dims=[8, 12, 12]).eval()  # fmt: skip
    for parameter in dit.parameters():
        nn.init.normal_(parameter, std=0.05)
    dit.bfloat16()  # which its time embedding asks for

    def call(network, device):
        return network([randn(16, 1, 8, 8).to(device, torch.bfloat16)], torch.tensor([0.5], device=device), [randn(5, 48).to(device, torch.bfloat16)])

    expected, found = call(dit, "cpu"), call(copy.deepcopy(dit).to("npu"), "npu")
    for one, other in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=2e-2, atol=2e-2)


if __name__ == "__main__":
    asked = sys.argv[1]
    {"wan": wan, "flux": flux, "z_image": z_image}[asked]()
    print(f"{asked}: as on the CPU")
