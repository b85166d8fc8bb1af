"""Time of one Wan DiT call, beside diffusers' on the same weights and beside its own matmuls and attention alone.

The networks, and their sizes as published, are those of the family's record.

    python -m benchmarks.dit_speed [--rounds 5] [--kind all] [--layers 2]
    python -m benchmarks.dit_speed --device cuda --dtype bf16 --full

The small network has width 512, 8 layers, 4,032 tokens and runs on one CPU thread; `--full` is Wan2.1-T2V-1.3B at
832x480 and 81 frames, 32,760 tokens. The three take turns in one run, and a ratio is the median of those within a
round: of processor time on the CPU, of the time until the device is idle elsewhere. The prompt's keys and values are
there already, as in every step of a generation but the first; diffusers computes them at each call. `--kind` chooses
the networks that see a picture, have a timestep for each frame, or are guided by VACE. Ends with 1 if a ratio is above
its bound.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel, logging
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from torch import Tensor, nn

from benchmarks.record import made
from diffsynth.core.attention.attention import attention
from diffsynth.families.family import Sizes
from diffsynth.families.wan import DIT, VACE
from diffsynth.models.wan_video_dit import TextCache, WanModel
from diffsynth.models.wan_video_vace import Vace

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TEXT_LENGTH = 512
PICTURE_TOKENS = 257
HINTS = 2  # of VACE, in the small network's 8 layers and the full one's 30; in a single layer one
FLOOR = "matmuls and attention alone"
BOUNDS = {"diffusers": 1.0, FLOOR: 1.1}


class Case(NamedTuple):
    """Width and depth of the network, and the size of the latents (frames, rows, columns)."""

    sizes: Mapping[str, Any]
    latents: tuple[int, int, int]


def narrow(width: int, layers: int) -> dict[str, Any]:
    """Of the record's small network, but that it is given real prompts, and a feed-forward of four times its width."""
    return {**DIT.small(Sizes(width=width, layers=layers, text_width=4096)), "ffn_dim": 4 * width}


LAYERS = 8
SMALL = Case(narrow(512, LAYERS), (9, 32, 56))
FULL = Case(DIT.published_as("Wan-AI/Wan2.1-T2V-1.3B").sizes, (21, 60, 104))


class Kind(NamedTuple):
    """A published network, of which all is kept but width and depth.

    Attributes:
        model_id: whose.
        by_frame: whether each frame has a timestep of its own.
        vace: whether VACE guides it.
    """

    model_id: str
    by_frame: bool = False
    vace: bool = False

    def sizes(self, case: Case) -> dict[str, Any]:
        """All arguments of the DiT's constructor that are not its defaults."""
        return {**DIT.published_as(self.model_id).sizes, **case.sizes}

    def channels(self) -> int:
        """Of the latents going in."""
        return DIT.published_as(self.model_id).sizes.get("in_dim", 16)

    def pictures(self) -> int:
        """Whose features it attends to: none, a first frame, or a first and a last one, told apart."""
        sizes = DIT.published_as(self.model_id).sizes
        return sizes.get("picture_positions", PICTURE_TOKENS) // PICTURE_TOKENS if "picture_dim" in sizes else 0


KINDS = {
    "text": Kind("Wan-AI/Wan2.1-T2V-1.3B"),
    "picture": Kind("Wan-AI/Wan2.1-I2V-14B-480P"),
    "first and last": Kind("Wan-AI/Wan2.1-FLF2V-14B-720P"),
    "frames": Kind("Wan-AI/Wan2.2-TI2V-5B", by_frame=True),
    "vace": Kind("Wan-AI/Wan2.1-VACE-1.3B", vace=True),
}


class Pair(NamedTuple):
    """One call of each library, on the same weights and inputs."""

    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    model: WanModel


