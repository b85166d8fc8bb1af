"""Small networks with every way of holding weights, and the pieces to put them under memory control."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffsynth.core.loader.weight_source import DictSource, WeightSource
from diffsynth.core.vram import ManagedWeights, VramPolicy, parse_vram_config


class Block(nn.Module):
    """Weights of its own, of children, and a buffer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gate = nn.Parameter(torch.randn(dim))
        self.register_buffer("shift", torch.randn(dim))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.gate * self.down(torch.tanh(self.up(features + self.shift)))


class Network(nn.Module):
    """An embedding tied to the last layer, blocks in a list, one of them called twice, and a weight of its own."""

    def __init__(self, dim: int = 32, layers: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, dim)
        self.enter = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(layers))
        self.scale = nn.Parameter(torch.randn(dim))
        self.register_buffer("counts", torch.arange(dim))
        self.leave = nn.Linear(dim, 10, bias=False)
        self.leave.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        features = self.enter(self.embedding(ids))
        for block in (*self.blocks, self.blocks[0]):
            features = block(features)
        return self.leave(features * self.scale + self.counts)


def filled(network: type[nn.Module] = Network, dtype: torch.dtype = torch.float32, **sizes: int) -> nn.Module:
    """A network with weights: the reference."""
    torch.manual_seed(0)
    return network(**sizes).eval().requires_grad_(False).to(dtype)


def on_meta(network: type[nn.Module] = Network, **sizes: int) -> nn.Module:
    """The same without weights."""
    with torch.device("meta"):
        return network(**sizes).eval().requires_grad_(False)


def policy(
    computation: tuple[str, torch.dtype], device: str | torch.device = "cpu", **placements: tuple[str, object] | str
) -> VramPolicy:
    """A policy from pairs of device and dtype, or "disk"."""
    config: dict[str, object] = {"computation_device": computation[0], "computation_dtype": computation[1]}
    for situation, placement in placements.items():
        pair = (placement, placement) if isinstance(placement, str) else placement
        config[f"{situation}_device"], config[f"{situation}_dtype"] = pair
    made = parse_vram_config(config, torch_dtype=computation[1], device=torch.device(device), model="network")
    assert made is not None
    return made


def managed(
    reference: nn.Module,
    chosen: VramPolicy,
    vram_limit: float | None = None,
    source: WeightSource | None = None,
    key_map: Mapping[str, str] | None = None,
    **sizes: int,
) -> tuple[nn.Module, ManagedWeights]:
    """A network with the reference's weights, under memory control."""
    model = on_meta(type(reference), **sizes)
    source = source or DictSource(reference.state_dict())
    weights = ManagedWeights(model, source, key_map or {key: key for key in source.headers}, chosen, vram_limit)
    return model, weights


def file_bytes(module: nn.Module) -> int:
    """Bytes of a module's weights, tied ones once."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.nbytes for tensor in tensors)
