"""Predicts time, traffic and memory per device of one step, from 1 to 64 devices, for each way to split the work.

    python -m benchmarks.parallel_scale [--model wan-14b] [--hardware atlas-a2] [--devices 1 2 4 8] [--all]

Nothing is run. Operations and bytes are counted from the networks' sizes, as diffsynth computes and sends them; what a
device and its links do in a second is taken from `HARDWARE`. One line for each number of devices, the quickest split,
or all of them with --all. `benchmarks.parallel_traffic` checks the counted bytes against what processes really send.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

from diffsynth.core.parallel.mesh import Degrees, even_parts
from diffsynth.families import qwen_image, wan

BF16, FP32 = 2, 4
GIB = 1024**3


class Case(NamedTuple):
    """A network, and the size of what it makes.

    streams: token sequences with weights of their own: 2 where the prompt's tokens pass through the blocks too.
    tokens: of the picture or video. text: of the prompt. latents: numbers of the velocity that is made.
    out: numbers of a token's patch. weights: parameters of the DiT.
    """

    name: str
    layers: int
    dim: int
    heads: int
    ffn_dim: int
    tokens: int
    text: int
    streams: int
    out: int
    latents: int
    weights: float

    @property
    def length(self) -> int:
        """Tokens that attend to each other."""
        return self.tokens + (self.text if self.streams == 2 else 0)


class Hardware(NamedTuple):
    """A device and its links, from vendors' data sheets; the rest is assumed.

    tflops: dense bf16. memory: GiB. within, between: GB/s that a device sends to others of its machine, and of other
    machines. effective, effective_links: what is reached of these. latency: seconds until a message arrives, however
    short.
    """

    tflops: float
    memory: float
    within: float
    between: float
    per_machine: int = 8
    effective: float = 0.5
    effective_links: float = 0.8
    latency: float = 20e-6


class Prediction(NamedTuple):
    """Of one step, on the device that has most to do: seconds, bytes sent by kind, bytes held."""

    computing: float
    sending: float
    sent: dict[str, float]
    held: float

    @property
    def seconds(self) -> float:
        return self.computing + self.sending


_WAN, _QWEN = (
    dit.published_as(model_id).sizes
    for dit, model_id in ((wan.DIT, "Wan-AI/Wan2.1-T2V-14B"), (qwen_image.DIT, "Qwen/Qwen-Image"))
)
CASES = {
    "wan-14b": Case(
        "Wan 14B, 1280x720, 81 frames", _WAN["num_layers"], _WAN["dim"], _WAN["num_heads"], _WAN["ffn_dim"],
        75600, 512, 1, 64, 16 * 21 * 90 * 160, 14.3e9,
    ),
    "qwen-image": Case(
        "Qwen-Image, 1328x1328", _QWEN["num_layers"], (dim := _QWEN["num_heads"] * _QWEN["head_dim"]),
        _QWEN["num_heads"], 4 * dim, 6889, 256, 2, 64, 16 * 166 * 166, 20.4e9,
    ),
}  # fmt: skip
HARDWARE = {
    "atlas-a2": Hardware(tflops=313, memory=64, within=196, between=25),
    "h200": Hardware(tflops=989, memory=141, within=450, between=50),
}

# The most that is alive at once within a block, as a multiple of a device's own tokens in the type to compute in. A
# test compares it with what the emulated NPU counts.
ACTIVATIONS = 10.0


def sent_in_a_step(
    case: Case, degrees: Degrees, rank: int, *, size: int = BF16, branches: int = 2, batch: int = 1
) -> dict[str, float]:
    """Bytes that a rank sends in one guided step, by the kinds of `core.parallel.group.Traffic`.

    Args:
        size: of an element in the type to compute in.
        branches: text branches that are run; with a cfg degree of 2 each device runs one.
    """
    sequence, ulysses, ring = (
        rank % degrees.sequence,
        rank % degrees.ulysses,
        rank % degrees.sequence // degrees.ulysses,
    )
    head_dim = case.dim // case.heads
    lengths = even_parts(case.length, degrees.sequence)
    groups = [lengths[start : start + degrees.ulysses] for start in range(0, len(lengths), degrees.ulysses)]
    own, group = lengths[sequence], sum(groups[ring])
    heads = even_parts(case.heads, degrees.ulysses)[ulysses]
    to_heads = 3 * own * (case.heads - heads) * head_dim
    to_tokens = (group - own) * heads * head_dim
    # In each turn the keys and values that came last are passed on; the last that come stay.
    passed = sum(sum(groups[(ring - turn) % degrees.ring]) for turn in range(degrees.ring - 1))
    round_ring = 2 * passed * heads * head_dim
    runs = 1 if degrees.cfg == 2 else branches
    gathered = max(_made(case, degrees.sequence)) * case.out * (degrees.sequence - 1)
    velocities = case.latents * FP32 if degrees.cfg == 2 and branches == 2 else 0
    return {
        "all-to-all": runs * batch * size * case.layers * (to_heads + to_tokens),
        "ring": runs * batch * size * case.layers * round_ring,
        "gather": runs * batch * size * gathered + velocities,
    }


def operations_in_a_step(case: Case, degrees: Degrees, *, branches: int = 2) -> tuple[float, float]:
    """Multiplications and additions of the device with most tokens and heads: in its layers, and in its attention."""
    lengths = even_parts(case.length, degrees.sequence)
    own, group = lengths[0], sum(lengths[: degrees.ulysses])
    heads = even_parts(case.heads, degrees.ulysses)[0]
    projections = 8 * own * case.dim**2 + 4 * own * case.dim * case.ffn_dim
    if case.streams == 1:  # attention to the prompt, whose keys and values are kept
        projections += 4 * own * case.dim**2 + 4 * own * case.text * case.dim
    attention = 4 * group * case.length * heads * (case.dim // case.heads)
    runs = case.layers * (1 if degrees.cfg == 2 else branches)
    return runs * projections, runs * attention


def held(case: Case, degrees: Degrees, *, size: int = BF16, branches: int = 2) -> float:
    """Bytes on a device while the DiT runs: all its weights, the kept prompts, and the tokens of a block."""
    runs = 1 if degrees.cfg == 2 else branches
    prompts = runs * 2 * case.layers * case.text * case.dim * size if case.streams == 1 else 0
    return case.weights * size + prompts + ACTIVATIONS * even_parts(case.length, degrees.sequence)[0] * case.dim * size


def predict(case: Case, degrees: Degrees, hardware: Hardware) -> Prediction:
    """One step with guidance."""
    layers, attention = operations_in_a_step(case, degrees)
    speed = hardware.tflops * 1e12 * hardware.effective
    sent = sent_in_a_step(case, degrees, 0)
    ulysses_link = _link(hardware, degrees.ulysses)
    sequence_link, all_link = _link(hardware, degrees.sequence), _link(hardware, degrees.product)
    # What goes round travels while the part before it is attended to; only what takes longer is waited for.
    hidden = attention / speed * (degrees.ring - 1) / degrees.ring
    sending = (
        sent["all-to-all"] / ulysses_link + max(0.0, sent["ring"] / sequence_link - hidden) + sent["gather"] / all_link
    )
    rounds = (2 // degrees.cfg) * case.layers * (4 * (degrees.ulysses > 1) + degrees.ring - 1) + (degrees.product > 1)
    sending += rounds * hardware.latency
    return Prediction((layers + attention) / speed, sending, sent, held(case, degrees))


def splits(devices: int, heads: int) -> Iterator[Degrees]:
    """All degrees for so many devices, without those that leave a device without a head."""
    for cfg in (1, 2):
        for ulysses in range(1, min(devices // cfg, heads) + 1):
            if devices % (cfg * ulysses) == 0:
                yield Degrees(cfg=cfg, ring=devices // (cfg * ulysses), ulysses=ulysses)


def table(case: Case, hardware: Hardware, devices: list[int], every: bool) -> str:
    """The predictions, one line for each split that is shown."""
    alone = predict(case, Degrees(), hardware).seconds
    lines = [
        "| devices | ulysses | ring | cfg | s/step | speed-up | waiting for links | GB sent/step | GiB held |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count in devices:
        predictions = [(degrees, predict(case, degrees, hardware)) for degrees in splits(count, case.heads)]
        quickest = min(predictions, key=lambda pair: pair[1].seconds)
        for degrees, found in predictions if every else [quickest]:
            lines.append(
                f"| {count} | {degrees.ulysses} | {degrees.ring} | {degrees.cfg} | {found.seconds:.3f} "
                f"| {alone / found.seconds:.1f} | {found.sending / found.seconds:.0%} "
                f"| {sum(found.sent.values()) / 1e9:.2f} | {found.held / GIB:.1f} |"
            )
    return "\n".join(lines)


def _made(case: Case, parts: int) -> list[int]:
    """Tokens of each part that make the picture or video; where the prompt's are dealt out as well, they come first."""
    ends = list(accumulate(even_parts(case.length, parts), initial=0))
    text = case.length - case.tokens
    return [max(0, end - max(start, text)) for start, end in pairwise(ends)]


def _link(hardware: Hardware, reach: int) -> float:
    """Bytes a second to a group of so many neighbours: the slower link where they are on several machines."""
    return (hardware.within if reach <= hardware.per_machine else hardware.between) * 1e9 * hardware.effective_links


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=CASES, action="append", help="default: all")
    parser.add_argument("--hardware", choices=HARDWARE, action="append", help="default: all")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--all", action="store_true", help="every split, not the quickest alone")
    options = parser.parse_args()
    for model in options.model or CASES:
        for name in options.hardware or HARDWARE:
            hardware = HARDWARE[name]
            print(f"\n{CASES[model].name}, bf16, with guidance, on {name}:")
            print(
                f"{hardware.tflops:g} TFLOP/s at {hardware.effective:.0%}; GB/s at {hardware.effective_links:.0%}:",
                end=" ",
            )
            print(f"{hardware.within:g} within {hardware.per_machine} devices, {hardware.between:g} between machines\n")
            print(table(CASES[model], hardware, options.devices, options.all))
    return 0


if __name__ == "__main__":
    sys.exit(main())