def pair(kind: Kind, case: Case, device: torch.device, dtype: torch.dtype) -> Pair:
    """Both networks on the device, with the same random weights, and what they are called with."""
    logging.set_verbosity_error()  # it would have some weights stay float32; here both compute in one type
    sizes = kind.sizes(case)
    with random_weights(device, dtype):
        ours = made(DIT, sizes)
        width = {name: sizes[name] for name in ("dim", "ffn_dim", "num_heads")}
        vace = made(VACE, {**width, "num_layers": hints_of(sizes)}) if kind.vace else None
        networks: list[nn.Module] = [ours, *([] if vace is None else [vace])]
        theirs = peer(kind, sizes, networks)
    for network in (*networks, theirs):
        network.eval().requires_grad_(False)
    latents, timestep, context = inputs(kind, case, device, dtype)
    rows, columns = case.latents[1] // 2, case.latents[2] // 2
    timesteps = timestep.repeat_interleave(rows * columns, dim=1) if kind.by_frame else timestep
    of_ours: dict[str, object] = {}
    of_theirs: dict[str, object] = {}
    if pictures := kind.pictures():
        features = torch.randn(1, pictures * PICTURE_TOKENS, sizes["picture_dim"]).to(device, dtype)
        of_ours["picture"] = features
        of_theirs["encoder_hidden_states_image"] = features.reshape(pictures, PICTURE_TOKENS, -1)
    if vace is not None:
        hinted = torch.randn(1, 96, *case.latents).to(device)
        of_ours["guide"] = Vace({ours: vace}, hinted)
        of_theirs["control_hidden_states"] = hinted.to(dtype)
    cache = TextCache()
    return Pair(
        lambda: ours(latents, timestep, context, text_cache=cache, **of_ours),
        lambda: theirs(latents.to(dtype), timesteps, context, return_dict=False, **of_theirs)[0],
        ours,
    )


def hints_of(sizes: Mapping[str, Any]) -> int:
    """How many layers of VACE there are beside the network's."""
    return min(HINTS, sizes["num_layers"])


