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


def on(value, device):
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return [on(each, device) for each in value] if isinstance(value, list) else value


@torch.no_grad()
def compare(call, network, inputs, **close) -> None:
    """The pipeline's own call of its network, on the CPU and on the NPU."""
    on_npu = copy.deepcopy(network).to("npu")  # before the first call, whose tables stay where they are made
    expected = call(dit=network, **inputs)
    found = call(dit=on_npu, **{name: on(value, "npu") for name, value in inputs.items()})
    assert found.device.type == "npu"
    assert expected.isfinite().all()
    torch.testing.assert_close(found.cpu(), expected, **(close or CLOSE))


def wan() -> None:
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.pipelines.wan_video import model_fn_wan_video

    torch.manual_seed(0)
    dit = WanModel(
        dim=96, in_dim=16, ffn_dim=128, out_dim=16, text_dim=64, freq_dim=32, eps=1e-6, patch_size=(1, 2, 2),
        num_heads=2, num_layers=2, has_image_input=False,
    ).eval()  # fmt: skip
    inputs = {"latents": randn(1, 16, 2, 8, 8), "timestep": torch.tensor([500.0]), "context": randn(1, 6, 64)}
    compare(model_fn_wan_video, dit, inputs)


def flux() -> None:
    from diffsynth.models.flux_dit import FluxDiT
    from diffsynth.pipelines.flux_image import model_fn_flux_image

    with torch.device("meta"):
        dit = FluxDiT(num_blocks=1)
        dit.single_blocks = dit.single_blocks[:1]
    inputs = {
        "latents": randn(1, 16, 4, 4), "timestep": torch.tensor([500.0]), "prompt_emb": randn(1, 3, 4096),
        "pooled_prompt_emb": randn(1, 768), "guidance": torch.tensor([3.5]), "text_ids": torch.zeros(1, 3, 3),
    }  # fmt: skip
    compare(model_fn_flux_image, filled(dit), inputs, rtol=1e-3, atol=1e-3)


def z_image() -> None:
    from diffsynth.models.z_image_dit import ZImageDiT
    from diffsynth.pipelines.z_image import model_fn_z_image

    torch.manual_seed(0)
    dit = ZImageDiT(dim=64, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=48,
                    axes_dims=[8, 12, 12]).eval()  # fmt: skip
    for parameter in dit.parameters():
        nn.init.normal_(parameter, std=0.05)
    half = torch.bfloat16  # which its time embedding asks for
    inputs = {"latents": randn(1, 16, 8, 8).to(half), "timestep": torch.tensor([500.0]),
              "prompt_embeds": [randn(5, 48).to(half)]}  # fmt: skip
    compare(model_fn_z_image, dit.to(half), inputs, rtol=2e-2, atol=2e-2)


if __name__ == "__main__":
    asked = sys.argv[1]
    {"wan": wan, "flux": flux, "z_image": z_image}[asked]()
    print(f"{asked}: as on the CPU")
