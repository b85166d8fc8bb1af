"""What to do where results differ because random numbers were drawn on the device, from a generator of its own."""

from __future__ import annotations

from collections.abc import Iterator

from porter.verify.outcome import Outcome

_DRAWS = frozenset(
    f"aten.{name}"
    for name in "bernoulli bernoulli_ cauchy_ exponential_ geometric_ log_normal_ multinomial native_dropout normal "
    "normal_ normal_functional poisson rand rand_like randint randint_like randn randn_like randperm random random_ "
    "rrelu_with_noise uniform uniform_".split()
)


def hint(device: str, outcome: Outcome) -> Iterator[str]:
    """Of a way that made something else than the reference: nothing where it drew nothing there."""
    drawn = sorted(name for name in outcome.operators_on(device) if name in _DRAWS)
    if drawn:
        yield (
            f"it drew random numbers on {device} ({', '.join(drawn)}), which come from another generator than the "
            "reference's: if that is all that differs, draw them on the CPU and move them, or give them a "
            "torch.Generator that is seeded right before (DP206)"
        )