def peer(kind: Kind, sizes: Mapping[str, Any], ours: list[nn.Module]) -> nn.Module:
    """diffusers' network with the weights of ours."""
    of_theirs = {
        "num_attention_heads": sizes["num_heads"],
        "attention_head_dim": sizes["dim"] // sizes["num_heads"],
        "in_channels": sizes.get("in_dim", 16),
        "out_channels": sizes.get("out_dim", 16),
        "ffn_dim": sizes["ffn_dim"],
        "num_layers": sizes["num_layers"],
    }
    if "picture_dim" in sizes:
        of_theirs |= {"image_dim": sizes["picture_dim"], "added_kv_proj_dim": sizes["dim"]}
    if "picture_positions" in sizes:
        of_theirs["pos_embed_seq_len"] = sizes["picture_positions"]
    if kind.vace:
        hints = hints_of(sizes)
        layers = [number * (sizes["num_layers"] // hints) for number in range(hints)]
        theirs = WanVACETransformer3DModel(vace_layers=layers, vace_in_channels=96, **of_theirs)
    else:
        theirs = WanTransformer3DModel(**of_theirs)
    together = {key: value for network in ours for key, value in network.state_dict().items()}
    named = convert_wan_transformer_to_diffusers(together)
    if "picture_positions" in sizes:
        named["condition_embedder.image_embedder.pos_embed"] = named.pop("img_emb.emb_pos")
    theirs.load_state_dict(named)
    return theirs


@contextmanager
def random_weights(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """New modules are made on the device, in the type, from a fixed seed."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def inputs(kind: Kind, case: Case, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, a timestep, and features of the size of a prompt's."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, kind.channels(), *case.latents, generator=generator).to(device)
    context = torch.randn(1, TEXT_LENGTH, 4096, generator=generator).to(device, dtype)
    timestep = torch.tensor([833.0], device=device)
    if kind.by_frame:
        timestep = timestep.repeat(1, case.latents[0])
        timestep[:, 0] = 0
    return latents, timestep, context


def floor(model: WanModel, case: Case, device: torch.device, dtype: torch.dtype) -> Callable[[], None]:
    """The matmuls and the attention of one call with a filled text cache, on operands of the same shapes and layout."""
    dim, heads = case.sizes["dim"], case.sizes["num_heads"]
    head_dim = dim // heads
    tokens = torch.randn(1, case.latents[0] * case.latents[1] * case.latents[2] // 4, dim).to(device, dtype)
    keys, values = torch.randn(2, 1, TEXT_LENGTH, heads, head_dim).to(device, dtype).unbind()
    patches = torch.randn(*tokens.shape[:2], 64).to(device, dtype)
    patch_weight, patch_bias = model.patch_embedding.weight.flatten(1), model.patch_embedding.bias
    frequencies, time_vector = torch.randn(1, 256).to(device), torch.randn(1, dim).to(device)

    def run() -> None:
        torch.nn.functional.linear(patches, patch_weight, patch_bias)
        model.time_embedding[0](frequencies)
        model.time_embedding[2](time_vector)
        model.time_projection[1](time_vector)
        for block in model.blocks:
            own, cross = block.self_attn, block.cross_attn
            query, key, value = (layer(tokens).unflatten(-1, (heads, -1)) for layer in (own.q, own.k, own.v))
            own.o(attention(query, key, value).flatten(2))
            query = cross.q(tokens).unflatten(-1, (heads, -1))
            cross.o(attention(query, keys, values).flatten(2))
            block.ffn[2](block.ffn[0](tokens))
        model.head.head(tokens)

    return run


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes."""
    if device.type == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    torch.accelerator.synchronize()
    started = time.perf_counter()
    call()
    torch.accelerator.synchronize()
    return time.perf_counter() - started


def compare(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each call, round by round; they take turns. A first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            elapsed = seconds(call, device)
            if turn:
                times[name].append(elapsed)
    return times


def main() -> int:
    """Prints the table; 1 if a ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or npu (default: cpu)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: fp32")
    parser.add_argument("--full", action="store_true", help="Wan2.1-T2V-1.3B at 832x480, 81 frames")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="text", help="of network (default: text)")
    parser.add_argument("--layers", type=int, default=LAYERS, help=f"of the small network (default: {LAYERS})")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default: 5)")
    options = parser.parse_args()
    if min(options.layers, options.rounds) < 1:
        parser.error("--layers and --rounds are 1 at least")
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    if device.type == "cpu":
        torch.set_num_threads(1)
    if device.type == "npu":
        torch.npu.config.allow_internal_format = False  # older stacks refuse diffusers' Conv3d in bfloat16 without
    case = FULL if options.full else Case(narrow(512, options.layers), SMALL.latents)
    kinds = KINDS if options.kind == "all" else {options.kind: KINDS[options.kind]}
    missed = 0
    for name, kind in kinds.items():
        print(f"{name}: {kind.sizes(case)}, latents {case.latents}, {device}, {options.dtype}")
        missed += run(kind, case, device, dtype, options.rounds)
    return 1 if missed else 0


def run(kind: Kind, case: Case, device: torch.device, dtype: torch.dtype, rounds: int) -> int:
    """Prints one network's table; how many bounds it misses."""
    networks = pair(kind, case, device, dtype)
    calls: dict[str, Callable[[], object]] = {"diffsynth": networks.ours, "diffusers": networks.theirs}
    if kind == KINDS["text"]:
        calls[FLOOR] = floor(networks.model, case, device, dtype)
    with torch.inference_mode():
        difference = (networks.ours() - networks.theirs()).abs().max().item()
        times = compare(calls, rounds, device)
    print(f"median of {rounds}; largest difference {difference:.1e}")
    for name, elapsed in times.items():
        print(f"{name:32}{1000 * statistics.median(elapsed):12.1f} ms")
    missed = 0
    for name, bound in BOUNDS.items():
        if name in times:
            ratio = statistics.median(ours / other for ours, other in zip(times["diffsynth"], times[name], strict=True))
            missed += ratio > bound
            print(f"diffsynth / {name}: {ratio:.3f}, bound {bound}: {'met' if ratio <= bound else 'MISSED'}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
